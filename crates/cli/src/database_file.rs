//! A database file that is read, and neither written nor given company.
//!
//! SQLite makes a `-wal` and a `-shm` beside a database in WAL mode even for a reader, and writes into a `-shm` that was
//! left behind. So how a file is opened goes by who else is there:
//!
//! | the file | how it is opened |
//! |---|---|
//! | in WAL mode, and another process has it open | as one more reader, who takes SQLite's locks |
//! | in WAL mode, and nobody has it open; there is a log | without locks, the wal-index in memory |
//! | in WAL mode, and nobody has it open; there is no log | as immutable |
//! | with a rollback journal | as one more reader |
//!
//! Without locks somebody may come and write: then the file, or the log, is another one afterwards, which is an error.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ebbtide_directory::open_regular;
use ebbtide_rows::{Pages, Side};
use ebbtide_wal::companion;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use crate::exit::{Code, Failure};

/// Where the header says that the database is in WAL mode.
const VERSIONS: std::ops::Range<usize> = 18..20;

/// The byte of the `-shm` file that everybody who has it open has locked: SQLite's dead-man's switch.
const SHM_OPEN_BYTE: libc::off_t = 128;

/// How long a reader waits for a writer that is changing a database with a rollback journal.
const BUSY: Duration = Duration::from_secs(5);

/// Inode, size, and when it was changed; `None` if it is not there.
type Stamp = Option<(u64, u64, i64, i64)>;

/// How a file has to be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// With SQLite's locks.
    Reader,
    /// Nobody else has it open, and it has a log.
    WithoutLocks,
    /// Nobody else has it open, and the file is all there is.
    Immutable,
}

/// What was found before the file is opened. All files are looked at before the first is opened: closing a descriptor of
/// one would drop the locks that this process has on it.
#[derive(Debug)]
pub(crate) struct Looked {
    path: PathBuf,
    way: Way,
    stamps: [Stamp; 2],
    is_wal: bool,
    page_bytes: usize,
    reserved_bytes: usize,
}

/// A database that is read in one state.
#[derive(Debug)]
pub(crate) struct DatabaseFile {
    /// In a read transaction. Closed before the descriptor below, which would take its locks along.
    pub(crate) connection: Connection,
    looked: Looked,
    /// The file, if all pages are in it and stay as they are while the connection reads.
    pages: Option<File>,
}

impl Looked {
    /// Looks at a file.
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    pub(crate) fn at(path: &Path) -> Result<Looked, Failure> {
        let failed = |error: std::io::Error| {
            let why = format!("cannot read {}: {error}", path.display());
            Failure::new(Code::Failed, why)
        };
        let absolute = std::path::absolute(path).map_err(failed)?;
        let mut header = Vec::new();
        open_regular(&absolute)
            .map_err(failed)?
            .take(100)
            .read_to_end(&mut header)
            .map_err(failed)?;
        let is_wal = header.get(VERSIONS).is_some_and(|versions| versions == [2, 2]);
        let log = companion::path(&absolute, companion::WAL);
        let has_log = log.metadata().is_ok_and(|metadata| metadata.len() > 0);
        let way = match (is_wal, has_log) {
            (false, _) => Way::Reader,
            (true, _) if is_open(&companion::path(&absolute, companion::SHM)) => Way::Reader,
            (true, true) => Way::WithoutLocks,
            (true, false) => Way::Immutable,
        };
        let stamps = [stamp(&absolute), stamp(&log)];
        let page_bytes = match header.get(16..18) {
            Some([0, 1]) => 65_536,
            Some([high, low]) => usize::from(*high) << 8 | usize::from(*low),
            _ => 0,
        };
        let reserved_bytes = header.get(20).copied().map_or(0, usize::from);
        Ok(Looked { path: absolute, way, stamps, is_wal, page_bytes, reserved_bytes })
    }

    /// Opens it, and begins to read.
    ///
    /// # Errors
    /// When SQLite cannot.
    pub(crate) fn open(self) -> Result<DatabaseFile, Failure> {
        let connection = connect(&self).map_err(|error| {
            let why = format!("cannot open {}: {error}", self.path.display());
            Failure::new(Code::Failed, why)
        })?;
        // With a log, the newest pages are there; and a reader's lock keeps writers out of a file that has none.
        let is_all = self.way == Way::Immutable || self.way == Way::Reader && !self.is_wal;
        let pages = if is_all { open_regular(&self.path).ok() } else { None };
        Ok(DatabaseFile { connection, looked: self, pages })
    }
}

impl DatabaseFile {
    /// The database to `with`, as one side of a comparison.
    pub(crate) fn with_side<T>(&self, with: impl FnOnce(Side<'_>) -> T) -> T {
        let side = Side::new(&self.connection, "main");
        let Some(file) = &self.pages else { return with(side) };
        let read = |at, bytes: &mut [u8]| file.read_at(bytes, at);
        let Looked { page_bytes, reserved_bytes, .. } = self.looked;
        with(Side { pages: Some(Pages { page_bytes, reserved_bytes, read: &read }), ..side })
    }

    /// Sees to it that what was read was one state.
    ///
    /// # Errors
    /// When somebody has written into the file meanwhile, and no lock kept it from changing.
    pub(crate) fn finish(self) -> Result<(), Failure> {
        self.check()
    }

    /// The same, with more to be read.
    ///
    /// # Errors
    /// As [`DatabaseFile::finish`].
    pub(crate) fn check(&self) -> Result<(), Failure> {
        let Looked { path, way, stamps, .. } = &self.looked;
        let log = companion::path(path, companion::WAL);
        if *way == Way::Reader || *stamps == [stamp(path), stamp(&log)] {
            return Ok(());
        }
        let why = format!(
            "{} was written while it was read, and what was found may never have been so: try again",
            path.display()
        );
        Err(Failure::new(Code::Failed, why))
    }
}

fn connect(looked: &Looked) -> rusqlite::Result<Connection> {
    let invalid = || rusqlite::Error::InvalidPath(looked.path.clone());
    let url = url::Url::from_file_path(&looked.path).map_err(|()| invalid())?;
    let parameters = match looked.way {
        Way::Reader => "mode=ro",
        Way::WithoutLocks => "mode=ro&vfs=unix-none",
        Way::Immutable => "immutable=1",
    };
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(format!("{url}?{parameters}"), flags)?;
    connection.busy_timeout(BUSY)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    if looked.way == Way::WithoutLocks {
        // The wal-index is in memory for whoever has the database to himself, which without locks nobody denies.
        connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    }
    connection.execute_batch("PRAGMA trusted_schema = 0; PRAGMA cell_size_check = 1; BEGIN")?;
    // A transaction begins with the first read.
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0))?;
    Ok(connection)
}

/// Whether a process has the wal-index open; it counts as open if that cannot be found out.
fn is_open(shm: &Path) -> bool {
    let Ok(file) = open_regular(shm) else { return shm.exists() };
    is_locked(&file).unwrap_or(true)
}

fn is_locked(file: &File) -> nix::Result<bool> {
    let write = i16::try_from(libc::F_WRLCK).unwrap_or_default();
    let whence = i16::try_from(libc::SEEK_SET).unwrap_or_default();
    let mut lock =
        libc::flock { l_type: write, l_whence: whence, l_start: SHM_OPEN_BYTE, l_len: 1, l_pid: 0 };
    // Also of this process, whose own locks POSIX's question does not tell.
    fcntl(file, FcntlArg::F_OFD_GETLK(&mut lock))?;
    Ok(i32::from(lock.l_type) != libc::F_UNLCK)
}

fn stamp(path: &Path) -> Stamp {
    let metadata = path.metadata().ok()?;
    Some((metadata.ino(), metadata.len(), metadata.mtime(), metadata.mtime_nsec()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;

    use super::*;

    /// Every file of a directory, with its bytes and when it was changed.
    fn all(directory: &Path) -> BTreeMap<PathBuf, (Vec<u8>, std::time::SystemTime)> {
        let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
        entries
            .map(|path| {
                let changed = path.metadata().unwrap().modified().unwrap();
                (path.clone(), (fs::read(&path).unwrap(), changed))
            })
            .collect()
    }

    fn rows(path: &Path) -> i64 {
        let file = Looked::at(path).unwrap().open().unwrap();
        let count =
            file.connection.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap();
        file.finish().unwrap();
        count
    }

    /// Catches a reader that leaves a `-shm`, empties a log, or does not see what is in the log.
    #[test]
    fn t06_a_database_is_read_without_a_trace() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("app ?#%.db");
        let application = Connection::open(&path).unwrap();
        let setup = "PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; CREATE TABLE t (a); INSERT INTO t VALUES (1)";
        application.execute_batch(setup).unwrap();
        // Only once: looking drops the locks of an application in this process. Reading beside one in another process is
        // tried by `tests/it/diff.rs`.
        assert!(Looked::at(&path).unwrap().way == Way::Reader);
        // As a crash leaves it.
        let copy = tempfile::tempdir().unwrap();
        for (name, with_shm) in [("a.db", false), ("b.db", true)] {
            let crashed = copy.path().join(name);
            fs::copy(&path, &crashed).unwrap();
            for suffix in ["-wal", "-shm"] {
                let beside = |path: &Path| PathBuf::from(format!("{}{suffix}", path.display()));
                if suffix == "-wal" || with_shm {
                    fs::copy(beside(&path), beside(&crashed)).unwrap();
                }
            }
            let before = all(copy.path());
            assert_eq!(rows(&crashed), 1, "{name}");
            assert!(all(copy.path()) == before, "{name}: nothing is written");
        }
        application.close().unwrap();
        let before = all(directory.path());
        assert_eq!(before.len(), 1);
        assert_eq!(rows(&path), 1);
        assert!(all(directory.path()) == before);
        let rollback = directory.path().join("rollback.db");
        Connection::open(&rollback).unwrap().execute_batch("CREATE TABLE t (a)").unwrap();
        let before = all(directory.path());
        assert_eq!(rows(&rollback), 0);
        assert!(all(directory.path()) == before);
    }

    #[test]
    fn a_database_that_is_written_meanwhile_is_no_result() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("app.db");
        let write = |sql: &str| Connection::open(&path).unwrap().execute_batch(sql).unwrap();
        write("PRAGMA journal_mode = WAL; CREATE TABLE t (a)");
        let file = Looked::at(&path).unwrap().open().unwrap();
        write("INSERT INTO t VALUES (1)");
        assert!(file.finish().is_err());
        assert!(Looked::at(&directory.path().join("none.db")).is_err());
    }
}
