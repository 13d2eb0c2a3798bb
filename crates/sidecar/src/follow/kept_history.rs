//! How far the history of a replica reaches back, as the status tells it.

use ebbtide_replica::{Timestamp, Txid};
use ebbtide_retention::Extent;
use serde::{Deserialize, Serialize};

/// From when on every commit can be had, and what is kept before that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptHistory {
    /// The first entry from which on the state after every one can be had…
    pub every_commit_from_txid: Txid,
    /// …and its time.
    pub every_commit_from_time: Timestamp,
    /// How many states before that are kept.
    pub older_states: u64,
    /// The oldest of them…
    pub oldest_txid: Option<Txid>,
    /// …and its time.
    pub oldest_time: Option<Timestamp>,
}

impl KeptHistory {
    pub(crate) fn of(extent: Extent) -> KeptHistory {
        KeptHistory {
            every_commit_from_txid: extent.every_commit_from.txid,
            every_commit_from_time: extent.every_commit_from.time,
            older_states: extent.older_states,
            oldest_txid: extent.oldest.map(|oldest| oldest.txid),
            oldest_time: extent.oldest.map(|oldest| oldest.time),
        }
    }
}
