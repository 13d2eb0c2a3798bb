//! Several places of one replica, read as one: each object comes from the first that has it whole.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use ebbtide_replica::{Key, KeyPrefix, Timestamp};
use futures::future::join_all;

use super::api::{ByteStream, Object, Store, Upload};
use super::error::{ErrorKind, StoreError};
use super::keyring::Keyring;
use super::probe::Conditional;

/// Stores that are only read. Which is asked first is their order; one that does not answer is asked last from then on.
#[derive(Debug)]
pub struct SeveralStores {
    stores: Vec<Source>,
    /// Objects that were found damaged, with the first store that may have them whole.
    begin: Mutex<BTreeMap<Key, usize>>,
}

#[derive(Debug)]
struct Source {
    store: Arc<dyn Store>,
    is_away: AtomicBool,
}

impl Source {
    /// Notes whether the store answers.
    fn note<T>(&self, result: &Result<T, StoreError>) {
        if let Err(error) = result
            && !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Damaged)
            && !self.is_away.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(store = %self.store.describe(), %error, "a source does not answer; asking the others first");
        }
    }
}

impl SeveralStores {
    /// Those of one replica.
    #[must_use]
    pub fn new(stores: Vec<Arc<dyn Store>>) -> SeveralStores {
        let source = |store| Source { store, is_away: AtomicBool::new(false) };
        SeveralStores {
            stores: stores.into_iter().map(source).collect(),
            begin: Mutex::new(BTreeMap::new()),
        }
    }

    fn begin(&self) -> MutexGuard<'_, BTreeMap<Key, usize>> {
        self.begin.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The stores that may have an object whole, in the order in which they are asked.
    fn order(&self, key: &Key) -> Vec<&Source> {
        let begin = self.begin().get(key).copied().unwrap_or(0);
        let mut order: Vec<&Source> = self.stores.iter().skip(begin).collect();
        order.sort_by_key(|source| source.is_away.load(Ordering::Relaxed));
        order
    }

    /// What the first store answers that has the object.
    async fn first<T, F>(
        &self,
        key: &Key,
        read: impl Fn(Arc<dyn Store>) -> F + Send,
    ) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>> + Send,
    {
        let mut worst: Option<StoreError> = None;
        for source in self.order(key) {
            let result = read(Arc::clone(&source.store)).await;
            source.note(&result);
            match result {
                Ok(found) => return Ok(found),
                // That it is not there is only sure if all say so.
                Err(error)
                    if worst.as_ref().is_none_or(|worst| worst.kind() == ErrorKind::NotFound) =>
                {
                    worst = Some(error);
                }
                Err(_) => {}
            }
        }
        let none =
            || StoreError::new(ErrorKind::NotFound, format!("get {key}"), "no source has it");
        Err(worst.unwrap_or_else(none))
    }

    fn read_only(what: &str) -> StoreError {
        StoreError::new(ErrorKind::Invalid, what, "several sources are only read")
    }
}

#[async_trait]
impl Store for SeveralStores {
    async fn put(&self, key: &Key, _body: Bytes) -> Result<(), StoreError> {
        Err(SeveralStores::read_only(&format!("put {key}")))
    }

    async fn upload(&self, key: &Key, _expected: u64) -> Result<Box<dyn Upload>, StoreError> {
        Err(SeveralStores::read_only(&format!("put {key}")))
    }

    async fn get(&self, key: &Key, limit: u64) -> Result<Bytes, StoreError> {
        let key = *key;
        self.first(&key, |store| async move { store.get(&key, limit).await }).await
    }

    async fn get_range(&self, key: &Key, range: Range<u64>) -> Result<Bytes, StoreError> {
        let key = *key;
        let read = |store: Arc<dyn Store>| {
            let range = range.clone();
            async move { store.get_range(&key, range).await }
        };
        self.first(&key, read).await
    }

    async fn get_stream(&self, key: &Key, range: Range<u64>) -> Result<ByteStream, StoreError> {
        let key = *key;
        let read = |store: Arc<dyn Store>| {
            let range = range.clone();
            async move { store.get_stream(&key, range).await }
        };
        self.first(&key, read).await
    }

    async fn size(&self, key: &Key) -> Result<Option<u64>, StoreError> {
        let key = *key;
        let read = |store: Arc<dyn Store>| async move {
            let missing = || StoreError::new(ErrorKind::NotFound, format!("look for {key}"), "");
            store.size(&key).await?.ok_or_else(missing)
        };
        match self.first(&key, read).await {
            Ok(size) => Ok(Some(size)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn list(&self, under: KeyPrefix, after: Option<&Key>) -> Result<Vec<Object>, StoreError> {
        let listed = join_all(self.stores.iter().map(|source| source.store.list(under, after)));
        let (mut found, mut failed, mut answered) = (BTreeMap::new(), None, false);
        let begin = self.begin().clone();
        for (at, (source, listed)) in self.stores.iter().zip(listed.await).enumerate() {
            source.note(&listed);
            match listed {
                Ok(objects) => {
                    answered = true;
                    for object in objects {
                        if begin.get(&object.key).is_none_or(|&begin| at >= begin) {
                            found.entry(object.key).or_insert(object);
                        }
                    }
                }
                Err(error) => failed = Some(error),
            }
        }
        match failed {
            Some(error) if !answered => Err(error),
            _ => Ok(found.into_values().collect()),
        }
    }

    async fn delete(&self, key: &Key) -> Result<(), StoreError> {
        Err(SeveralStores::read_only(&format!("delete {key}")))
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        Err(SeveralStores::read_only("ask for the time"))
    }

    async fn probe(&self) -> Result<Conditional, StoreError> {
        Err(SeveralStores::read_only("probe"))
    }

    async fn sweep(&self) -> Result<u64, StoreError> {
        Err(SeveralStores::read_only("sweep"))
    }

    async fn elsewhere(&self, key: &Key) -> Option<u64> {
        let mut begin = self.begin().get(key).copied().unwrap_or(0) + 1;
        while let Some(source) = self.stores.get(begin) {
            self.begin().insert(*key, begin);
            if let Ok(Some(size)) = source.store.size(key).await {
                return Some(size);
            }
            begin += 1;
        }
        None
    }

    fn keyring(&self) -> Option<&Arc<Keyring>> {
        self.stores.iter().find_map(|source| source.store.keyring())
    }

    fn describe(&self) -> String {
        let stores: Vec<String> =
            self.stores.iter().map(|source| source.store.describe()).collect();
        stores.join(", ")
    }

    fn address(&self) -> String {
        let stores: Vec<String> = self.stores.iter().map(|source| source.store.address()).collect();
        stores.join(", ")
    }
}
