//! Indexes that were read, within a budget, so that planning and fetching read them once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::Fetched;
use ebbtide_replica::Key;
use ebbtide_store::Object;

/// What is kept at most. An index that does not fit in is not kept, and is read again when it is needed. Small segments
/// come with their pages, so this is also what does not have to be fetched later.
const BYTES_MAX: usize = 32 * 1024 * 1024;

/// An object, and its index if that was read ahead.
#[derive(Debug)]
pub struct Ahead {
    /// The object.
    pub object: Object,
    /// Its index, if it could be read and was not needed before.
    pub fetched: Option<Arc<Fetched>>,
}

/// The cache.
#[derive(Debug, Default)]
pub(super) struct Cache {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    indexes: BTreeMap<Key, Arc<Fetched>>,
    bytes: usize,
}

impl Cache {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn get(&self, key: Key) -> Option<Arc<Fetched>> {
        self.lock().indexes.get(&key).cloned()
    }

    pub(super) fn put(&self, key: Key, fetched: Fetched) -> Arc<Fetched> {
        let fetched = Arc::new(fetched);
        let memory = fetched.memory();
        let mut inner = self.lock();
        if inner.bytes + memory <= BYTES_MAX && !inner.indexes.contains_key(&key) {
            inner.bytes += memory;
            inner.indexes.insert(key, Arc::clone(&fetched));
        }
        fetched
    }

    pub(super) fn remove(&self, key: Key) {
        let mut inner = self.lock();
        if let Some(fetched) = inner.indexes.remove(&key) {
            inner.bytes -= fetched.memory();
        }
    }
}
