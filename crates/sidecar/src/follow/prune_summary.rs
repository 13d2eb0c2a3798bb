//! What the last prune of a replica did, in numbers.

use ebbtide_replica::{Timestamp, Txid};
use ebbtide_retention::Pruned;
use serde::{Deserialize, Serialize};

/// What the last prune did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PruneSummary {
    /// When, by the store's clock.
    pub time: Timestamp,
    /// The first entry from which on every commit is kept.
    pub every_commit_from: Txid,
    /// How many states before that are kept.
    pub older_states: u64,
    /// How many objects were deleted…
    pub deleted_objects: u64,
    /// …and of how many bytes.
    pub deleted_bytes: u64,
    /// How many objects are condemned, and go a day later…
    pub condemned_objects: u64,
    /// …and of how many bytes.
    pub condemned_bytes: u64,
    /// How many the store did not let go.
    pub retained_objects: u64,
}

impl PruneSummary {
    pub(crate) fn of(pruned: &Pruned) -> PruneSummary {
        let outlook = &pruned.outlook;
        let carried: u64 = outlook.carried.iter().map(|object| object.size).sum();
        let (fresh_objects, fresh_bytes) = match pruned.horizon {
            Some(_) => (outlook.unneeded.len(), outlook.bytes()),
            None => (0, 0),
        };
        let retained = pruned.packed.retained.len() + pruned.condemned.retained.len();
        PruneSummary {
            time: outlook.now,
            every_commit_from: outlook.window,
            older_states: outlook.states.len() as u64,
            deleted_objects: pruned.packed.objects + pruned.condemned.objects,
            deleted_bytes: pruned.packed.bytes + pruned.condemned.bytes,
            condemned_objects: (outlook.carried.len() + fresh_objects) as u64,
            condemned_bytes: carried + fresh_bytes,
            retained_objects: retained as u64,
        }
    }
}
