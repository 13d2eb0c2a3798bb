//! What a bucket does with create-only puts, and what uploads left in it.

use futures::TryFutureExt;

use super::bucket::S3Store;
use super::error::explain;
use super::limits::{LIST_PAGES_MAX, REQUEST_TIMEOUT};
use super::multipart::Multipart;
use crate::Key;
use crate::store::error::{ErrorKind, StoreError};
use crate::store::probe::{self, Conditional};
use crate::store::retry::{READS, retry};
use bytes::Bytes;

const PROBING: &str = "probe the store";
const SWEEPING: &str = "list abandoned uploads";

impl S3Store {
    /// Races puts of a new name and then tries to complete an upload over it: servers exist that take care of the one
    /// and not of the other.
    pub(super) async fn probe_bucket(&self) -> Result<Conditional, StoreError> {
        let name = self.full(probe::name()?);
        let race = probe::race(|| self.create(PROBING, name.clone(), Bytes::new())).await;
        let outcome = match race {
            Ok(Conditional::Enforced) => self.probe_completion(&name).await,
            other => other,
        };
        // Who may write but not delete leaves an empty object behind.
        let remove = || self.remove(PROBING, name.clone());
        if let Err(error) = retry(&READS, &self.client.served, remove).await {
            tracing::info!(error = ?error, "the probe's object stays");
        }
        outcome
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

    /// Ends uploads of this replica's objects that were never finished.
    pub(super) async fn abort_unfinished(&self) -> Result<u64, StoreError> {
        let mut aborted = 0;
        let mut markers = (None, None);
        for _ in 0..LIST_PAGES_MAX {
            let attempt = async || {
                let request = self.client.sdk.list_multipart_uploads().bucket(&*self.bucket);
                let request = request.prefix(self.full(""));
                let (key, id): (Option<String>, Option<String>) = markers.clone();
                let request = request.set_key_marker(key).set_upload_id_marker(id).send();
                let answer =
                    request.map_err(|error| explain(SWEEPING, &self.client, &self.bucket, error));
                self.client.turn(self.client.within(SWEEPING, REQUEST_TIMEOUT, answer)).await
            };
            let page = retry(&READS, &self.client.served, attempt).await?;
            for upload in page.uploads() {
                let (Some(name), Some(id)) = (upload.key(), upload.upload_id()) else { continue };
                let own = name.strip_prefix(self.full("").as_str());
                if own.is_some_and(|own| Key::parse(own).is_some() || own.starts_with("probe/")) {
                    Multipart::found(self, name, id).abort().await?;
                    aborted += 1;
                }
            }
            let next = (page.next_key_marker, page.next_upload_id_marker);
            if page.is_truncated != Some(true) || next == markers {
                return Ok(aborted);
            }
            markers = next;
        }
        Ok(aborted)
    }
}
