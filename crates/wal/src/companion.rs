//! The names of the files that SQLite keeps beside a database.

use std::path::{Path, PathBuf};

/// The suffix of the write-ahead log.
pub const WAL: &str = "-wal";

/// The suffix of the wal-index.
pub const SHM: &str = "-shm";

/// The suffix of the rollback journal.
pub const JOURNAL: &str = "-journal";

/// All suffixes. SQLite takes a file with one of them for part of any database of that name.
pub const SUFFIXES: [&str; 3] = [WAL, SHM, JOURNAL];

/// The path of the file beside `database` with this suffix.
#[must_use]
pub fn path(database: &Path, suffix: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
