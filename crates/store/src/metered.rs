//! A store whose traffic is counted, and goes at a pace.

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{StreamExt as _, TryStreamExt as _};

use super::api::{ByteStream, NotDeleted, Object, Store, Upload};
use super::error::StoreError;
use super::keyring::Keyring;
use super::probe::Conditional;
use super::traffic::{RequestKind, Traffic};
use ebbtide_replica::{Key, KeyPrefix, Timestamp};

/// Another store, and what goes there and comes from there.
#[derive(Debug)]
pub struct MeteredStore {
    store: Arc<dyn Store>,
    traffic: Arc<Traffic>,
}

/// An upload to it.
struct MeteredUpload {
    upload: Box<dyn Upload>,
    traffic: Arc<Traffic>,
    began: Instant,
}

impl MeteredStore {
    /// Counts what goes to `store` and comes from it.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, traffic: Arc<Traffic>) -> MeteredStore {
        MeteredStore { store, traffic }
    }

    /// Notes how a request ended. One that is given up before that is not counted.
    async fn note<T>(
        &self,
        kind: RequestKind,
        request: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        let began = Instant::now();
        let result = request.await;
        self.traffic.answered(kind, &result, began.elapsed());
        result
    }

    fn received(&self, result: Result<Bytes, StoreError>) -> Result<Bytes, StoreError> {
        result.inspect(|bytes| self.traffic.received.add(bytes.len() as u64))
    }
}

#[async_trait]
impl Store for MeteredStore {
    async fn begin(&self) -> Result<(), StoreError> {
        self.store.begin().await
    }

    async fn put(&self, key: &Key, body: Bytes) -> Result<(), StoreError> {
        self.traffic.pace.pass(body.len() as u64).await;
        self.traffic.sent.add(body.len() as u64);
        self.note(RequestKind::Put, self.store.put(key, body)).await
    }

    async fn upload(&self, key: &Key, expected: u64) -> Result<Box<dyn Upload>, StoreError> {
        let began = Instant::now();
        let begun = self.store.upload(key, expected).await;
        if begun.is_err() {
            self.traffic.answered(RequestKind::Upload, &begun, began.elapsed());
        }
        let traffic = Arc::clone(&self.traffic);
        Ok(Box::new(MeteredUpload { upload: begun?, traffic, began }))
    }

    async fn get(&self, key: &Key, limit: u64) -> Result<Bytes, StoreError> {
        self.received(self.note(RequestKind::Get, self.store.get(key, limit)).await)
    }

    async fn get_range(&self, key: &Key, range: Range<u64>) -> Result<Bytes, StoreError> {
        if range.is_empty() {
            return self.store.get_range(key, range).await;
        }
        self.received(self.note(RequestKind::Get, self.store.get_range(key, range)).await)
    }

    async fn get_stream(&self, key: &Key, range: Range<u64>) -> Result<ByteStream, StoreError> {
        let stream = self.note(RequestKind::Get, self.store.get_stream(key, range)).await?;
        let traffic = Arc::clone(&self.traffic);
        Ok(stream.inspect_ok(move |bytes| traffic.received.add(bytes.len() as u64)).boxed())
    }

    async fn size(&self, key: &Key) -> Result<Option<u64>, StoreError> {
        self.note(RequestKind::Head, self.store.size(key)).await
    }

    async fn list(&self, under: KeyPrefix, after: Option<&Key>) -> Result<Vec<Object>, StoreError> {
        self.note(RequestKind::List, self.store.list(under, after)).await
    }

    async fn list_some(
        &self,
        under: KeyPrefix,
        after: Option<&Key>,
        most: usize,
    ) -> Result<Vec<Object>, StoreError> {
        self.note(RequestKind::List, self.store.list_some(under, after, most)).await
    }

    async fn delete(&self, key: &Key) -> Result<(), StoreError> {
        self.note(RequestKind::Delete, self.store.delete(key)).await
    }

    async fn delete_many(&self, keys: &[Key]) -> Result<Vec<NotDeleted>, StoreError> {
        self.note(RequestKind::Delete, self.store.delete_many(keys)).await
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        self.note(RequestKind::Other, self.store.now()).await
    }

    async fn probe(&self) -> Result<Conditional, StoreError> {
        self.note(RequestKind::Other, self.store.probe()).await
    }

    async fn sweep(&self) -> Result<u64, StoreError> {
        self.note(RequestKind::Other, self.store.sweep()).await
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

#[async_trait]
impl Upload for MeteredUpload {
    async fn write(&mut self, part: Bytes) -> Result<(), StoreError> {
        self.traffic.pace.pass(part.len() as u64).await;
        self.traffic.sent.add(part.len() as u64);
        let written = self.upload.write(part).await;
        if written.is_err() {
            self.traffic.answered(RequestKind::Upload, &written, self.began.elapsed());
        }
        written
    }

    async fn finish(self: Box<Self>) -> Result<(), StoreError> {
        let MeteredUpload { upload, traffic, began } = *self;
        let finished = upload.finish().await;
        traffic.answered(RequestKind::Upload, &finished, began.elapsed());
        finished
    }

    async fn abort(self: Box<Self>) {
        self.upload.abort().await;
    }
}
