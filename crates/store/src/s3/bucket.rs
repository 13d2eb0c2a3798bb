//! The store itself: what is asked of a bucket.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::primitives::ByteStream as SdkStream;
use bytes::Bytes;

use super::body::{Wanted, read};
use super::client::Client;
use super::credentials::Credentials;
use super::limits::{REQUEST_TIMEOUT, timeout};
use super::upload::S3Upload;
use crate::api::{ByteStream, Object, Store, Upload};
use crate::error::{ErrorKind, StoreError};
use crate::location::S3Location;
use crate::probe::Conditional;
use crate::retry::{READS, retry};
use ebbtide_replica::{Folder, Key};

/// A store in a bucket. Clones share their connections.
#[derive(Clone)]
pub struct S3Store {
    pub(super) client: Arc<Client>,
    pub(super) bucket: Arc<str>,
    /// Empty, or with a slash at its end.
    prefix: Arc<str>,
}

impl S3Store {
    /// The store at this place, with credentials from the usual places. Stores that differ in bucket and prefix alone
    /// share one pool of connections.
    pub async fn open(location: &S3Location) -> Result<S3Store, StoreError> {
        Ok(S3Store::with(location, Client::shared(location).await?))
    }

    /// The store at this place with these credentials, and with connections of its own.
    pub async fn open_as(
        location: &S3Location,
        credentials: &Credentials,
    ) -> Result<S3Store, StoreError> {
        let client = Client::new(location, Some(credentials)).await?;
        Ok(S3Store::with(location, Arc::new(client)))
    }

    pub(super) fn with(location: &S3Location, client: Arc<Client>) -> S3Store {
        let slash = if location.prefix.is_empty() { "" } else { "/" };
        let prefix = format!("{}{slash}", location.prefix);
        S3Store { client, bucket: location.bucket.as_str().into(), prefix: prefix.into() }
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
            let request = request.body(SdkStream::from(body.clone())).customize();
            let signs = self.client.is_exposed;
            if signs { request } else { request.disable_payload_signing() }.send()
        };
        let answer = self.client.ask(what, &self.bucket, limit, request);
        self.client.turn(answer).await.map(|_| ())
    }

    /// Reads an object or a part of it.
    async fn fetch(&self, key: &Key, wanted: Wanted) -> Result<Bytes, StoreError> {
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
}

#[async_trait]
impl Store for S3Store {
    async fn put(&self, key: &Key, body: Bytes) -> Result<(), StoreError> {
        self.create(&format!("put {key}"), self.full(key), body).await
    }

    async fn upload(&self, key: &Key, expected: u64) -> Result<Box<dyn Upload>, StoreError> {
        Ok(Box::new(S3Upload::new(self.clone(), key, expected)))
    }

    async fn get(&self, key: &Key, limit: u64) -> Result<Bytes, StoreError> {
        self.fetch(key, Wanted::Whole { limit }).await
    }

    async fn get_range(&self, key: &Key, range: Range<u64>) -> Result<Bytes, StoreError> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        self.fetch(key, Wanted::Part(range)).await
    }

    async fn get_stream(&self, key: &Key, range: Range<u64>) -> Result<ByteStream, StoreError> {
        self.stream(key, range).await
    }

    async fn size(&self, key: &Key) -> Result<Option<u64>, StoreError> {
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

    async fn list(&self, under: Folder, after: Option<&Key>) -> Result<Vec<Object>, StoreError> {
        self.list_folder(under, after, usize::MAX).await
    }

    async fn list_some(
        &self,
        under: Folder,
        after: Option<&Key>,
        most: usize,
    ) -> Result<Vec<Object>, StoreError> {
        self.list_folder(under, after, most).await
    }

    async fn delete(&self, key: &Key) -> Result<(), StoreError> {
        self.remove(&format!("delete {key}"), self.full(key)).await
    }

    async fn probe(&self) -> Result<Conditional, StoreError> {
        self.probe_bucket().await
    }

    async fn sweep(&self) -> Result<u64, StoreError> {
        self.abort_unfinished().await
    }

    fn describe(&self) -> String {
        format!("s3://{}/{}", self.bucket, self.prefix).trim_end_matches('/').to_owned()
    }
}

impl fmt::Debug for S3Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.describe(), self.client.server)
    }
}
