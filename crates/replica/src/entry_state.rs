//! The state of a database after an entry.

use crate::{Chain, Digest, Entry, Point, Timestamp, Txid};

/// The state of a database after an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryState {
    /// The entry.
    pub point: Point,
    /// The chain after it: it proves every entry before this state.
    pub chain: Chain,
    /// The digest of the database.
    pub digest: Digest,
    /// The size of the database, in pages.
    pub database_pages: u32,
}

impl EntryState {
    /// The state after `entry`. `chain` is the chain after it.
    #[must_use]
    pub fn after(entry: &Entry, chain: Chain) -> EntryState {
        EntryState {
            point: entry.point(),
            chain,
            digest: entry.digest,
            database_pages: entry.database_pages,
        }
    }

    /// The txid of the entry.
    #[must_use]
    pub fn txid(&self) -> Txid {
        self.point.txid
    }

    /// The time of the entry.
    #[must_use]
    pub fn time(&self) -> Timestamp {
        self.point.time
    }

    /// Whether both have the same pages, as far as size and digest tell. A writer to the store can construct pages with
    /// any digest, so this alone proves nothing about a database that somebody else may have written.
    #[must_use]
    pub fn has_same_pages(&self, other: &EntryState) -> bool {
        (self.digest, self.database_pages) == (other.digest, other.database_pages)
    }
}
