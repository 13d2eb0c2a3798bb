//! A store and the keys of the replica in it.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use ebbtide_replica::{Key, KeyPrefix, Timestamp};

use super::api::{ByteStream, NotDeleted, Object, Store, Upload};
use super::error::StoreError;
use super::keyring::Keyring;
use super::probe::Conditional;

/// Another store, with what opens its encrypted objects. The objects themselves are handed out as they are stored: who
/// opens one finds the keys at hand, through any store that is put around this one.
pub struct KeyedStore {
    store: Arc<dyn Store>,
    keyring: Arc<Keyring>,
}

impl KeyedStore {
    /// `store` with these keys.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, keyring: Arc<Keyring>) -> KeyedStore {
        KeyedStore { store, keyring }
    }
}

impl fmt::Debug for KeyedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.store.fmt(f)
    }
}

#[async_trait]
impl Store for KeyedStore {
    async fn begin(&self) -> Result<(), StoreError> {
        self.store.begin().await
    }

    async fn put(&self, key: &Key, body: Bytes) -> Result<(), StoreError> {
        self.store.put(key, body).await
    }

    async fn upload(&self, key: &Key, expected: u64) -> Result<Box<dyn Upload>, StoreError> {
        self.store.upload(key, expected).await
    }

    async fn get(&self, key: &Key, limit: u64) -> Result<Bytes, StoreError> {
        self.store.get(key, limit).await
    }

    async fn get_range(&self, key: &Key, range: Range<u64>) -> Result<Bytes, StoreError> {
        self.store.get_range(key, range).await
    }

    async fn get_stream(&self, key: &Key, range: Range<u64>) -> Result<ByteStream, StoreError> {
        self.store.get_stream(key, range).await
    }

    async fn size(&self, key: &Key) -> Result<Option<u64>, StoreError> {
        self.store.size(key).await
    }

    async fn list(&self, under: KeyPrefix, after: Option<&Key>) -> Result<Vec<Object>, StoreError> {
        self.store.list(under, after).await
    }

    async fn list_some(
        &self,
        under: KeyPrefix,
        after: Option<&Key>,
        most: usize,
    ) -> Result<Vec<Object>, StoreError> {
        self.store.list_some(under, after, most).await
    }

    async fn delete(&self, key: &Key) -> Result<(), StoreError> {
        self.store.delete(key).await
    }

    async fn delete_many(&self, keys: &[Key]) -> Result<Vec<NotDeleted>, StoreError> {
        self.store.delete_many(keys).await
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

    async fn elsewhere(&self, key: &Key) -> Option<u64> {
        self.store.elsewhere(key).await
    }

    fn keyring(&self) -> Option<&Arc<Keyring>> {
        Some(&self.keyring)
    }

    fn address(&self) -> String {
        self.store.address()
    }

    fn describe(&self) -> String {
        self.store.describe()
    }
}
