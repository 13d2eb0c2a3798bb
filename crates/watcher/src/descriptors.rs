//! File descriptors of ours on the files that SQLite locks: the database and its wal-index.
//!
//! POSIX drops all locks that a process has on a file when the process closes any file descriptor of that file, SQLite's
//! locks included. So such a file descriptor must not be closed while a connection of ours is open. Each connection
//! shares [`Descriptors`], and closes SQLite's files before it gives up its share: the last connection closes before the
//! first file descriptor, whatever the order in which their owners are dropped.

use std::fs::File;
use std::sync::{Arc, Mutex};

use crate::mutex::lock;

/// File descriptors that stay open at least as long as every connection that shares them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Descriptors(Arc<Mutex<Vec<Arc<File>>>>);

impl Descriptors {
    /// Keeps `file` open. The file descriptor is closed with the last connection, or with the result if that is later.
    pub(crate) fn keep(&self, file: File) -> Arc<File> {
        let file = Arc::new(file);
        lock(&self.0).push(Arc::clone(&file));
        file
    }
}

#[cfg(test)]
mod tests {
    use ebbtide_wal::{READ_MARKS, lock};
    use nix::fcntl::{FcntlArg, fcntl};
    use nix::libc;

    use super::*;
    use crate::database_lock::DatabaseLock;
    use crate::files::{Identity, Paths};
    use crate::opening::begin_patiently;
    use crate::shm::Shm;

    /// Whether somebody has a lock on one of these bytes. `file` is another open file description than SQLite's, so
    /// the locks of this process count.
    fn is_locked(file: &File, bytes: std::ops::Range<u64>) -> bool {
        let mut probe = libc::flock {
            l_type: i16::try_from(libc::F_WRLCK).unwrap(),
            l_whence: i16::try_from(libc::SEEK_SET).unwrap(),
            l_start: i64::try_from(bytes.start).unwrap(),
            l_len: i64::try_from(bytes.end - bytes.start).unwrap(),
            l_pid: 0,
        };
        fcntl(file, FcntlArg::F_OFD_GETLK(&mut probe)).unwrap();
        i32::from(probe.l_type) != libc::F_UNLCK
    }

    /// Catches a file descriptor that is closed while a connection is open, in whatever order its owners are dropped.
    #[test]
    fn the_locks_of_a_connection_outlast_every_other_owner_of_a_file_descriptor() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("app.db");
        let application = rusqlite::Connection::open(&path).unwrap();
        let setup = "PRAGMA journal_mode = WAL; CREATE TABLE t (id INTEGER PRIMARY KEY);";
        application.execute_batch(setup).unwrap();
        // Without a connection in this process but ours.
        drop(application);

        let paths = Paths::of(&path);
        let descriptors = Descriptors::default();
        let connection = begin_patiently(&paths, &descriptors).unwrap();
        let probe = |path| File::options().read(true).write(true).open(path).unwrap();
        let probes = [probe(&paths.shm), probe(&paths.database)];
        let is_held = || {
            let marks = lock::read(0)..lock::read(READ_MARKS - 1) + 1;
            let [shm, database] = &probes;
            (is_locked(shm, marks), is_locked(database, lock::SHARED))
        };
        let shm = Shm::open(&paths, &descriptors).unwrap();
        let identity = Identity::at(&paths.database).unwrap();
        let database = DatabaseLock::open(&paths, identity, &descriptors).unwrap();
        let file = Arc::downgrade(&shm.file());
        assert_eq!(is_held(), (true, true));
        drop((shm, database, descriptors));
        assert_eq!(is_held(), (true, true), "the connection is open");
        drop(connection);
        assert!(file.upgrade().is_none(), "closed with the last connection");
        assert_eq!(is_held(), (false, false));
    }

    /// Shows what the rule is for, and that the test above would notice.
    #[test]
    fn closing_a_file_descriptor_drops_the_locks_of_a_connection() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("app.db");
        let setup = "PRAGMA journal_mode = WAL; CREATE TABLE t (id INTEGER PRIMARY KEY);";
        rusqlite::Connection::open(&path).unwrap().execute_batch(setup).unwrap();
        let paths = Paths::of(&path);
        let connection = begin_patiently(&paths, &Descriptors::default()).unwrap();
        let probe = File::options().read(true).write(true).open(&paths.database).unwrap();
        assert!(is_locked(&probe, lock::SHARED));
        drop(File::open(&paths.database).unwrap());
        assert!(!is_locked(&probe, lock::SHARED));
        drop(connection);
    }
}
