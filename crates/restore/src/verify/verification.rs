//! What a verification says in the end.

use ebbtide_replica::{Key, Point, ReplicaId, Txid};
use ebbtide_store::Object;
use serde::Serialize;

use super::depth::Depth;
use super::finding::{Finding, Severity};

/// What a verification found.
#[derive(Debug, Clone, Serialize)]
pub struct Verification {
    /// The replica.
    pub replica: ReplicaId,
    /// Where it lies.
    pub place: String,
    /// How deep it was looked at, with the keys that there were.
    pub depth: Depth,
    /// What was looked at.
    pub counts: Totals,
    /// The first and the last entry of the history, with their times.
    pub history: Option<[Point; 2]>,
    /// The first entry whose state can be restored.
    pub first_restorable: Option<Txid>,
    /// The first and the last entry of each range of entries of which each can be restored, as the planner says that
    /// restores. Of more than 64 ranges the newest.
    pub restorable: Vec<[Point; 2]>,
    /// What is left of the history before the window, where a horizon says that it is thinned.
    pub thinned: Option<Thinned>,
    /// All that is wrong, and what ought to be known, in the order of the history.
    pub findings: Vec<Finding>,
}

/// What a horizon says of the history before its window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Thinned {
    /// The number of the horizon.
    pub horizon: u64,
    /// The first entry from which on all are there.
    pub window: Txid,
    /// How many states it keeps before that…
    pub states: u64,
    /// …and how many of them were proved.
    pub proved: u64,
    /// How many objects are there that it condemns. They were not looked at.
    pub condemned: u64,
}

/// How much was looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Segments.
    pub segments: u64,
    /// Packs.
    pub packs: u64,
    /// Deltas.
    pub deltas: u64,
    /// Snapshots.
    pub snapshots: u64,
    /// Horizons.
    pub horizons: u64,
    /// Marks.
    pub marks: u64,
    /// Wrapped keys.
    pub keys: u64,
    /// Bytes of all objects.
    pub bytes: u64,
    /// Entries of the history.
    pub entries: u64,
    /// Entries whose digest was computed from the pages before them, and was right.
    pub digests: u64,
    /// Page images in all objects, as far as they were proved.
    pub pages: u64,
    /// Entries before which history was missed.
    pub gaps: u64,
}

impl Verification {
    /// Whether everything is as it was written.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.findings.iter().all(|finding| finding.severity < Severity::Damage)
    }
}

/// How many objects of each kind there are, and their bytes.
pub(super) fn count(objects: &[Object]) -> Totals {
    let mut counts = Totals::default();
    for object in objects {
        counts.bytes += object.size;
        match object.key {
            Key::Log(_) => counts.segments += 1,
            Key::Pack { .. } => counts.packs += 1,
            Key::Delta { .. } => counts.deltas += 1,
            Key::Snapshot(_) => counts.snapshots += 1,
            Key::Manifest | Key::Horizon(_) | Key::Mark { .. } | Key::Wrapped { .. } => {}
        }
    }
    counts
}
