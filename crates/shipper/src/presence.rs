//! Whether the replica that is shipped into is still there. A put proves that a store answers, and not that the store has
//! what was put before: buckets are emptied, folders unmounted, and rules delete what is old. So the manifest and the newest
//! snapshot are looked at after each outage, from time to time while there are puts, and when somebody wants to know
//! (two small requests), before anything is called durable after that.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ebbtide_catalog::{CatalogError, read_manifest};
use ebbtide_replica::{Key, Manifest};
use ebbtide_store::{ErrorKind, Store, StoreError};

use crate::error::Error;
use crate::outage::Outage;
use crate::put::pause;

/// How often it is looked at while there are puts.
const LOOK_INTERVAL: Duration = Duration::from_secs(3600);

/// The replica as it was when its history was last read, and what the looks at it found.
#[derive(Debug)]
pub struct Presence {
    manifest: Manifest,
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    /// The newest snapshot, if there is one.
    base: Option<Key>,
    /// When it was last looked at…
    looked: Option<Instant>,
    /// …after how many outages.
    outages: u64,
    since: Instant,
    /// Something was missing: look again, whatever the time.
    is_urgent: bool,
    /// When the manifest was last found to be missing or damaged, and why.
    manifest_trouble: Option<(Instant, String)>,
}

/// What a look found.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Found {
    Whole,
    /// Only the manifest is missing.
    NoManifest,
    /// The manifest cannot be read.
    BadManifest(String),
    /// The snapshot is missing.
    NoBase(Key),
    /// It is not this replica.
    Gone(String),
}

impl Presence {
    pub(crate) fn new(manifest: Manifest, is_stored: bool, outage: &Outage) -> Presence {
        let missing = (Instant::now(), "ebbtide.json was missing at the start".to_owned());
        let known = Known {
            base: None,
            looked: None,
            outages: outage.ended(),
            since: Instant::now(),
            is_urgent: !is_stored,
            manifest_trouble: (!is_stored).then_some(missing),
        };
        Presence { manifest, known: Mutex::new(known) }
    }

    /// What the replica is.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The newest snapshot is `key`, or there is none.
    pub fn set_base(&self, key: Option<Key>) {
        self.known().base = key;
    }

    /// Whether there is no snapshot, so that nothing may be restorable.
    #[must_use]
    pub fn lacks_base(&self) -> bool {
        self.known().base.is_none()
    }

    /// When the manifest was last found to be missing or damaged, and what became of it.
    #[must_use]
    pub fn manifest_trouble(&self) -> Option<(Instant, String)> {
        self.known().manifest_trouble.clone()
    }

    /// Looks, if it is time to.
    pub(crate) async fn confirm(&self, store: &dyn Store, outage: &Outage) -> Result<(), Error> {
        if self.is_due(outage, Instant::now()) { self.look(store, outage).await } else { Ok(()) }
    }

    fn is_due(&self, outage: &Outage, now: Instant) -> bool {
        let known = self.known();
        let last = known.looked.unwrap_or(known.since);
        known.is_urgent
            || known.outages != outage.ended()
            || now.saturating_duration_since(last) >= LOOK_INTERVAL
    }

    /// Looks at the manifest and the newest snapshot, for as long as it takes to have an answer. A manifest that is missing
    /// is put back.
    ///
    /// # Errors
    /// [`Error::Gone`] when this is not the replica any more.
    pub async fn look(&self, store: &dyn Store, outage: &Outage) -> Result<(), Error> {
        let mut failures = 0;
        loop {
            let outages = outage.ended();
            let looked = async {
                let mut found = self.try_look(store).await?;
                if found == Found::NoManifest {
                    self.put_back(store).await?;
                    found = Found::Whole;
                }
                Ok(found)
            };
            let error = match looked.await {
                Ok(found) => {
                    if failures > 0 {
                        outage.end(store);
                    }
                    return self.note(found, outages, store);
                }
                Err(error) => error,
            };
            outage.note(store, &error);
            failures += 1;
            pause(failures, error.kind()).await;
        }
    }

    async fn try_look(&self, store: &dyn Store) -> Result<Found, StoreError> {
        let base = self.known().base;
        let has_base = async {
            match base {
                Some(key) => Ok(store.size(&key).await?.is_some()),
                None => Ok::<_, StoreError>(true),
            }
        };
        let (manifest, has_base) = futures::join!(read_manifest(store), has_base);
        let has_base = has_base?;
        Ok(match (manifest, base) {
            (Ok(Some(there)), _) if there.replica != self.manifest.replica => Found::Gone(format!(
                "the replica {} is gone, and another one lies in its place: {}",
                self.manifest.replica, there.replica
            )),
            (Ok(Some(_)), Some(key)) if !has_base => Found::NoBase(key),
            (Ok(Some(_)), _) => Found::Whole,
            (Ok(None), Some(key)) if !has_base => {
                Found::Gone(format!("the replica is gone: neither ebbtide.json nor {key} is there"))
            }
            (Ok(None), _) => Found::NoManifest,
            (Err(CatalogError::Store(error)), _) if error.kind() != ErrorKind::Damaged => {
                return Err(error);
            }
            (Err(error), _) => Found::BadManifest(error.to_string()),
        })
    }

    /// Remembers what was found.
    fn note(&self, found: Found, outages: u64, store: &dyn Store) -> Result<(), Error> {
        let mut known = self.known();
        let store = store.describe();
        match found {
            Found::Gone(why) => {
                known.is_urgent = true;
                return Err(Error::Gone { why: format!("{store}: {why}") });
            }
            Found::BadManifest(why) => {
                tracing::error!(
                    store,
                    why,
                    "ebbtide.json is damaged; restores do not work until it is removed"
                );
                known.manifest_trouble = Some((Instant::now(), why));
            }
            Found::NoBase(key) => {
                tracing::error!(store, snapshot = %key, "the newest snapshot is missing in the replica; making another");
                known.base = None;
            }
            Found::Whole | Found::NoManifest => {}
        }
        known.looked = Some(Instant::now());
        known.outages = outages;
        known.is_urgent = false;
        Ok(())
    }

    /// Puts the manifest where it was, with the same contents.
    async fn put_back(&self, store: &dyn Store) -> Result<(), StoreError> {
        match store.put(&Key::Manifest, self.manifest.to_json().into()).await {
            Err(error) if error.kind() == ErrorKind::Exists => Ok(()),
            Err(error) => Err(error),
            Ok(()) => {
                let place = store.describe();
                tracing::error!(
                    store = place,
                    "ebbtide.json was missing in the replica, and was put back: find out what deletes objects there"
                );
                let why = "ebbtide.json was missing, and was put back".to_owned();
                self.known().manifest_trouble = Some((Instant::now(), why));
                Ok(())
            }
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use ebbtide_replica::{ReplicaId, Timestamp, Txid};
    use ebbtide_store::MemoryStore;
    use ebbtide_wal::PageSize;

    use super::*;

    fn manifest(replica: u8) -> Manifest {
        Manifest {
            replica: ReplicaId::from_bytes([replica; 16]),
            page_size: PageSize::new(512).unwrap(),
            created: Timestamp::EPOCH,
            created_by: "a test".to_owned(),
        }
    }

    const BASE: Key = Key::Snapshot(Txid::FIRST);

    async fn replica() -> (MemoryStore, Presence, Outage) {
        let (store, outage) = (MemoryStore::default(), Outage::default());
        store.put(&Key::Manifest, manifest(7).to_json().into()).await.unwrap();
        store.put(&BASE, vec![1].into()).await.unwrap();
        let presence = Presence::new(manifest(7), true, &outage);
        presence.set_base(Some(BASE));
        (store, presence, outage)
    }

    #[tokio::test]
    async fn o02_a_manifest_that_is_missing_is_put_back_as_it_was() {
        let (store, presence, outage) = replica().await;
        presence.look(&store, &outage).await.unwrap();
        assert!(presence.manifest_trouble().is_none());
        store.delete(&Key::Manifest).await.unwrap();
        presence.look(&store, &outage).await.unwrap();
        assert!(presence.manifest_trouble().is_some());
        assert_eq!(read_manifest(&store).await.unwrap(), Some(manifest(7)));
    }

    #[tokio::test]
    async fn o02_a_store_that_was_emptied_or_has_another_replica_is_not_ours() {
        let (store, presence, outage) = replica().await;
        for key in [Key::Manifest, BASE] {
            store.delete(&key).await.unwrap();
        }
        let gone = presence.look(&store, &outage).await;
        assert!(matches!(gone, Err(Error::Gone { .. })), "{gone:?}");
        assert!(presence.is_due(&outage, Instant::now()));
        store.put(&Key::Manifest, manifest(8).to_json().into()).await.unwrap();
        store.put(&BASE, vec![1].into()).await.unwrap();
        let gone = presence.look(&store, &outage).await;
        assert!(matches!(gone, Err(Error::Gone { .. })), "{gone:?}");
        assert_eq!(read_manifest(&store).await.unwrap(), Some(manifest(8)), "it is left alone");
    }

    #[tokio::test]
    async fn o02_a_snapshot_that_is_missing_is_noticed() {
        let (store, presence, outage) = replica().await;
        store.delete(&BASE).await.unwrap();
        assert!(!presence.lacks_base());
        presence.look(&store, &outage).await.unwrap();
        assert!(presence.lacks_base());
    }

    #[tokio::test]
    async fn o02_it_is_looked_at_after_an_outage_and_every_hour() {
        let (store, presence, outage) = replica().await;
        presence.look(&store, &outage).await.unwrap();
        let now = Instant::now();
        assert!(!presence.is_due(&outage, now));
        assert!(presence.is_due(&outage, now + LOOK_INTERVAL));
        outage.note(&store, &StoreError::new(ErrorKind::Unavailable, "put x", "no route"));
        assert!(!presence.is_due(&outage, now), "nobody could look now");
        outage.end(&store);
        assert!(presence.is_due(&outage, now));
        presence.confirm(&store, &outage).await.unwrap();
        assert!(!presence.is_due(&outage, now));
    }
}
