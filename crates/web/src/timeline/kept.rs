//! Single states: those that a policy keeps before the time from which on every commit is kept, and marks.

use ebbtide_catalog::{Listing, StoredMark};
use ebbtide_replica::{HorizonState, Key, Point, Txid};

/// A state with a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NamedState {
    pub(crate) point: Point,
    pub(crate) name: String,
}

impl NamedState {
    /// Of a mark.
    pub(crate) fn of(stored: &StoredMark) -> NamedState {
        let (txid, contents) = (stored.mark.txid, &stored.mark.contents);
        NamedState { point: Point { txid, time: contents.time }, name: contents.name.clone() }
    }
}

/// A state that is kept for itself, with the reasons.
pub(crate) fn single(state: &HorizonState) -> NamedState {
    let point = Point { txid: state.txid, time: state.time };
    NamedState { point, name: state.why.join(", ") }
}

/// The entries of snapshots.
pub(crate) fn snapshots(listing: &Listing) -> Vec<Txid> {
    let entry = |key| match key {
        Key::Snapshot(txid) => Some(txid),
        _ => None,
    };
    listing.snapshots.iter().filter_map(|object| entry(object.key)).collect()
}
