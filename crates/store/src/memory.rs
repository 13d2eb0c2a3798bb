//! A store in memory, for tests and dry runs.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};

use super::api::{Object, Store, Upload};
use super::error::{ErrorKind, StoreError};
use super::keyring::Keyring;
use super::listing::{Listing, beyond_end, check_length};
use super::probe::Conditional;
use ebbtide_replica::{Key, KeyPrefix, Timestamp};

/// What clones of a store share.
struct Contents {
    /// By name. Also names that are no keys, so that tests can put them in the way.
    objects: BTreeMap<String, (Bytes, Timestamp)>,
    now: Timestamp,
}

/// A store in memory. It is gone when its last clone is dropped; clones share their objects. Its clock stands still until
/// it is [set](MemoryStore::set_now).
#[derive(Clone)]
pub struct MemoryStore {
    contents: Arc<Mutex<Contents>>,
    keyring: Option<Arc<Keyring>>,
}

impl Default for MemoryStore {
    fn default() -> MemoryStore {
        let contents = Contents { objects: BTreeMap::new(), now: Timestamp::EPOCH };
        MemoryStore { contents: Arc::new(Mutex::new(contents)), keyring: None }
    }
}

impl MemoryStore {
    /// An empty one.
    #[must_use]
    pub fn new() -> MemoryStore {
        MemoryStore::default()
    }

    /// One with these objects. Any names will do: a test plants strange ones, or builds a store that lacks an object
    /// or has a damaged one.
    #[must_use]
    pub fn with(objects: impl IntoIterator<Item = (String, Bytes)>) -> MemoryStore {
        let store = MemoryStore::new();
        for (name, body) in objects {
            store.lock().objects.insert(name, (body, Timestamp::EPOCH));
        }
        store
    }

    /// The same objects, for somebody who has these keys.
    #[must_use]
    pub fn with_keyring(&self, keyring: Arc<Keyring>) -> MemoryStore {
        MemoryStore { contents: Arc::clone(&self.contents), keyring: Some(keyring) }
    }

    /// Sets its clock, which gives the times of what is put from now on.
    pub fn set_now(&self, now: Timestamp) {
        self.lock().now = now;
    }

    /// All objects as they are now, in the order of their names.
    #[must_use]
    pub fn objects(&self) -> Vec<(String, Bytes)> {
        let contents = self.lock();
        contents.objects.iter().map(|(name, (body, _))| (name.clone(), body.clone())).collect()
    }

    /// A panic elsewhere leaves the map whole: each change is one call.
    fn lock(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn create(&self, key: &Key, body: Bytes) -> Result<(), StoreError> {
        let mut contents = self.lock();
        let now = contents.now;
        match contents.objects.entry(key.to_string()) {
            Entry::Vacant(entry) => {
                entry.insert((body, now));
                Ok(())
            }
            Entry::Occupied(_) => {
                Err(StoreError::new(ErrorKind::Exists, format!("put {key}"), "the name is taken"))
            }
        }
    }

    fn find(&self, key: &Key) -> Result<Bytes, StoreError> {
        let body = self.lock().objects.get(&key.to_string()).map(|(body, _)| body.clone());
        body.ok_or_else(|| {
            StoreError::new(ErrorKind::NotFound, format!("get {key}"), "no such object")
        })
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.lock().objects.keys()).finish()
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn put(&self, key: &Key, body: Bytes) -> Result<(), StoreError> {
        self.create(key, body)
    }

    async fn upload(&self, key: &Key, _expected: u64) -> Result<Box<dyn Upload>, StoreError> {
        Ok(Box::new(MemoryUpload { store: self.clone(), key: *key, body: BytesMut::new() }))
    }

    async fn get(&self, key: &Key, limit: u64) -> Result<Bytes, StoreError> {
        let body = self.find(key)?;
        check_length(key, body.len() as u64, limit)?;
        Ok(body)
    }

    async fn get_range(&self, key: &Key, range: Range<u64>) -> Result<Bytes, StoreError> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let body = self.find(key)?;
        match (usize::try_from(range.start), usize::try_from(range.end)) {
            (Ok(start), Ok(end)) if end <= body.len() => Ok(body.slice(start..end)),
            _ => Err(beyond_end(key, &range, body.len() as u64)),
        }
    }

    async fn size(&self, key: &Key) -> Result<Option<u64>, StoreError> {
        Ok(self.lock().objects.get(&key.to_string()).map(|(body, _)| body.len() as u64))
    }

    async fn list(&self, under: KeyPrefix, after: Option<&Key>) -> Result<Vec<Object>, StoreError> {
        let mut listing = Listing::new(under, after);
        for (name, (body, modified)) in &self.lock().objects {
            listing.add(name, body.len() as u64, *modified)?;
        }
        Ok(listing.finish())
    }

    async fn delete(&self, key: &Key) -> Result<(), StoreError> {
        self.lock().objects.remove(&key.to_string());
        Ok(())
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        Ok(self.lock().now)
    }

    async fn probe(&self) -> Result<Conditional, StoreError> {
        Ok(Conditional::Enforced)
    }

    async fn sweep(&self) -> Result<u64, StoreError> {
        Ok(0)
    }

    fn keyring(&self) -> Option<&Arc<Keyring>> {
        self.keyring.as_ref()
    }

    fn describe(&self) -> String {
        "memory".to_owned()
    }

    fn address(&self) -> String {
        self.describe()
    }
}

struct MemoryUpload {
    store: MemoryStore,
    key: Key,
    body: BytesMut,
}

#[async_trait]
impl Upload for MemoryUpload {
    async fn write(&mut self, part: Bytes) -> Result<(), StoreError> {
        self.body.extend_from_slice(&part);
        Ok(())
    }

    async fn finish(self: Box<Self>) -> Result<(), StoreError> {
        self.store.create(&self.key, self.body.freeze())
    }

    async fn abort(self: Box<Self>) {}
}
