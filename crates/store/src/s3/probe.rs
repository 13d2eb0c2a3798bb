//! What a bucket does with create-only puts, and what uploads left in it.

use super::bucket::Bucket;
use super::limits::{LIST_PAGES_MAX, REQUEST_TIMEOUT, SWEEP_MAX, SWEEP_TIMEOUT, WORD_BYTES_MAX};
use super::list::time;
use super::multipart::Multipart;
use crate::error::{ErrorKind, StoreError};
use crate::probe::{self, Conditional};
use crate::retry::{READS, retry};
use bytes::Bytes;
use ebbtide_replica::{Key, Timestamp};

const PROBING: &str = "probe the store";
const SWEEPING: &str = "list abandoned uploads";

impl Bucket {
    /// Races puts of a new name and then tries to complete an upload over it: servers exist that take care of the one
    /// and not of the other.
    pub(super) async fn probe_bucket(&self) -> Result<Conditional, StoreError> {
        let name = self.full(probe::name()?);
        let race = probe::race(|| self.create(PROBING, name.clone(), Bytes::new())).await;
        let outcome = match race {
            Ok(Conditional::Enforced) => self.probe_completion(&name).await,
            other => other,
        };
        self.remove_probe(PROBING, &name).await;
        outcome
    }

    /// The time of an object that is put now.
    pub(super) async fn now(&self) -> Result<Timestamp, StoreError> {
        let what = probe::ASKING_TIME;
        let name = self.full(probe::name()?);
        let put = || self.create(what, name.clone(), Bytes::new());
        match retry(&READS, &self.client.served, put).await {
            // The answer to an earlier attempt was lost: the name is new.
            Err(error) if error.kind() == ErrorKind::Exists => {}
            put => put?,
        }
        let request =
            |sdk: &aws_sdk_s3::Client| sdk.head_object().bucket(&*self.bucket).key(&name).send();
        let attempt = async || {
            let answer = self.client.ask(what, &self.bucket, REQUEST_TIMEOUT, request);
            self.client.turn(answer).await
        };
        let head = retry(&READS, &self.client.served, attempt).await;
        self.remove_probe(what, &name).await;
        head?
            .last_modified()
            .and_then(time)
            .ok_or_else(|| StoreError::new(ErrorKind::Damaged, what, probe::NO_TIME))
    }

    /// Who may write but not delete leaves an empty object behind.
    async fn remove_probe(&self, what: &str, name: &str) {
        let remove = || self.remove(what, name.to_owned());
        if let Err(error) = retry(&READS, &self.client.served, remove).await {
            tracing::info!(error = ?error, "the probe's object stays");
        }
    }

    async fn probe_completion(&self, taken: &str) -> Result<Conditional, StoreError> {
        let multipart = Multipart::begin(self, PROBING, taken).await?;
        let part = multipart.part(1, Bytes::from_static(b"1")).await;
        let outcome = match part {
            Ok(part) => {
                retry(&READS, &self.client.served, || multipart.complete(vec![part.clone()])).await
            }
            Err(error) => Err(error),
        };
        let Err(error) = outcome else { return Ok(Conditional::Ignored) };
        if let Err(error) = multipart.abort().await {
            tracing::info!(error = ?error, "the probe's upload stays until the next start");
        }
        if error.kind() == ErrorKind::Exists { Ok(Conditional::Enforced) } else { Err(error) }
    }

    /// Ends uploads of this replica's objects that were never finished, as many as can be ended in a while.
    pub(super) async fn abort_unfinished(&self) -> Result<u64, StoreError> {
        let mut aborted = 0;
        match tokio::time::timeout(SWEEP_TIMEOUT, self.abort_listed(&mut aborted)).await {
            Ok(ended) => ended?,
            Err(_) => tracing::warn!(aborted, "the rest of the abandoned uploads is left for now"),
        }
        Ok(aborted)
    }

    async fn abort_listed(&self, aborted: &mut u64) -> Result<(), StoreError> {
        let mut markers = (None, None);
        for _ in 0..LIST_PAGES_MAX {
            let request = |sdk: &aws_sdk_s3::Client| {
                let request = sdk.list_multipart_uploads().bucket(&*self.bucket);
                let (key, id): (Option<String>, Option<String>) = markers.clone();
                let request = request.prefix(self.full("")).set_key_marker(key);
                request.set_upload_id_marker(id).send()
            };
            let attempt = async || {
                let answer = self.client.ask(SWEEPING, &self.bucket, REQUEST_TIMEOUT, request);
                self.client.turn(answer).await
            };
            let page = retry(&READS, &self.client.served, attempt).await?;
            let ids = page.uploads().iter().filter_map(|upload| upload.upload_id());
            let next = [page.next_key_marker(), page.next_upload_id_marker()];
            if ids.chain(next.into_iter().flatten()).any(|word| word.len() > WORD_BYTES_MAX) {
                let why = "the store gave an upload a number that cannot be told";
                return Err(StoreError::new(ErrorKind::Damaged, SWEEPING, why));
            }
            for upload in page.uploads() {
                let (Some(name), Some(id)) = (upload.key(), upload.upload_id()) else { continue };
                let own = name.strip_prefix(self.full("").as_str());
                if own.is_some_and(|own| Key::parse(own).is_some() || own.starts_with("probe/")) {
                    Multipart::found(self, name, id).abort().await?;
                    *aborted += 1;
                }
                if *aborted == SWEEP_MAX {
                    return Ok(());
                }
            }
            let next = (page.next_key_marker, page.next_upload_id_marker);
            if page.is_truncated != Some(true) || next == markers {
                break;
            }
            markers = next;
        }
        Ok(())
    }
}
