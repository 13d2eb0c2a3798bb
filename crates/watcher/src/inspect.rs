//! What a start would find out of a database's files, without a connection and without a lock: nothing is made or changed.

use std::path::{Path, PathBuf};

use ebbtide_wal::{PageSize, lock};

use crate::error::Error;
use crate::files::{FileSystem, Paths, check_file_system, header_of, open_database};
use crate::lock_bytes::exclusive_holder;
use crate::names::other_names;

/// What was found of a database's files.
#[derive(Debug)]
pub struct Inspection {
    /// On what it lies.
    pub file_system: FileSystem,
    /// The size of its pages.
    pub page_size: PageSize,
    /// Whether it has a write-ahead log.
    pub is_wal: bool,
    /// Those of its files that are there and that this process may not read and write.
    pub forbidden: Vec<PathBuf>,
    /// Its directory, if SQLite would have to make files there and this process may not.
    pub unwritable_directory: Option<PathBuf>,
    /// A sentence about the other names of its file.
    pub other_names: Option<String>,
    /// The other process that has it to itself, so that nobody else can read it.
    pub exclusive: Option<i32>,
    /// The size of its file.
    pub bytes: u64,
    /// The size of its log's file.
    pub log_bytes: u64,
}

/// Looks at the files of a database. To be called by no process that follows the database or has a connection to it: a file
/// is opened and closed, which drops the locks of the whole process.
///
/// # Errors
/// [`Error::Refused`] when it cannot be followed whoever does it, with the reason by name; [`Error::Io`] when it cannot be
/// looked at.
pub fn inspect(path: &Path) -> Result<Inspection, Error> {
    let paths = Paths::of(path);
    let file_system = check_file_system(&paths)?;
    let file = open_database(&paths)?;
    let header = header_of(&file, &paths)?;
    let look = |path: &Path| path.metadata().map_or(0, |metadata| metadata.len());
    Ok(Inspection {
        file_system,
        page_size: header.page_size,
        is_wal: header.is_wal,
        forbidden: paths.forbidden(),
        unwritable_directory: paths.unwritable_directory(),
        other_names: other_names(&paths.database),
        // Where the kernel does not say, a start finds out.
        exclusive: exclusive_holder(&file, lock::SHARED.start).unwrap_or_default(),
        bytes: look(&paths.database),
        log_bytes: look(&paths.wal),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_is_looked_at_and_nothing_is_made() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("app.db");
        let application = rusqlite::Connection::open(&path).unwrap();
        application.execute_batch("CREATE TABLE t (b)").unwrap();
        let found = inspect(&path).unwrap();
        assert!(!found.is_wal && found.exclusive.is_none() && found.log_bytes == 0);
        application.pragma_update(None, "journal_mode", "WAL").unwrap();
        application.close().unwrap();
        let found = inspect(&path).unwrap();
        assert!(found.is_wal && found.bytes > 0);
        assert!(found.forbidden.is_empty() && found.other_names.is_none());
        let names = std::fs::read_dir(directory.path()).unwrap().count();
        assert_eq!(names, 1, "no log and no wal-index was made");
        let gone = inspect(&directory.path().join("gone.db"));
        assert!(matches!(gone, Err(Error::Refused { .. })), "{gone:?}");
    }
}
