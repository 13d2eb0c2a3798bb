//! Names that have nothing to do with the history: what others have put among the objects of a replica, or what says that
//! it is millions of entries ahead of everything else.

use super::Listing;
use ebbtide_replica::container::limits::ENTRIES_MAX;
use ebbtide_replica::{Key, Txid};
use ebbtide_store::Object;

/// Names that are near each other.
#[derive(Debug, Clone, Copy)]
struct Cluster {
    first: Txid,
    /// How many of them are of the history: segments and packs.
    history: usize,
}

impl Listing {
    /// Whether all names are near each other, so that none of them can be junk.
    pub(super) fn is_in_one_piece(&self) -> bool {
        clusters(self.objects()).len() <= 1
    }

    /// Takes out the names that lie beyond the history, with more entries between than any one object has. What is left is
    /// the part with the most segments and packs, the earliest of equals, and everything before it.
    pub(super) fn dismiss_junk(&mut self) {
        let clusters = clusters(self.objects());
        // Of equals the last of the reversed order counts, which is the earliest.
        let real = (0..clusters.len()).rev().max_by_key(|&at| clusters[at].history);
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
            }
            _ => clusters.push(Cluster { first, history: usize::from(is_history) }),
        }
        reach = reach.max(Some(last));
    }
    clusters
}

/// The entries that an object has for certain, judging by its name, and whether it is of the history.
fn span(key: Key) -> Option<(Txid, Txid, bool)> {
    match key {
        Key::Manifest | Key::Horizon(_) | Key::Mark { .. } => None,
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
        listing.dismiss_junk();
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

    #[test]
    fn o20_a_state_that_is_kept_from_long_before_is_not_the_history() {
        assert_eq!(dismissed(listing(&[FAR, FAR + 1], &[], &[2, FAR])), [""; 0]);
        let most = u64::from(ENTRIES_MAX);
        assert_eq!(dismissed(listing(&[1, 1 + most], &[], &[])), [""; 0]);
        assert_eq!(dismissed(listing(&[1, 2 + most], &[], &[])).len(), 1);
    }
}
