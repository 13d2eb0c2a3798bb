//! A commit that is appended, and what becomes of it.

use ebbtide_replica::Timestamp;

/// A commit without its pages.
#[derive(Debug, Clone, Copy)]
pub struct Commit {
    /// When it was committed.
    pub time: Timestamp,
    /// The size of the database after it, in pages.
    pub database_pages: u32,
    /// The number of pages that it changed.
    pub page_count: usize,
    /// The log position after it.
    pub wal: ebbtide_wal::Position,
}

/// Whether appending may block on the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blocking {
    /// A large transaction is streamed while it is encoded, as fast as the store takes it.
    Allowed,
    /// Transactions stay in memory, whatever their size: the application's writers are blocked meanwhile.
    Forbidden,
}

/// What became of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Appended {
    /// It is in the open segment or in the batch.
    Taken,
    /// An outage lasted until the spool was full. The commit was not appended, and the log must be released.
    SpoolFull,
}
