//! The requests that an upload in parts is made of.

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart};
use bytes::Bytes;

use super::bucket::Bucket;
use super::limits::{PARTS, REQUEST_TIMEOUT, TAG_BYTES_MAX, WORD_BYTES_MAX, timeout};
use crate::error::{ErrorKind, StoreError};
use crate::retry::{LastServed, READS, retry};

/// Metadata of an object that identifies the upload that created it.
const MARK: &str = "ebbtide-upload";
/// Some servers need long to assemble many parts.
const COMPLETION_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(300);

/// An upload that has begun. Nothing of it is visible until it is completed.
#[derive(Clone)]
pub(super) struct Multipart {
    store: Bucket,
    what: String,
    name: String,
    id: String,
    mark: String,
}

impl Multipart {
    /// Begins one. If the answer is lost, an upload without parts is left behind.
    pub(super) async fn begin(
        store: &Bucket,
        what: &str,
        name: &str,
    ) -> Result<Multipart, StoreError> {
        let random = getrandom::u64().map_err(|error| {
            StoreError::new(ErrorKind::Unavailable, what, "no random number")
                .caused_by(error.to_string())
        })?;
        let mark = format!("{random:016x}");
        let request = |sdk: &aws_sdk_s3::Client| {
            let request = sdk.create_multipart_upload().bucket(&*store.bucket).key(name);
            let checked = store.is_checked().then_some(ChecksumAlgorithm::Crc32);
            let request = request.set_checksum_algorithm(checked);
            request.metadata(MARK, &mark).send()
        };
        let attempt = async || {
            let answer = store.client.ask(what, &store.bucket, REQUEST_TIMEOUT, request);
            store.client.turn(answer).await
        };
        let id = retry(&PARTS, &store.client.served, attempt).await?.upload_id;
        let id = id.filter(|id| id.len() <= WORD_BYTES_MAX).ok_or_else(|| {
            StoreError::new(ErrorKind::Unavailable, what, "the store gave the upload no number")
        })?;
        Ok(Multipart {
            store: store.clone(),
            what: what.to_owned(),
            name: name.to_owned(),
            id,
            mark,
        })
    }

    /// The upload of somebody else, found in a listing.
    pub(super) fn found(store: &Bucket, name: &str, id: &str) -> Multipart {
        Multipart {
            store: store.clone(),
            what: format!("remove an abandoned upload of {name}"),
            name: name.to_owned(),
            id: id.to_owned(),
            mark: String::new(),
        }
    }

    /// Sends a part, again and again if need be. What it returns goes into the completion.
    pub(super) async fn part(&self, number: i32, body: Bytes) -> Result<CompletedPart, StoreError> {
        let (client, bucket) = (&self.store.client, &*self.store.bucket);
        let limit = timeout(body.len() as u64);
        let request = |sdk: &aws_sdk_s3::Client| {
            let request = sdk.upload_part().bucket(bucket).key(&self.name);
            let request = request.upload_id(&self.id).part_number(number);
            let request = request.set_checksum_crc32(self.store.checksum(&body));
            let request = request.body(ByteStream::from(body.clone())).customize();
            if client.is_exposed { request } else { request.disable_payload_signing() }.send()
        };
        let attempt = async || client.turn(client.ask(&self.what, bucket, limit, request)).await;
        let answer =
            retry(&PARTS, &client.served, attempt).await.map_err(|error| match error.kind() {
                // Whoever ended it, the next upload has nothing to do with that.
                ErrorKind::NotFound => gone(&self.what),
                _ => error,
            })?;
        // One is kept for each of ten thousand parts.
        let is_long =
            |word: &Option<String>| word.as_ref().is_some_and(|word| word.len() > TAG_BYTES_MAX);
        if is_long(&answer.e_tag) || is_long(&answer.checksum_crc32) {
            let why = "the store gave a part a name that is far too long";
            return Err(StoreError::new(ErrorKind::Unavailable, &self.what, why));
        }
        let part = CompletedPart::builder().part_number(number).set_e_tag(answer.e_tag);
        Ok(part.set_checksum_crc32(answer.checksum_crc32).build())
    }

    /// Tries once to make the object visible, unless its name is taken.
    pub(super) async fn complete(&self, parts: Vec<CompletedPart>) -> Result<(), StoreError> {
        let (client, bucket) = (&self.store.client, &*self.store.bucket);
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        let request = |sdk: &aws_sdk_s3::Client| {
            let request = sdk.complete_multipart_upload().bucket(bucket).key(&self.name);
            let request = request.upload_id(&self.id).multipart_upload(parts.clone());
            request.if_none_match("*").send()
        };
        let answer = client.ask(&self.what, bucket, COMPLETION_TIMEOUT, request);
        client.turn(answer).await.map(|_| ())
    }

    /// When the store last served a request.
    pub(super) fn served(&self) -> &LastServed {
        &self.store.client.served
    }

    /// Whether there is an object of this name, and if so, whether this upload made it.
    pub(super) async fn made(&self) -> Result<Option<bool>, StoreError> {
        let (client, bucket) = (&self.store.client, &*self.store.bucket);
        let request =
            |sdk: &aws_sdk_s3::Client| sdk.head_object().bucket(bucket).key(&self.name).send();
        let attempt =
            async || client.turn(client.ask(&self.what, bucket, REQUEST_TIMEOUT, request)).await;
        match retry(&READS, &client.served, attempt).await {
            Ok(head) => {
                let mark = head.metadata().and_then(|metadata| metadata.get(MARK));
                Ok(Some(mark == Some(&self.mark)))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Removes what was sent; it is well if there is nothing.
    pub(super) async fn abort(&self) -> Result<(), StoreError> {
        let (client, bucket) = (&self.store.client, &*self.store.bucket);
        let request = |sdk: &aws_sdk_s3::Client| {
            let request = sdk.abort_multipart_upload().bucket(bucket).key(&self.name);
            request.upload_id(&self.id).send()
        };
        match client.turn(client.ask(&self.what, bucket, REQUEST_TIMEOUT, request)).await {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            answer => answer.map(|_| ()),
        }
    }
}

/// Somebody ended the upload.
pub(super) fn gone(what: &str) -> StoreError {
    StoreError::new(ErrorKind::Unavailable, what, "the upload is gone")
}
