//! Counts what is asked of a store, so that a command can say what its answer cost.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use ebbtide_replica::{Key, KeyPrefix, Timestamp};
use ebbtide_store::{ByteStream, Conditional, Keyring, Object, Store, StoreError, Upload};
use futures::StreamExt as _;

/// What was asked of a store: requests, and bytes of objects that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// How many requests, a listing being one.
    pub requests: u64,
    /// How many bytes of objects.
    pub bytes: u64,
}

/// Another store, and the counts.
pub(crate) struct Metered {
    store: Arc<dyn Store>,
    requests: AtomicU64,
    bytes: Arc<AtomicU64>,
}

impl Metered {
    pub(crate) fn new(store: Arc<dyn Store>) -> Metered {
        Metered { store, requests: AtomicU64::new(0), bytes: Arc::default() }
    }

    /// What was asked until now.
    pub(crate) fn traffic(&self) -> Traffic {
        Traffic {
            requests: self.requests.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
        }
    }

    fn asks(&self) -> &dyn Store {
        self.requests.fetch_add(1, Ordering::Relaxed);
        &*self.store
    }

    fn came(&self, bytes: Bytes) -> Bytes {
        self.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        bytes
    }
}

impl fmt::Debug for Metered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.store.fmt(f)
    }
}

#[async_trait]
impl Store for Metered {
    async fn put(&self, key: &Key, body: Bytes) -> Result<(), StoreError> {
        self.asks().put(key, body).await
    }

    async fn upload(&self, key: &Key, expected: u64) -> Result<Box<dyn Upload>, StoreError> {
        self.asks().upload(key, expected).await
    }

    async fn get(&self, key: &Key, limit: u64) -> Result<Bytes, StoreError> {
        self.asks().get(key, limit).await.map(|bytes| self.came(bytes))
    }

    async fn get_range(&self, key: &Key, range: Range<u64>) -> Result<Bytes, StoreError> {
        self.asks().get_range(key, range).await.map(|bytes| self.came(bytes))
    }

    async fn get_stream(&self, key: &Key, range: Range<u64>) -> Result<ByteStream, StoreError> {
        let stream = self.asks().get_stream(key, range).await?;
        let bytes = Arc::clone(&self.bytes);
        let count = move |piece: &Result<Bytes, StoreError>| {
            let length = piece.as_ref().map_or(0, |piece| piece.len() as u64);
            bytes.fetch_add(length, Ordering::Relaxed);
        };
        Ok(stream.inspect(count).boxed())
    }

    async fn size(&self, key: &Key) -> Result<Option<u64>, StoreError> {
        self.asks().size(key).await
    }

    async fn list(&self, under: KeyPrefix, after: Option<&Key>) -> Result<Vec<Object>, StoreError> {
        self.asks().list(under, after).await
    }

    async fn list_some(
        &self,
        under: KeyPrefix,
        after: Option<&Key>,
        most: usize,
    ) -> Result<Vec<Object>, StoreError> {
        self.asks().list_some(under, after, most).await
    }

    async fn delete(&self, key: &Key) -> Result<(), StoreError> {
        self.asks().delete(key).await
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        self.asks().now().await
    }

    async fn probe(&self) -> Result<Conditional, StoreError> {
        self.asks().probe().await
    }

    async fn sweep(&self) -> Result<u64, StoreError> {
        self.asks().sweep().await
    }

    async fn elsewhere(&self, key: &Key) -> Option<u64> {
        self.store.elsewhere(key).await
    }

    fn keyring(&self) -> Option<&Arc<Keyring>> {
        self.store.keyring()
    }

    fn describe(&self) -> String {
        self.store.describe()
    }

    fn address(&self) -> String {
        self.store.address()
    }
}
