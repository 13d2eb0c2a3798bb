//! The names of a replica's objects.

use ebbtide_replica::{Key, KeyPrefix, Txid};
use ebbtide_store::{Object, Store, StoreError};

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
    /// What was passed over because it lies far beyond the history.
    pub junk: Vec<Object>,
}

/// Lists all objects.
pub async fn list(store: &dyn Store) -> Result<Listing, StoreError> {
    let (log, packs, deltas, snapshots) = futures::try_join!(
        store.list(KeyPrefix::Log, None),
        store.list(KeyPrefix::Pack, None),
        store.list(KeyPrefix::Delta, None),
        store.list(KeyPrefix::Snapshot, None),
    )?;
    let mut listing = Listing { log, packs, deltas, snapshots, junk: Vec::new() };
    listing.dismiss_junk(store).await?;
    Ok(listing)
}

/// Lists all objects but those segments whose entries are in packs, which may be a hundred times as many. The names of
/// segments are complete from the entry in the answer on; they are complete altogether if there is none.
pub async fn list_recent(store: &dyn Store) -> Result<(Listing, Option<Txid>), StoreError> {
    let (packs, deltas, snapshots) = futures::try_join!(
        store.list(KeyPrefix::Pack, None),
        store.list(KeyPrefix::Delta, None),
        store.list(KeyPrefix::Snapshot, None),
    )?;
    let mut listing = Listing { packs, deltas, snapshots, ..Listing::default() };
    // Only the log shows which of them is junk, if any is.
    let row = newest_row(&listing.packs).filter(|_| listing.is_in_one_piece());
    let after = row.map(|(_, last)| Key::Log(last));
    listing.log = store.list(KeyPrefix::Log, after.as_ref()).await?;
    listing.dismiss_junk(store).await?;
    let complete_from = row.map(|(first, _)| first).filter(|&first| first != Txid::FIRST);
    Ok((listing, complete_from))
}

/// The first and the last entry of the packs that follow each other without a gap up to the newest of all.
fn newest_row(packs: &[Object]) -> Option<(Txid, Txid)> {
    let mut ends: Vec<(Txid, Txid)> = packs
        .iter()
        .filter_map(|object| match object.key {
            Key::Pack { first, last } => Some((last, first)),
            _ => None,
        })
        .collect();
    ends.sort_unstable();
    let mut ends = ends.into_iter().rev();
    let (newest, mut begin) = ends.next()?;
    for (last, first) in ends {
        if last.next() < begin {
            break;
        }
        begin = begin.min(first);
    }
    Some((begin, newest))
}

impl Listing {
    /// Whether there is nothing at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.objects().next().is_none()
    }

    /// All objects.
    pub fn objects(&self) -> impl Iterator<Item = Object> {
        let directories = [&self.log, &self.packs, &self.deltas, &self.snapshots];
        directories.into_iter().flatten().copied()
    }

    /// The entries whose states there are snapshots or deltas of.
    pub(crate) fn states(&self) -> impl Iterator<Item = Txid> {
        self.snapshots.iter().chain(&self.deltas).filter_map(|object| object.key.state())
    }

    /// The newest snapshot of a state at or before `txid`.
    #[must_use]
    pub fn snapshot_before(&self, txid: Txid) -> Option<Object> {
        let end = self.snapshots.partition_point(|object| object.key <= Key::Snapshot(txid));
        self.snapshots[..end].last().copied()
    }

    /// The segment or pack in which `txid` lies, judging by names alone. A pack names its last entry, so packs come first.
    #[must_use]
    pub(crate) fn history_at(&self, txid: Txid) -> Option<Object> {
        let is_in = |object: &&Object| match object.key {
            Key::Pack { first, last } => (first..=last).contains(&txid),
            _ => false,
        };
        self.packs.iter().rev().find(is_in).copied().or_else(|| self.segment_of(txid))
    }

    /// The packs that have `txid`, by their names.
    pub fn packs_with(&self, txid: Txid) -> impl Iterator<Item = Object> {
        self.packs.iter().copied().filter(move |object| object.key.is_pack_with(txid))
    }

    /// The segment in which `txid` lies, judging by names alone: the last that does not begin after it.
    #[must_use]
    pub fn segment_of(&self, txid: Txid) -> Option<Object> {
        let end = self.log.partition_point(|object| object.key <= Key::Log(txid));
        self.log[..end].last().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(packs: &[(u64, u64)]) -> Option<(u64, u64)> {
        let txid = |number| Txid::new(number).unwrap();
        let pack = |&(first, last)| Key::Pack { first: txid(first), last: txid(last) };
        let packs: Vec<Object> = packs.iter().map(pack).map(|key| Object::new(key, 1)).collect();
        newest_row(&packs).map(|(first, last)| (first.get(), last.get()))
    }

    #[test]
    fn packs_count_as_far_back_as_they_follow_each_other() {
        assert_eq!(row(&[]), None);
        assert_eq!(row(&[(1, 9), (10, 19), (20, 29)]), Some((1, 29)));
        assert_eq!(row(&[(1, 9), (11, 19), (20, 29)]), Some((11, 29)));
        // Two processes may have cut them differently.
        assert_eq!(row(&[(3, 9), (3, 14), (10, 19), (15, 16)]), Some((3, 19)));
        assert_eq!(row(&[(1, 2), (5, 6), (4, 9)]), Some((4, 9)));
    }
}
