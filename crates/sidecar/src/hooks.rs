//! What the program around may do when something happens here, and what it allows.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use ebbtide_config::Database;
use ebbtide_restore::Check;
use ebbtide_seal::Wrap;

/// How far the first snapshot of a database is.
#[derive(Debug, Clone)]
pub struct SnapshotProgress {
    /// The database.
    pub database: PathBuf,
    /// Bytes of the database that were read…
    pub done: u64,
    /// …of so many.
    pub total: u64,
    /// No more will come of this one, whether it was completed or not.
    pub is_over: bool,
}

/// Lines that the program could not log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostLines {
    /// How many.
    pub lines: u64,
    /// Why the newest of them could not be logged.
    pub error: String,
}

/// What wraps keys for the recipients of a database, or why they cannot be used.
pub type Recipients = fn(&Database) -> Result<Option<Arc<dyn Wrap>>, String>;

type OnSnapshot = dyn Fn(&SnapshotProgress) + Send + Sync;

/// What holds for all databases; functions are called from the tasks of the databases, and therefore must not block.
#[derive(Clone, Default)]
pub struct Hooks {
    /// Once no start is under way any more. Starts leave much free memory in small holes, which the allocator may give back.
    pub started: Option<fn()>,
    /// A few times a second while the first snapshot of a database is made, and once when it is over.
    pub snapshot: Option<Arc<OnSnapshot>>,
    /// Made of each file that a drill restores.
    pub drill_check: Option<Check>,
    /// Asked for whatever the status of a database shows.
    pub unlogged: Option<fn() -> Option<LostLines>>,
    /// What wraps the keys of a database's replica for the recipients that it is configured with; nothing if there are none.
    /// It is asked when the database is added.
    pub recipients: Option<Recipients>,
    /// How many bytes are sent in a second at most, by all databases together; no limit if there is none.
    pub bytes_per_second: Option<u64>,
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks").finish_non_exhaustive()
    }
}
