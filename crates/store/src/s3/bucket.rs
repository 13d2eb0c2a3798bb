//! Requests about the objects of a prefix in a bucket.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::primitives::ByteStream as SdkStream;
use aws_smithy_types::base64;
use bytes::Bytes;

use super::body::{Wanted, read};
use super::client::Client;
use super::error::demands_checksum;
use super::limits::{REQUEST_TIMEOUT, timeout};
use crate::error::{ErrorKind, StoreError};
use crate::retry::{READS, retry};
use crate::s3_location::S3Location;
use ebbtide_replica::Key;

/// A store in a bucket. Clones share their connections.
#[derive(Clone)]
pub(super) struct Bucket {
    pub(super) client: Arc<Client>,
    pub(super) bucket: Arc<str>,
    /// Empty, or with a slash at its end.
    prefix: Arc<str>,
    /// The location as it is written.
    pub(super) address: Arc<str>,
    /// Whether it wants a checksum with each body, as one with an object lock does.
    checked: Arc<AtomicBool>,
}

impl Bucket {
    pub(super) fn with(location: &S3Location, client: Arc<Client>) -> Bucket {
        let slash = if location.prefix.is_empty() { "" } else { "/" };
        let prefix = format!("{}{slash}", location.prefix);
        Bucket {
            client,
            bucket: location.bucket.as_str().into(),
            prefix: prefix.into(),
            address: location.to_string().into(),
            checked: Arc::default(),
        }
    }

    /// The full name of an object in the bucket.
    pub(super) fn full(&self, name: impl fmt::Display) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Creates the object `name`, unless it exists.
    pub(super) async fn create(
        &self,
        what: &str,
        name: String,
        body: Bytes,
    ) -> Result<(), StoreError> {
        let limit = timeout(body.len() as u64);
        let request = |sdk: &aws_sdk_s3::Client| {
            let request = sdk.put_object().bucket(&*self.bucket).key(&name).if_none_match("*");
            let request = request.set_checksum_crc32(self.checksum(&body));
            let request = request.body(SdkStream::from(body.clone())).customize();
            let signs = self.client.is_exposed;
            if signs { request } else { request.disable_payload_signing() }.send()
        };
        let put = async || {
            let answer = self.client.ask(what, &self.bucket, limit, request);
            self.client.turn(answer).await.map(|_| ())
        };
        match put().await {
            // What was refused was not done.
            Err(error) if demands_checksum(&error) && !self.checked.swap(true, Relaxed) => {
                tracing::info!("the bucket wants a checksum with each body");
                put().await
            }
            put => put,
        }
    }

    /// The checksum that goes with a body, as its header has it: none, unless the bucket has asked for one. Our objects
    /// carry their own, and many servers refuse them. The SDK would send it after the body, which fewer servers know.
    pub(super) fn checksum(&self, body: &[u8]) -> Option<String> {
        let crc = || base64::encode(crc32fast::hash(body).to_be_bytes());
        self.is_checked().then(crc)
    }

    /// Whether the bucket has asked for checksums.
    pub(super) fn is_checked(&self) -> bool {
        self.checked.load(Relaxed)
    }

    /// Reads an object or a part of it.
    pub(super) async fn fetch(&self, key: &Key, wanted: Wanted) -> Result<Bytes, StoreError> {
        let what = format!("get {key}");
        let attempt = async || {
            let answer = self.ask(key, &wanted).await?;
            let length = answer.content_length().and_then(|length| u64::try_from(length).ok());
            let limit = timeout(length.unwrap_or(0));
            self.client.within(&what, limit, read(key, &wanted, answer)).await
        };
        retry(&READS, &self.client.served, || self.client.turn(attempt())).await
    }

    /// Asks once for an object or a part of it: the beginning of the answer.
    pub(super) async fn ask(
        &self,
        key: &Key,
        wanted: &Wanted,
    ) -> Result<GetObjectOutput, StoreError> {
        let (what, name, range) = (format!("get {key}"), self.full(key), wanted.range());
        let request = |sdk: &aws_sdk_s3::Client| {
            let request = sdk.get_object().bucket(&*self.bucket).key(&name);
            request.set_range(range.clone()).send()
        };
        self.client.ask(&what, &self.bucket, REQUEST_TIMEOUT, request).await
    }

    pub(super) async fn remove(&self, what: &str, name: String) -> Result<(), StoreError> {
        let request =
            |sdk: &aws_sdk_s3::Client| sdk.delete_object().bucket(&*self.bucket).key(&name).send();
        let answer = self.client.ask(what, &self.bucket, REQUEST_TIMEOUT, request);
        match self.client.turn(answer).await {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            answer => answer.map(|_| ()),
        }
    }

    /// The length of an object in bytes, or nothing if there is none.
    pub(super) async fn size(&self, key: &Key) -> Result<Option<u64>, StoreError> {
        let (what, name) = (format!("look for {key}"), self.full(key));
        let request =
            |sdk: &aws_sdk_s3::Client| sdk.head_object().bucket(&*self.bucket).key(&name).send();
        let attempt = async || {
            let answer = self.client.ask(&what, &self.bucket, REQUEST_TIMEOUT, request);
            self.client.turn(answer).await
        };
        match retry(&READS, &self.client.served, attempt).await {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
            Ok(head) => match head.content_length().map(u64::try_from) {
                Some(Ok(size)) => Ok(Some(size)),
                _ => Err(StoreError::new(ErrorKind::Damaged, what, "the store tells no length")),
            },
        }
    }

    /// Bucket and prefix, for people.
    pub(super) fn describe(&self) -> String {
        format!("s3://{}/{}", self.bucket, self.prefix).trim_end_matches('/').to_owned()
    }
}
