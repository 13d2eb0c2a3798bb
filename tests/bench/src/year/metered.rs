//! A store in memory that counts what is asked of it, as a bill does, and answers as late as it is told.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use ebbtide_replica::{Key, KeyPrefix, Timestamp};
use ebbtide_store::{
    Conditional, Keyring, MemoryStore, NotDeleted, Object, Store, StoreError, Upload,
};

/// A listing is answered in pages of so many names.
const PAGE_NAMES: u64 = 1000;

/// What was asked.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    /// Puts and the requests of uploads.
    pub(crate) puts: u64,
    pub(crate) lists: u64,
    /// Reads of objects, of parts of them, and of their sizes.
    pub(crate) gets: u64,
    /// Bytes that were put, of all objects and of segments alone.
    pub(crate) put_bytes: u64,
    pub(crate) segment_bytes: u64,
    pub(crate) got_bytes: u64,
}

impl Counts {
    pub(crate) fn since(self, before: Counts) -> Counts {
        Counts {
            puts: self.puts - before.puts,
            lists: self.lists - before.lists,
            gets: self.gets - before.gets,
            put_bytes: self.put_bytes - before.put_bytes,
            segment_bytes: self.segment_bytes - before.segment_bytes,
            got_bytes: self.got_bytes - before.got_bytes,
        }
    }

    pub(crate) fn plus(self, other: Counts) -> Counts {
        Counts {
            puts: self.puts + other.puts,
            lists: self.lists + other.lists,
            gets: self.gets + other.gets,
            put_bytes: self.put_bytes + other.put_bytes,
            segment_bytes: self.segment_bytes + other.segment_bytes,
            got_bytes: self.got_bytes + other.got_bytes,
        }
    }

    pub(crate) fn requests(self) -> u64 {
        self.puts + self.lists + self.gets
    }
}

#[derive(Debug, Default)]
struct Meters {
    puts: AtomicU64,
    lists: AtomicU64,
    gets: AtomicU64,
    put_bytes: AtomicU64,
    segment_bytes: AtomicU64,
    got_bytes: AtomicU64,
    late_micros: AtomicU64,
}

/// The store. Clones share objects and counts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Metered {
    store: MemoryStore,
    meters: Arc<Meters>,
}

impl Metered {
    /// Sets its clock.
    pub(crate) fn set_now(&self, micros: i64) {
        self.store.set_now(Timestamp::from_micros(micros).unwrap_or(Timestamp::MAX));
    }

    /// From now on each request takes so long.
    pub(crate) fn set_late(&self, late: Duration) {
        let micros = u64::try_from(late.as_micros()).unwrap_or(u64::MAX);
        self.meters.late_micros.store(micros, Ordering::Relaxed);
    }

    pub(crate) fn counts(&self) -> Counts {
        let meters = &self.meters;
        let of = |meter: &AtomicU64| meter.load(Ordering::Relaxed);
        Counts {
            puts: of(&meters.puts),
            lists: of(&meters.lists),
            gets: of(&meters.gets),
            put_bytes: of(&meters.put_bytes),
            segment_bytes: of(&meters.segment_bytes),
            got_bytes: of(&meters.got_bytes),
        }
    }

    /// All objects.
    pub(crate) fn bodies(&self) -> Vec<(String, Bytes)> {
        self.store.objects().into_iter().collect()
    }

    /// All objects with their lengths.
    pub(crate) fn objects(&self) -> Vec<(String, u64)> {
        let objects = self.store.objects();
        objects.into_iter().map(|(name, body)| (name, body.len() as u64)).collect()
    }

    async fn answer(&self, meter: &AtomicU64, requests: u64) {
        meter.fetch_add(requests, Ordering::Relaxed);
        let late = Duration::from_micros(self.meters.late_micros.load(Ordering::Relaxed));
        if !late.is_zero() {
            tokio::time::sleep(late).await;
        }
    }

    fn note_put(&self, key: &Key, bytes: u64) {
        self.meters.put_bytes.fetch_add(bytes, Ordering::Relaxed);
        if matches!(key, Key::Log(_)) {
            self.meters.segment_bytes.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    fn got(&self, bytes: Result<Bytes, StoreError>) -> Result<Bytes, StoreError> {
        if let Ok(bytes) = &bytes {
            self.meters.got_bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        }
        bytes
    }

    async fn listed(&self, objects: &Result<Vec<Object>, StoreError>) {
        let names = objects.as_ref().map_or(0, Vec::len) as u64;
        self.answer(&self.meters.lists, names.div_ceil(PAGE_NAMES).max(1)).await;
    }
}

#[async_trait]
impl Store for Metered {
    async fn put(&self, key: &Key, body: Bytes) -> Result<(), StoreError> {
        self.answer(&self.meters.puts, 1).await;
        self.note_put(key, body.len() as u64);
        self.store.put(key, body).await
    }

    async fn upload(&self, key: &Key, expected: u64) -> Result<Box<dyn Upload>, StoreError> {
        self.answer(&self.meters.puts, 1).await;
        let upload = self.store.upload(key, expected).await?;
        Ok(Box::new(MeteredUpload { store: self.clone(), key: *key, upload }))
    }

    async fn get(&self, key: &Key, limit: u64) -> Result<Bytes, StoreError> {
        self.answer(&self.meters.gets, 1).await;
        self.got(self.store.get(key, limit).await)
    }

    async fn get_range(&self, key: &Key, range: Range<u64>) -> Result<Bytes, StoreError> {
        if !range.is_empty() {
            self.answer(&self.meters.gets, 1).await;
        }
        self.got(self.store.get_range(key, range).await)
    }

    async fn size(&self, key: &Key) -> Result<Option<u64>, StoreError> {
        self.answer(&self.meters.gets, 1).await;
        self.store.size(key).await
    }

    async fn list(&self, under: KeyPrefix, after: Option<&Key>) -> Result<Vec<Object>, StoreError> {
        let objects = self.store.list(under, after).await;
        self.listed(&objects).await;
        objects
    }

    async fn list_some(
        &self,
        under: KeyPrefix,
        after: Option<&Key>,
        most: usize,
    ) -> Result<Vec<Object>, StoreError> {
        let objects = self.store.list_some(under, after, most).await;
        self.listed(&objects).await;
        objects
    }

    async fn delete(&self, key: &Key) -> Result<(), StoreError> {
        self.store.delete(key).await
    }

    async fn delete_many(&self, keys: &[Key]) -> Result<Vec<NotDeleted>, StoreError> {
        self.store.delete_many(keys).await
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        self.answer(&self.meters.puts, 1).await;
        self.answer(&self.meters.gets, 1).await;
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
        "a store in memory".to_owned()
    }

    fn address(&self) -> String {
        self.describe()
    }
}

struct MeteredUpload {
    store: Metered,
    key: Key,
    upload: Box<dyn Upload>,
}

#[async_trait]
impl Upload for MeteredUpload {
    async fn write(&mut self, part: Bytes) -> Result<(), StoreError> {
        self.store.answer(&self.store.meters.puts, 1).await;
        self.store.note_put(&self.key, part.len() as u64);
        self.upload.write(part).await
    }

    async fn finish(self: Box<Self>) -> Result<(), StoreError> {
        self.store.answer(&self.store.meters.puts, 1).await;
        self.upload.finish().await
    }

    async fn abort(self: Box<Self>) {
        self.upload.abort().await;
    }
}
