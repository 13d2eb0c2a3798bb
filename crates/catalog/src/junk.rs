//! Names that have nothing to do with the history: what others have put among the objects of a replica, or what says that
//! it is millions of entries ahead of everything else.

use super::{CatalogError, Listing, identify, newest_horizon};
use ebbtide_replica::container::limits::ENTRIES_MAX;
use ebbtide_replica::{Key, Txid};
use ebbtide_store::{Object, Store, StoreError};

/// Names that are near each other.
#[derive(Debug, Clone, Copy)]
struct Cluster {
    first: Txid,
    last: Txid,
    /// How many of them are of the history: segments and packs.
    history: usize,
}

impl Listing {
    /// Whether all names are near each other, so that none of them can be junk.
    pub(super) fn is_in_one_piece(&self) -> bool {
        clusters(self.objects()).len() <= 1
    }

    /// Takes out the names that lie beyond the history, with more entries between than any one object has.
    pub(super) async fn dismiss_junk(&mut self, store: &dyn Store) -> Result<(), StoreError> {
        if !self.is_in_one_piece() {
            self.dismiss_beyond(horizon_head(store).await?);
        }
        Ok(())
    }

    /// What is left is the part with the most segments and packs, the earliest of equals, and everything before it. Up
    /// to `head`, the end of the history when the newest horizon was put, none is junk: of a thinned history there may be
    /// more names long ago than there are now.
    fn dismiss_beyond(&mut self, head: Option<Txid>) {
        let clusters = clusters(self.objects());
        let begin = head.map_or(0, |head| clusters.partition_point(|cluster| cluster.last < head));
        let begin = begin.min(clusters.len().saturating_sub(1));
        // Of equals the last of the reversed order counts, which is the earliest.
        let real = (begin..clusters.len()).rev().max_by_key(|&at| clusters[at].history);
        let Some(beyond) = real.and_then(|real| clusters.get(real + 1)) else { return };
        let mut junk = Vec::new();
        let is_beyond =
            |object: &mut Object| span(object.key).is_some_and(|(first, ..)| first >= beyond.first);
        for directory in [&mut self.log, &mut self.packs, &mut self.deltas, &mut self.snapshots] {
            junk.extend(directory.extract_if(.., is_beyond));
        }
        for object in &junk {
            tracing::warn!(object = %object.key, "passed over: it does not continue the history of the replica");
        }
        self.junk.append(&mut junk);
    }
}

/// Where the history ended when the newest horizon was put.
async fn horizon_head(store: &dyn Store) -> Result<Option<Txid>, StoreError> {
    let read = async {
        let Some(identity) = identify(store, None).await? else { return Ok(None) };
        newest_horizon(store, &identity.manifest).await
    };
    match read.await {
        Ok(stored) => Ok(stored.map(|stored| stored.horizon.head)),
        Err(CatalogError::Store(error)) => Err(error),
        // Whoever reads the replica meets the same, and says so.
        Err(_) => Ok(None),
    }
}

/// Which of the names are near each other, in order.
fn clusters(objects: impl Iterator<Item = Object>) -> Vec<Cluster> {
    let mut spans: Vec<(Txid, Txid, bool)> =
        objects.filter_map(|object| span(object.key)).collect();
    spans.sort_unstable();
    let mut clusters: Vec<Cluster> = Vec::new();
    let mut reach = None;
    for (first, last, is_history) in spans {
        match clusters.last_mut() {
            Some(cluster) if !is_far(reach, first) => {
                cluster.history += usize::from(is_history);
                cluster.last = cluster.last.max(last);
            }
            _ => clusters.push(Cluster { first, last, history: usize::from(is_history) }),
        }
        reach = reach.max(Some(last));
    }
    clusters
}

/// The entries that an object has for certain, judging by its name, and whether it is of the history.
fn span(key: Key) -> Option<(Txid, Txid, bool)> {
    match key {
        Key::Manifest | Key::Horizon(_) | Key::Mark { .. } | Key::Wrapped { .. } => None,
        Key::Log(first) => Some((first, first, true)),
        Key::Pack { first, last } => Some((first, last, true)),
        Key::Delta { first, last } => Some((first, last, false)),
        Key::Snapshot(txid) => Some((txid, txid, false)),
    }
}

/// Whether more entries lie between the last one known and `first` than one object can have.
fn is_far(reach: Option<Txid>, first: Txid) -> bool {
    reach.is_some_and(|reach| first.get().saturating_sub(reach.get()) > u64::from(ENTRIES_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAR: u64 = 0xffff_ffff;

    fn listing(log: &[u64], packs: &[(u64, u64)], snapshots: &[u64]) -> Listing {
        let txid = |number: u64| Txid::new(number).unwrap();
        let object = |key| Object::new(key, 1);
        let log = log.iter().map(|&first| object(Key::Log(txid(first)))).collect();
        let pack = |&(first, last): &(u64, u64)| {
            object(Key::Pack { first: txid(first), last: txid(last) })
        };
        let packs = packs.iter().map(pack).collect();
        let snapshots = snapshots.iter().map(|&at| object(Key::Snapshot(txid(at)))).collect();
        Listing { log, packs, snapshots, ..Listing::default() }
    }

    fn dismissed(mut listing: Listing) -> Vec<String> {
        dismissed_beyond(&mut listing, None)
    }

    fn dismissed_beyond(listing: &mut Listing, head: Option<u64>) -> Vec<String> {
        listing.dismiss_beyond(head.map(|head| Txid::new(head).unwrap()));
        listing.junk.iter().map(|object| object.key.to_string()).collect()
    }

    #[test]
    fn o20_what_lies_far_beyond_the_history_is_dismissed_whatever_kind_it_is() {
        assert_eq!(dismissed(Listing::default()), [""; 0]);
        assert_eq!(dismissed(listing(&[1, 2, 9], &[], &[2])), [""; 0]);
        let far = ["log/00000000ffffffff.seg"];
        assert_eq!(dismissed(listing(&[1, 2, FAR], &[], &[2])), far);
        assert_eq!(dismissed(listing(&[9, FAR], &[(1, 8)], &[2])), far);
        assert_eq!(dismissed(listing(&[], &[], &[2, FAR])), ["snap/00000000ffffffff.seg"]);
        let packs = [(1, 8), (FAR - 1, FAR)];
        let far = ["pack/00000000fffffffe-00000000ffffffff.seg"];
        assert_eq!(dismissed(listing(&[9], &packs, &[2])), far);
        let last = ["log/ffffffffffffffff.seg"];
        assert_eq!(dismissed(listing(&[1, 2, u64::MAX], &[], &[2])), last);
    }

    /// Fences of long ago are never deleted, and the window may have few objects.
    #[test]
    fn h19_a_thinned_history_is_not_junk_because_most_names_are_of_long_ago() {
        let thinned = || listing(&[1, 9, 20, 300, FAR + 9], &[(FAR, FAR + 8)], &[2, FAR]);
        assert_eq!(dismissed(thinned()).len(), 3, "without a horizon nobody can tell");
        for head in [FAR, FAR + 8, FAR + 9, FAR + 500] {
            assert_eq!(dismissed_beyond(&mut thinned(), Some(head)), [""; 0]);
        }
        let mut with_junk = thinned();
        let junk = Object::new(Key::Log(Txid::new(2 * FAR).unwrap()), 1);
        with_junk.log.push(junk);
        let far = ["log/00000001fffffffe.seg"];
        assert_eq!(dismissed_beyond(&mut with_junk, Some(FAR + 8)), far);
    }

    #[test]
    fn o20_a_state_that_is_kept_from_long_before_is_not_the_history() {
        assert_eq!(dismissed(listing(&[FAR, FAR + 1], &[], &[2, FAR])), [""; 0]);
        let most = u64::from(ENTRIES_MAX);
        assert_eq!(dismissed(listing(&[1, 1 + most], &[], &[])), [""; 0]);
        assert_eq!(dismissed(listing(&[1, 2 + most], &[], &[])).len(), 1);
    }
}
