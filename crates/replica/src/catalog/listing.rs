//! The names of a replica's objects.

use crate::store::{Object, Store, StoreError};
use crate::{Folder, Key, Txid};

/// The objects of a replica, each kind in the order of its names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// Segments, by their first entry.
    pub log: Vec<Object>,
    /// Packs, by their first entry and then by their last.
    pub packs: Vec<Object>,
    /// Deltas, by their first entry and then by their last.
    pub deltas: Vec<Object>,
    /// Snapshots, by their entry.
    pub snapshots: Vec<Object>,
}

/// Lists all objects.
pub async fn list(store: &dyn Store) -> Result<Listing, StoreError> {
    let (log, packs, deltas, snapshots) = futures::try_join!(
        store.list(Folder::Log, None),
        store.list(Folder::Pack, None),
        store.list(Folder::Delta, None),
        store.list(Folder::Snapshot, None),
    )?;
    Ok(Listing { log, packs, deltas, snapshots })
}

impl Listing {
    /// Whether there is nothing at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.objects().next().is_none()
    }

    /// All objects.
    pub fn objects(&self) -> impl Iterator<Item = Object> {
        let folders = [&self.log, &self.packs, &self.deltas, &self.snapshots];
        folders.into_iter().flatten().copied()
    }

    /// The newest snapshot of a state at or before `txid`.
    #[must_use]
    pub fn snapshot_before(&self, txid: Txid) -> Option<Object> {
        let end = self.snapshots.partition_point(|object| object.key <= Key::Snapshot(txid));
        self.snapshots[..end].last().copied()
    }

    /// The segment in which `txid` lies, judging by names alone: the last that does not begin after it.
    #[must_use]
    pub fn segment_of(&self, txid: Txid) -> Option<Object> {
        let end = self.log.partition_point(|object| object.key <= Key::Log(txid));
        self.log[..end].last().copied()
    }
}
