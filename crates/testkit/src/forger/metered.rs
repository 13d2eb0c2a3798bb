//! A store that counts what is asked of it.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use ebbtide_replica::{Key, KeyPrefix, Timestamp};
use ebbtide_store::{Conditional, Keyring, Object, Store, StoreError, Upload};

/// Another store, and how many bytes were read of it.
#[derive(Debug)]
pub struct Metered {
    store: Arc<dyn Store>,
    bytes: AtomicU64,
    longest: AtomicU64,
}

impl Metered {
    /// Nothing was read yet.
    #[must_use]
    pub fn new(store: Arc<dyn Store>) -> Metered {
        Metered { store, bytes: AtomicU64::new(0), longest: AtomicU64::new(0) }
    }

    /// How many bytes were read.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// The most that were asked for at once.
    #[must_use]
    pub fn longest(&self) -> u64 {
        self.longest.load(Ordering::Relaxed)
    }

    fn count(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.longest.fetch_max(bytes, Ordering::Relaxed);
    }
}

#[async_trait]
impl Store for Metered {
    async fn put(&self, key: &Key, body: Bytes) -> Result<(), StoreError> {
        self.store.put(key, body).await
    }

    async fn upload(&self, key: &Key, expected: u64) -> Result<Box<dyn Upload>, StoreError> {
        self.store.upload(key, expected).await
    }

    async fn get(&self, key: &Key, limit: u64) -> Result<Bytes, StoreError> {
        let body = self.store.get(key, limit).await?;
        self.count(body.len() as u64);
        Ok(body)
    }

    async fn get_range(&self, key: &Key, range: Range<u64>) -> Result<Bytes, StoreError> {
        self.count(range.end.saturating_sub(range.start));
        self.store.get_range(key, range).await
    }

    async fn size(&self, key: &Key) -> Result<Option<u64>, StoreError> {
        self.store.size(key).await
    }

    async fn list(&self, under: KeyPrefix, after: Option<&Key>) -> Result<Vec<Object>, StoreError> {
        self.store.list(under, after).await
    }

    async fn delete(&self, key: &Key) -> Result<(), StoreError> {
        self.store.delete(key).await
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        self.store.now().await
    }

    async fn probe(&self) -> Result<Conditional, StoreError> {
        self.store.probe().await
    }

    async fn sweep(&self) -> Result<u64, StoreError> {
        self.store.sweep().await
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
