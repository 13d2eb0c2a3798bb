//! A bucket as a store.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use ebbtide_replica::{Key, KeyPrefix, Timestamp};

use super::body::Wanted;
use super::bucket::Bucket;
use super::client::Client;
use super::credentials::Credentials;
use super::upload::S3Upload;
use crate::api::{ByteStream, NotDeleted, Object, Store, Upload};
use crate::error::StoreError;
use crate::examine::Examined;
use crate::probe::Conditional;
use crate::s3_location::S3Location;

/// A prefix of a bucket. Cheap to clone.
#[derive(Clone)]
pub struct S3Store(pub(super) Bucket);

impl S3Store {
    /// The store at this place, with credentials from the usual places. Stores that differ in bucket and prefix alone
    /// share one pool of connections.
    pub async fn open(location: &S3Location) -> Result<S3Store, StoreError> {
        Ok(S3Store(Bucket::with(location, Client::shared(location).await?)))
    }

    /// The store at this place with these credentials, and with connections of its own.
    pub async fn open_as(
        location: &S3Location,
        credentials: &Credentials,
    ) -> Result<S3Store, StoreError> {
        let client = Client::new(location, Some(credentials)).await?;
        Ok(S3Store(Bucket::with(location, Arc::new(client))))
    }
}

#[async_trait]
impl Store for S3Store {
    async fn put(&self, key: &Key, body: Bytes) -> Result<(), StoreError> {
        self.0.create(&format!("put {key}"), self.0.full(key), body).await
    }

    async fn upload(&self, key: &Key, expected: u64) -> Result<Box<dyn Upload>, StoreError> {
        Ok(Box::new(S3Upload::new(self.0.clone(), key, expected)))
    }

    async fn get(&self, key: &Key, limit: u64) -> Result<Bytes, StoreError> {
        self.0.fetch(key, Wanted::Whole { limit }).await
    }

    async fn get_range(&self, key: &Key, range: Range<u64>) -> Result<Bytes, StoreError> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        self.0.fetch(key, Wanted::Part(range)).await
    }

    async fn get_stream(&self, key: &Key, range: Range<u64>) -> Result<ByteStream, StoreError> {
        self.0.stream(key, range).await
    }

    async fn size(&self, key: &Key) -> Result<Option<u64>, StoreError> {
        self.0.size(key).await
    }

    async fn list(&self, under: KeyPrefix, after: Option<&Key>) -> Result<Vec<Object>, StoreError> {
        self.0.list_directory(under, after, usize::MAX).await
    }

    async fn list_some(
        &self,
        under: KeyPrefix,
        after: Option<&Key>,
        most: usize,
    ) -> Result<Vec<Object>, StoreError> {
        self.0.list_directory(under, after, most).await
    }

    async fn delete(&self, key: &Key) -> Result<(), StoreError> {
        self.0.remove(&format!("delete {key}"), self.0.full(key)).await
    }

    async fn delete_many(&self, keys: &[Key]) -> Result<Vec<NotDeleted>, StoreError> {
        self.0.remove_many(keys).await
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        self.0.now().await
    }

    async fn probe(&self) -> Result<Conditional, StoreError> {
        self.0.probe_bucket().await
    }

    async fn examine(&self) -> Vec<Examined> {
        self.0.examine_all().await
    }

    async fn sweep(&self) -> Result<u64, StoreError> {
        self.0.abort_unfinished().await
    }

    fn describe(&self) -> String {
        self.0.describe()
    }

    fn address(&self) -> String {
        self.0.address.to_string()
    }
}

impl fmt::Debug for S3Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.describe(), self.0.client.server)
    }
}
