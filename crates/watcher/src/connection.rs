//! Our connections to the user's database: how they are opened, and the few statements that run on them.

use std::borrow::Cow;
use std::cell::Cell;
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::{Connection as Sqlite, ErrorCode, OpenFlags};

use crate::descriptors::Descriptors;
use crate::error::Error;
use crate::sqlite_file::{self, drop_lookaside};
use crate::vfs;

/// The version number of the bundled SQLite, for example `3_054_001` for 3.54.1.
pub const SQLITE_VERSION: i32 = rusqlite::ffi::SQLITE_VERSION_NUMBER;

// Versions up to 3.51.2 can lose committed pages when a checkpoint meets a restart of the log.
const _: () = assert!(SQLITE_VERSION >= 3_053_000, "bundle an SQLite past the WAL-reset bug");

/// How often it is logged that the database's disk is full.
const TELL_INTERVAL: Duration = Duration::from_secs(60);

/// The result of a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// `SQLITE_BUSY`: another process has the checkpoint lock or is publishing a commit, for a moment.
    Busy,
    /// The database's disk is full. The log has every frame until a later checkpoint succeeds.
    NoRoom,
    /// The checkpoint ran. The log has `frames` frames, of which `backfilled` are backfilled.
    Ran { frames: u32, backfilled: u32 },
}

/// The checkpoint mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Backfills as many frames as possible without blocking.
    Passive,
    /// Also truncates the log, which needs every reader to read the database file alone.
    Truncate,
}

/// A connection that reads and checkpoints, and cannot write into the database.
#[derive(Debug)]
pub(crate) struct Connection {
    /// `None` only while it is dropped.
    sqlite: Option<Sqlite>,
    /// Dropped once the connection is closed.
    _descriptors: Descriptors,
    /// When it was last logged that the database's disk is full.
    told_no_room: Cell<Option<Instant>>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        // Before the share in the file descriptors: closing one of them would drop the locks of this connection.
        self.sqlite = None;
    }
}

impl Connection {
    /// Opens an existing database.
    pub(crate) fn open(path: &Path, descriptors: &Descriptors) -> Result<Connection, Error> {
        Connection::open_as(path, descriptors, true)
    }

    /// Opens an existing database for [`WriteLock`](crate::write_lock::WriteLock), which must not write, and for
    /// switching it to WAL mode.
    pub(crate) fn open_for_writing(
        path: &Path,
        descriptors: &Descriptors,
    ) -> Result<Connection, Error> {
        Connection::open_as(path, descriptors, false)
    }

    fn open_as(
        path: &Path,
        descriptors: &Descriptors,
        query_only: bool,
    ) -> Result<Connection, Error> {
        let wrap = |doing| move |source| Error::Sqlite { doing, path: path.to_owned(), source };
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let name = as_path(path);
        let sqlite = match vfs::name() {
            Some(vfs) => Sqlite::open_with_flags_and_vfs(name, flags, vfs),
            None => Sqlite::open_with_flags(name, flags),
        };
        let sqlite = sqlite.map_err(wrap("open"))?;
        drop_lookaside(&sqlite);
        sqlite.busy_timeout(Duration::ZERO).map_err(wrap("configure"))?;
        // A checkpoint is as durable as the connection that runs it, so never less than the default. Nothing is mapped
        // (a truncated file would fault), and two pages of cache are plenty for reading the header. The first of these
        // settings reads the schema, for which SQLite allocates a page cache; the last one frees it. With
        // `writable_schema` SQLite ignores errors of a schema that it cannot read because a newer version wrote it:
        // pages are read without a schema.
        let settings = "PRAGMA writable_schema = ON; PRAGMA wal_autocheckpoint = 0; PRAGMA synchronous = NORMAL; PRAGMA mmap_size = 0; \
             PRAGMA cache_size = 2; PRAGMA trusted_schema = 0; PRAGMA shrink_memory;";
        sqlite.execute_batch(settings).map_err(wrap("configure"))?;
        sqlite.pragma_update(None, "query_only", query_only).map_err(wrap("configure"))?;
        let (sqlite, _descriptors) = (Some(sqlite), descriptors.clone());
        Ok(Connection { sqlite, _descriptors, told_no_room: Cell::default() })
    }

    /// Begins a read transaction and pins the log: `BEGIN` alone takes no lock, so the database header is read.
    pub(crate) fn begin_read(&self) -> rusqlite::Result<()> {
        self.sqlite().execute_batch("BEGIN")?;
        let pinned =
            self.sqlite().pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0));
        if let Err(error) = pinned {
            self.end()?;
            return Err(error);
        }
        Ok(())
    }

    /// Rolls back the open transaction, if there is one.
    pub(crate) fn end(&self) -> rusqlite::Result<()> {
        if self.sqlite().is_autocommit() { Ok(()) } else { self.sqlite().execute_batch("ROLLBACK") }
    }

    /// Runs a checkpoint.
    pub(crate) fn checkpoint(&self, mode: Mode) -> rusqlite::Result<Progress> {
        // On a connection that has never read, SQLite reports success and does nothing.
        self.sqlite().pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0))?;
        let sql = match mode {
            Mode::Passive => "PRAGMA wal_checkpoint(PASSIVE)",
            Mode::Truncate => "PRAGMA wal_checkpoint(TRUNCATE)",
        };
        let row = |row: &rusqlite::Row<'_>| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?))
        };
        let (busy, frames, backfilled) = match self.sqlite().query_row(sql, [], row) {
            Ok(result) => result,
            Err(error) if is_busy(&error) => return Ok(Progress::Busy),
            Err(error) if has_no_room(&error) => {
                self.tell_no_room(&error);
                return Ok(Progress::NoRoom);
            }
            Err(error) => return Err(error),
        };
        match (busy, u32::try_from(frames), u32::try_from(backfilled)) {
            (0, Ok(frames), Ok(backfilled)) => Ok(Progress::Ran { frames, backfilled }),
            _ => Ok(Progress::Busy),
        }
    }

    /// Logs it, but not for each attempt: the log may be on the disk that is full.
    fn tell_no_room(&self, error: &rusqlite::Error) {
        if self.told_no_room.get().is_none_or(|told| told.elapsed() >= TELL_INTERVAL) {
            self.told_no_room.set(Some(Instant::now()));
            let database = self.sqlite().path().unwrap_or_default();
            tracing::warn!(database, %error, "the log cannot be copied into the database; it grows until it can");
        }
    }

    /// Runs fsync on the database's file. A checkpoint does so only when it completes, and has then to wait for the
    /// writes of all earlier checkpoints, too.
    pub(crate) fn sync_database(&self) -> rusqlite::Result<()> {
        sqlite_file::sync(self.sqlite())
    }

    /// The rusqlite connection, for reads of the database's file through SQLite's own file descriptor.
    pub(crate) fn sqlite(&self) -> &Sqlite {
        self.sqlite.as_ref().expect("it is closed only when it is dropped")
    }
}

/// A path that SQLite takes for a file name. The bundled SQLite reads `file:app.db` as a URI with any flags, and
/// `:memory:` and the empty name are databases without a file; a path that begins with a slash or a dot is a file name.
fn as_path(path: &Path) -> Cow<'_, Path> {
    if path.is_absolute() { path.into() } else { Path::new(".").join(path).into() }
}

/// Whether the error is `SQLITE_BUSY` or `SQLITE_LOCKED`.
pub(crate) fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

/// Whether SQLite could not open or create one of the database's files.
pub(crate) fn cannot_open(error: &rusqlite::Error) -> bool {
    let extended = error.sqlite_error().map(|error| error.extended_code);
    error.sqlite_error_code() == Some(ErrorCode::CannotOpen)
        || extended == Some(rusqlite::ffi::SQLITE_READONLY_DIRECTORY)
}

/// Whether SQLite could not write into a file: a full disk, a quota, a limit. The log still has every frame.
fn has_no_room(error: &rusqlite::Error) -> bool {
    let is_full = error.sqlite_error_code() == Some(ErrorCode::DiskFull);
    let extended = error.sqlite_error().map(|error| error.extended_code);
    is_full || extended == Some(rusqlite::ffi::SQLITE_IOERR_WRITE)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;

    /// A database with a log of many regions, in which most pages are neighbours and some were written twice.
    fn application(directory: &Path, page_size: u32) -> (PathBuf, Sqlite) {
        let path = directory.join("app.db");
        let sqlite = Sqlite::open(&path).unwrap();
        let setup = format!(
            "PRAGMA page_size = {page_size}; PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0;
             CREATE TABLE t (id INTEGER PRIMARY KEY, body BLOB);"
        );
        sqlite.execute_batch(&setup).unwrap();
        insert(&sqlite, page_size, 10_000);
        sqlite
            .execute("UPDATE t SET body = randomblob(length(body)) WHERE id % 97 = 0", [])
            .unwrap();
        (path, sqlite)
    }

    fn insert(sqlite: &Sqlite, page_size: u32, rows: u32) {
        let sql = format!(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
             INSERT INTO t (body) SELECT randomblob({}) FROM n",
            page_size.min(8192) * 7 / 10
        );
        sqlite.execute(&sql, []).unwrap();
    }

    /// How many read and write system calls this thread has made.
    fn calls() -> u64 {
        let io = fs::read_to_string("/proc/thread-self/io").unwrap();
        io.lines()
            .filter(|line| line.starts_with("sysc"))
            .filter_map(|line| line.split_once(": "))
            .map(|(_, count)| count.parse::<u64>().unwrap())
            .sum()
    }

    /// Would catch a page that is not written, or at a wrong offset, or from a wrong frame.
    #[test]
    fn a_checkpoint_leaves_the_file_that_sqlite_alone_would_leave() {
        for page_size in [512, 4096, 65536] {
            let directory = tempfile::tempdir().unwrap();
            let (path, sqlite) = application(directory.path(), page_size);
            let copy = directory.path().join("copy.db");
            for (from, to) in [("app.db", "copy.db"), ("app.db-wal", "copy.db-wal")] {
                fs::copy(directory.path().join(from), directory.path().join(to)).unwrap();
            }
            let plain = Sqlite::open(&copy).unwrap();
            let checkpoint = |sqlite: &Sqlite| {
                sqlite.query_row("PRAGMA wal_checkpoint", [], |row| row.get::<_, u32>(2)).unwrap()
            };
            let frames = checkpoint(&plain);

            let ours = Connection::open(&path, &Descriptors::default()).unwrap();
            let before = calls();
            let ran = ours.checkpoint(Mode::Passive).unwrap();
            let calls = calls() - before;
            assert_eq!(ran, Progress::Ran { frames, backfilled: frames });
            assert!(fs::read(&path).unwrap() == fs::read(&copy).unwrap(), "{page_size}");
            if page_size == 4096 {
                // SQLite's own VFS makes two for each page.
                assert!(calls < u64::from(frames) / 2, "{calls} calls for {frames} frames");
            }
            drop((plain, sqlite));
        }
    }

    /// Would catch a page that is still buffered when SQLite publishes the end of the checkpoint.
    #[test]
    fn a_checkpoint_that_a_reader_stops_leaves_all_that_it_says() {
        let directory = tempfile::tempdir().unwrap();
        let (path, sqlite) = application(directory.path(), 4096);
        let rows = |sqlite: &Sqlite| {
            let sql = "SELECT count(*), sum(unicode(hex(body)) + length(body)) FROM t";
            sqlite
                .query_row(sql, [], |row| Ok((row.get::<_, u32>(0)?, row.get::<_, f64>(1)?)))
                .unwrap()
        };
        let reader = Sqlite::open(&path).unwrap();
        reader.execute_batch("BEGIN").unwrap();
        let then = rows(&reader);
        // The log has newer frames of the last pages of before, and of some others.
        insert(&sqlite, 4096, 3000);
        sqlite.execute("UPDATE t SET body = randomblob(9) WHERE id % 89 = 0", []).unwrap();
        let now = rows(&sqlite);

        let ours = Connection::open(&path, &Descriptors::default()).unwrap();
        let ran = ours.checkpoint(Mode::Passive).unwrap();
        let Progress::Ran { frames, backfilled } = ran else { unreachable!("{ran:?}") };
        assert!(0 < backfilled && backfilled < frames, "{ran:?}");
        assert_eq!((rows(&reader), rows(&sqlite)), (then, now));
        reader.execute_batch("COMMIT").unwrap();
        // New readers read backfilled pages from the file, and the rest from the log.
        let fresh = Sqlite::open(&path).unwrap();
        let sound: String =
            fresh.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!((sound.as_str(), rows(&fresh)), ("ok", now));
        assert_eq!(
            ours.checkpoint(Mode::Passive).unwrap(),
            Progress::Ran { frames, backfilled: frames }
        );
        assert_eq!(rows(&Sqlite::open(&path).unwrap()), now);
    }
}
