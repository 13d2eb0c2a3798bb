//! A log with more names than a listing may have.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use ebbtide_catalog::{head, rebuild_table};
use ebbtide_replica::{Key, KeyPrefix, Timestamp, page_hash};
use ebbtide_state::{Origin, Position, State};
use ebbtide_store::{
    Conditional, ErrorKind, Keyring, MemoryStore, Object, Store, StoreError, Upload,
};
use ebbtide_wal::PageNumber;

use crate::builder::Builder;

/// Stands for [`LIST_MAX`](ebbtide_store::LIST_MAX).
const NAMES_MAX: usize = 100;

/// A store that lists no more than so many segments.
#[derive(Debug)]
struct Full(MemoryStore);

#[async_trait]
impl Store for Full {
    async fn list(&self, under: KeyPrefix, after: Option<&Key>) -> Result<Vec<Object>, StoreError> {
        let objects = self.0.list(under, after).await?;
        if objects.len() > NAMES_MAX {
            return Err(StoreError::new(ErrorKind::Invalid, "list log/", "too many names"));
        }
        Ok(objects)
    }

    async fn list_some(
        &self,
        under: KeyPrefix,
        after: Option<&Key>,
        most: usize,
    ) -> Result<Vec<Object>, StoreError> {
        self.0.list_some(under, after, most).await
    }

    async fn put(&self, key: &Key, body: Bytes) -> Result<(), StoreError> {
        self.0.put(key, body).await
    }

    async fn upload(&self, key: &Key, expected: u64) -> Result<Box<dyn Upload>, StoreError> {
        self.0.upload(key, expected).await
    }

    async fn get(&self, key: &Key, limit: u64) -> Result<Bytes, StoreError> {
        self.0.get(key, limit).await
    }

    async fn get_range(&self, key: &Key, range: Range<u64>) -> Result<Bytes, StoreError> {
        self.0.get_range(key, range).await
    }

    async fn size(&self, key: &Key) -> Result<Option<u64>, StoreError> {
        self.0.size(key).await
    }

    async fn delete(&self, key: &Key) -> Result<(), StoreError> {
        self.0.delete(key).await
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        self.0.now().await
    }

    async fn probe(&self) -> Result<Conditional, StoreError> {
        self.0.probe().await
    }

    async fn sweep(&self) -> Result<u64, StoreError> {
        self.0.sweep().await
    }

    fn keyring(&self) -> Option<&Arc<Keyring>> {
        self.0.keyring()
    }

    fn describe(&self) -> String {
        self.0.describe()
    }

    fn address(&self) -> String {
        self.0.address()
    }
}

#[tokio::test]
async fn o22_a_table_is_rebuilt_without_the_names_of_segments_that_are_in_packs() {
    let mut builder = Builder::started(512, 3).await;
    for number in 0..300_usize {
        builder.commit(&[(number % 3, number as u64)], 3);
        builder.cut().await;
    }
    // One is too large for a pack, and stands alone.
    builder.pack(3, 100).await;
    builder.pack(102, 290).await;
    let store = Full(builder.store.clone());
    assert!(store.list(KeyPrefix::Log, None).await.is_err());
    let head = head(&store, &builder.manifest).await.unwrap().unwrap();
    assert_eq!(head.state.txid(), builder.last().txid);
    let directory = tempfile::tempdir().unwrap();
    let fill = State::create(directory.path()).unwrap();
    rebuild_table(&store, &builder.manifest, &head, &fill).await.unwrap();
    let position = Position {
        replica: builder.manifest.replica,
        location: store.describe(),
        page_size: builder.manifest.page_size,
        state: head.state,
        wal: None,
        database: None,
        origin: Origin::Followed,
    };
    let state = State::publish(fill, position).unwrap();
    for (number, image) in (1..).zip(&builder.last().pages) {
        let page = PageNumber::new(number).unwrap();
        assert_eq!(state.page(page).unwrap(), page_hash(page, image));
    }
}
