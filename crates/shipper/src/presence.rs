//! Checks that the replica still exists. A successful put proves that the store answers, not that it still has earlier
//! objects: a user may empty a bucket or unmount a disk, and a lifecycle rule may delete old objects. The check reads
//! the manifest and the size of the newest snapshot (two small requests). It runs after each outage, every ten minutes while
//! there are puts, and when a client asks, and no later entry counts as durable before it has passed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ebbtide_catalog::{CatalogError, read_manifest};
use ebbtide_replica::{Key, Manifest, Txid};
use ebbtide_store::{ErrorKind, Store, StoreError};

use crate::behind::LookBehind;
use crate::destination::Destination;
use crate::error::Error;
use crate::retry::{AttemptError, retry};
use crate::store_health::StoreHealth;

/// The interval between checks while there are puts: at most 288 small requests a day.
const CHECK_INTERVAL: Duration = Duration::from_secs(600);

/// The replica as it was when it was opened, and the results of the checks.
#[derive(Debug)]
pub struct Presence {
    manifest: Manifest,
    to: Destination,
    state: Mutex<PresenceState>,
    behind: LookBehind,
}

#[derive(Debug)]
struct PresenceState {
    /// The newest snapshot, if there is one.
    base: Option<Key>,
    /// The time of the last check…
    checked: Option<Instant>,
    /// …and the number of outages before it.
    outages: u64,
    since: Instant,
    /// An object was missing: the next check is due immediately.
    is_urgent: bool,
    /// When the manifest was last found to be missing or damaged, and why.
    manifest_trouble: Option<(Instant, String)>,
}

/// The result of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
enum CheckResult {
    Whole,
    /// Only the manifest is missing.
    NoManifest,
    /// The manifest cannot be read.
    BadManifest(String),
    /// The snapshot is missing.
    NoBase(Key),
    /// Another replica is there, or none.
    Gone(String),
}

impl Presence {
    pub(crate) fn new(manifest: Manifest, is_stored: bool, to: Destination) -> Presence {
        let missing = (Instant::now(), "ebbtide.json was missing at the start".to_owned());
        let state = PresenceState {
            base: None,
            checked: None,
            outages: to.health.outages_ended(),
            since: Instant::now(),
            is_urgent: !is_stored,
            manifest_trouble: (!is_stored).then_some(missing),
        };
        Presence { manifest, to, state: Mutex::new(state), behind: LookBehind::default() }
    }

    /// The store of the replica.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.to.store
    }

    /// The health of the store, as the puts see it.
    #[must_use]
    pub fn store_health(&self) -> &Arc<StoreHealth> {
        &self.to.health
    }

    /// The store of the replica and its health.
    pub(crate) fn destination(&self) -> &Destination {
        &self.to
    }

    /// The manifest of the replica.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Sets the newest snapshot.
    pub fn set_base(&self, key: Option<Key>) {
        self.state().base = key;
    }

    /// Whether there is no snapshot, so that nothing may be restorable.
    #[must_use]
    pub fn lacks_base(&self) -> bool {
        self.state().base.is_none()
    }

    /// When the manifest was last missing or damaged, and the outcome.
    #[must_use]
    pub fn manifest_trouble(&self) -> Option<(Instant, String)> {
        self.state().manifest_trouble.clone()
    }

    /// Runs the check if it is due, and the look behind `key`, a segment that was put and ends with entry `last`.
    pub(crate) async fn confirm(&self, key: Key, last: Txid) -> Result<(), Error> {
        self.check_if_due().await?;
        self.behind.confirm(&self.to, &self.manifest, key, last).await
    }

    async fn check_if_due(&self) -> Result<(), Error> {
        if self.is_due(Instant::now()) { self.check().await } else { Ok(()) }
    }

    /// Notes that a put of this session counts already.
    pub(crate) fn counted(&self) {
        self.behind.counted(Instant::now());
    }

    fn is_due(&self, now: Instant) -> bool {
        let state = self.state();
        let last = state.checked.unwrap_or(state.since);
        state.is_urgent
            || state.outages != self.to.health.outages_ended()
            || now.saturating_duration_since(last) >= CHECK_INTERVAL
    }

    /// Checks the manifest and the newest snapshot. Retries without limit. Puts a missing manifest back.
    ///
    /// # Errors
    /// [`Error::Gone`] when the replica is missing, or another one has its place.
    pub async fn check(&self) -> Result<(), Error> {
        let (found, outages) = retry(&self.to, || async {
            let outages = self.to.health.outages_ended();
            let found = self.check_once().await.map_err(AttemptError::Retryable)?;
            Ok((found, outages))
        })
        .await?;
        self.note(found, outages)
    }

    async fn check_once(&self) -> Result<CheckResult, StoreError> {
        match self.look_up().await? {
            CheckResult::NoManifest => {
                self.put_back().await?;
                Ok(CheckResult::Whole)
            }
            found => Ok(found),
        }
    }

    async fn look_up(&self) -> Result<CheckResult, StoreError> {
        let store = &*self.to.store;
        let base = self.state().base;
        let has_base = async {
            match base {
                Some(key) => Ok(store.size(&key).await?.is_some()),
                None => Ok::<_, StoreError>(true),
            }
        };
        let (manifest, has_base) = futures::join!(read_manifest(store), has_base);
        let has_base = has_base?;
        Ok(match (manifest, base) {
            (Ok(Some(there)), _) if there.replica != self.manifest.replica => {
                CheckResult::Gone(format!(
                    "the replica {} is gone, and another one lies in its place: {}",
                    self.manifest.replica, there.replica
                ))
            }
            (Ok(Some(_)), Some(key)) if !has_base => CheckResult::NoBase(key),
            (Ok(Some(_)), _) => CheckResult::Whole,
            (Ok(None), Some(key)) if !has_base => CheckResult::Gone(format!(
                "the replica is gone: neither ebbtide.json nor {key} is there"
            )),
            (Ok(None), _) => CheckResult::NoManifest,
            (Err(CatalogError::Store(error)), _) if error.kind() != ErrorKind::Damaged => {
                return Err(error);
            }
            (Err(error), _) => CheckResult::BadManifest(error.to_string()),
        })
    }

    /// Stores and logs the result of a check.
    fn note(&self, found: CheckResult, outages: u64) -> Result<(), Error> {
        let mut state = self.state();
        let store = self.to.store.describe();
        match found {
            CheckResult::Gone(why) => {
                state.is_urgent = true;
                return Err(Error::Gone { why: format!("{store}: {why}") });
            }
            CheckResult::BadManifest(why) => {
                tracing::error!(
                    store,
                    why,
                    "ebbtide.json is damaged; restores do not work until it is removed"
                );
                state.manifest_trouble = Some((Instant::now(), why));
            }
            CheckResult::NoBase(key) => {
                tracing::error!(store, snapshot = %key, "the newest snapshot is missing in the replica; making another");
                state.base = None;
            }
            CheckResult::Whole | CheckResult::NoManifest => {}
        }
        state.checked = Some(Instant::now());
        state.outages = outages;
        state.is_urgent = false;
        Ok(())
    }

    /// Puts the manifest back with the same contents.
    async fn put_back(&self) -> Result<(), StoreError> {
        let store = &*self.to.store;
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
                self.state().manifest_trouble = Some((Instant::now(), why));
                Ok(())
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, PresenceState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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
            encryption: None,
        }
    }

    const BASE: Key = Key::Snapshot(Txid::FIRST);

    async fn replica() -> (MemoryStore, Presence) {
        let store = MemoryStore::default();
        store.put(&Key::Manifest, manifest(7).to_json().into()).await.unwrap();
        store.put(&BASE, vec![1].into()).await.unwrap();
        let to = Destination::new(Arc::new(store.clone()), Arc::default());
        let presence = Presence::new(manifest(7), true, to);
        presence.set_base(Some(BASE));
        (store, presence)
    }

    #[tokio::test]
    async fn o02_a_manifest_that_is_missing_is_put_back_as_it_was() {
        let (store, presence) = replica().await;
        presence.check().await.unwrap();
        assert!(presence.manifest_trouble().is_none());
        store.delete(&Key::Manifest).await.unwrap();
        presence.check().await.unwrap();
        assert!(presence.manifest_trouble().is_some());
        assert_eq!(read_manifest(&store).await.unwrap(), Some(manifest(7)));
    }

    #[tokio::test]
    async fn o02_a_store_that_was_emptied_or_has_another_replica_is_not_ours() {
        let (store, presence) = replica().await;
        for key in [Key::Manifest, BASE] {
            store.delete(&key).await.unwrap();
        }
        let gone = presence.check().await;
        assert!(matches!(gone, Err(Error::Gone { .. })), "{gone:?}");
        assert!(presence.is_due(Instant::now()));
        store.put(&Key::Manifest, manifest(8).to_json().into()).await.unwrap();
        store.put(&BASE, vec![1].into()).await.unwrap();
        let gone = presence.check().await;
        assert!(matches!(gone, Err(Error::Gone { .. })), "{gone:?}");
        assert_eq!(read_manifest(&store).await.unwrap(), Some(manifest(8)), "it is left alone");
    }

    #[tokio::test]
    async fn o02_a_snapshot_that_is_missing_is_noticed() {
        let (store, presence) = replica().await;
        store.delete(&BASE).await.unwrap();
        assert!(!presence.lacks_base());
        presence.check().await.unwrap();
        assert!(presence.lacks_base());
    }

    #[tokio::test]
    async fn o02_it_is_looked_at_after_an_outage_and_every_ten_minutes() {
        let (_store, presence) = replica().await;
        presence.check().await.unwrap();
        let now = Instant::now();
        assert!(!presence.is_due(now));
        assert!(presence.is_due(now + CHECK_INTERVAL));
        presence.to.note_failure(&StoreError::new(ErrorKind::Unavailable, "put x", "no route"));
        assert!(!presence.is_due(now), "nobody could look now");
        presence.to.note_success();
        assert!(presence.is_due(now));
        presence.check_if_due().await.unwrap();
        assert!(!presence.is_due(now));
    }
}
