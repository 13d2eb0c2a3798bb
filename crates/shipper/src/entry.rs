//! An entry that is about to be encoded, without its pages.

use ebbtide_replica::container::EntryStart;
use ebbtide_replica::{EntryFlags, EntryKind, Point, Timestamp};

use crate::outgoing::STREAM_BYTES;

/// An entry without its txid and its pages.
#[derive(Debug, Clone)]
pub(crate) struct NewEntry {
    pub(crate) kind: EntryKind,
    pub(crate) flags: EntryFlags,
    pub(crate) time: Timestamp,
    pub(crate) database_pages: u32,
    pub(crate) detail: Vec<u8>,
    /// The expected size of the pages in bytes.
    pub(crate) expected: u64,
    /// The log position after it. Nothing for a claim, which has none.
    pub(crate) wal: Option<ebbtide_wal::Position>,
}

impl NewEntry {
    /// Whether the entry may be too large to stay in memory.
    pub(crate) fn is_large(&self) -> bool {
        self.expected > STREAM_BYTES as u64
    }

    /// Its time after an entry with the time `last`: times never decrease within a replica.
    pub(crate) fn time_after(&self, last: Timestamp) -> Timestamp {
        self.time.max(last)
    }

    /// The entry after `last`.
    pub(crate) fn start_after(&self, last: Point) -> EntryStart {
        EntryStart {
            txid: last.txid.next(),
            kind: self.kind,
            flags: self.flags,
            time: self.time_after(last.time),
            database_pages: self.database_pages,
            detail: self.detail.clone(),
        }
    }
}
