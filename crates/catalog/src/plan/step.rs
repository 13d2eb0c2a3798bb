//! What planning ends with: a plan, a reason why there is none, or what must be read first.

use ebbtide_replica::{Key, Txid};
use ebbtide_store::Object;

use crate::piece::IndexState;
use crate::target::Notice;

/// Which state is to be planned for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    /// That of the newest entry.
    Head,
    /// That of this one.
    Txid(Txid),
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Read the indexes of these objects, and then ask again.
    Read {
        /// The objects; also some that were read before, without the states that are needed now.
        objects: Vec<Object>,
        /// The states that are needed.
        points: Vec<Txid>,
    },
    /// Restore.
    Ready(Plan),
    /// Give up.
    Refuse(Refusal),
}

/// How to build a state: first the base, then each delta, then each part of the history, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The snapshot to begin with. Without one, the first entry of the history carries every page.
    pub snapshot: Option<Object>,
    /// The deltas after the snapshot, the oldest first. Each begins at or before the state that the one before it gives.
    pub deltas: Vec<Object>,
    /// The parts of the history after that, the oldest first.
    pub history: Vec<Part>,
    /// The first entry whose state the same objects give.
    pub serves_from: Txid,
    /// The state that comes out.
    pub stop: IndexState,
    /// What the user ought to know.
    pub notices: Vec<Notice>,
}

impl Plan {
    /// All objects, in the order in which they apply.
    pub fn objects(&self) -> impl DoubleEndedIterator<Item = Object> {
        let history = self.history.iter().map(|part| part.object);
        self.snapshot.into_iter().chain(self.deltas.iter().copied()).chain(history)
    }

    /// The objects from the newest to the oldest, each with the entries that apply: the order in which the first image of
    /// a page is the one that counts.
    #[must_use]
    pub fn newest_first(&self) -> Vec<Part> {
        // The one entry of a snapshot or delta applies whatever its number.
        let state = |object| Part { object, first: Txid::FIRST, last: self.stop.state.txid() };
        let states = self.deltas.iter().rev().copied().chain(self.snapshot);
        self.history.iter().rev().copied().chain(states.map(state)).collect()
    }
}

/// Those entries of an object that are to be applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// The object.
    pub object: Object,
    /// The first entry.
    pub first: Txid,
    /// The last entry.
    pub last: Txid,
}

impl Part {
    /// Whether an entry of the object is one of them.
    #[must_use]
    pub fn applies(&self, txid: Txid) -> bool {
        (self.first..=self.last).contains(&txid)
    }
}

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The replica has no entries.
    Empty,
    /// No state is kept from as early as that.
    Before,
    /// The history ends before it.
    Beyond {
        /// The last entry.
        head: Txid,
    },
    /// Around it, only some states are kept.
    NotKept,
    /// What would give it is damaged or missing.
    Damaged {
        /// The objects that stand in the way.
        culprits: Vec<Culprit>,
        /// The oldest entry that they concern.
        first: Txid,
    },
}

/// An object that stands in the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Culprit {
    /// The object, or the segment that would hold what is missing.
    pub key: Key,
    /// What is wrong with it.
    pub why: String,
}

impl Culprit {
    pub(crate) fn new(key: Key, why: impl Into<String>) -> Culprit {
        Culprit { key, why: why.into() }
    }

    /// The segment that would begin with the first of these entries, which are in no object.
    pub(crate) fn missing_entries(first: Txid, last: Txid) -> Culprit {
        let range = match first == last {
            true => format!("entry {first} is"),
            false => format!("entries {first} to {last} are"),
        };
        Culprit::new(Key::Log(first), format!("it is missing: {range} in no object"))
    }
}
