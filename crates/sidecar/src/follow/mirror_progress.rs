//! How far a mirror is.

use ebbtide_replica::{Timestamp, Txid};

/// One mirror's progress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MirrorProgress {
    /// Its address.
    pub replica: String,
    /// The last entry that it has.
    pub durable: Option<Txid>,
    /// Since when it lacks something that the first replica has.
    pub behind_since: Option<Timestamp>,
    /// Since when it cannot be brought up to date, and why not.
    pub trouble: Option<(Timestamp, String)>,
    /// How many objects are damaged in the first replica and were not copied.
    pub damaged_objects: u64,
    /// How many objects were deleted since the process began, because they are in packs or are not kept any more.
    pub deleted_objects: u64,
    /// How many its store did not let go at the last time.
    pub retained_objects: u64,
}

impl MirrorProgress {
    pub(crate) fn new(replica: String) -> MirrorProgress {
        MirrorProgress {
            replica,
            durable: None,
            behind_since: None,
            trouble: None,
            damaged_objects: 0,
            deleted_objects: 0,
            retained_objects: 0,
        }
    }
}
