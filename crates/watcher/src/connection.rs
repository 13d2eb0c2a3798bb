//! Our connections to the user's database: how they are opened, and the few statements that are ever run on them.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection as Sqlite, ErrorCode, OpenFlags};

use crate::error::Error;
use crate::sqlite_file::drop_lookaside;

/// The number of the SQLite that is linked in, as `3_054_001` for 3.54.1.
pub const SQLITE_VERSION: i32 = rusqlite::ffi::SQLITE_VERSION_NUMBER;

// Versions up to 3.51.2 can lose committed pages when a checkpoint meets a restart of the log.
const _: () = assert!(SQLITE_VERSION >= 3_053_000, "bundle an SQLite past the WAL-reset bug");

/// How far a checkpoint came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Somebody else has the checkpoint lock or is publishing a commit, which is over in a moment.
    Busy,
    /// The database's disk has no room. That may be over later, and until then the log has everything.
    NoRoom,
    /// It ran. `frames` are in the log, `backfilled` of them in the database.
    Ran { frames: u32, backfilled: u32 },
}

/// Which checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Waits for nobody.
    Passive,
    /// Also cuts the log to nothing, which needs every reader to ignore the log.
    Truncate,
}

/// One connection. It cannot write into the database unless it was opened for the barrier.
#[derive(Debug)]
pub(crate) struct Connection {
    sqlite: Sqlite,
}

impl Connection {
    /// Opens an existing database. `query_only` holds for all but the barrier's connection.
    pub(crate) fn open(path: &Path, query_only: bool) -> Result<Connection, Error> {
        let wrap = |doing| move |source| Error::Sqlite { doing, path: path.to_owned(), source };
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let sqlite = Sqlite::open_with_flags(path, flags).map_err(wrap("open"))?;
        drop_lookaside(&sqlite);
        sqlite.busy_timeout(Duration::ZERO).map_err(wrap("configure"))?;
        // A checkpoint is as durable as the connection that runs it, so never less than the default. Nothing is mapped
        // (a truncated file would fault), and two pages of cache are plenty for reading the header. The first of these
        // settings reads the schema, for which SQLite sets pages aside; the last one gives them back.
        let settings = "PRAGMA wal_autocheckpoint = 0; PRAGMA synchronous = NORMAL; PRAGMA mmap_size = 0; \
             PRAGMA cache_size = 2; PRAGMA trusted_schema = 0; PRAGMA shrink_memory;";
        sqlite.execute_batch(settings).map_err(wrap("configure"))?;
        sqlite.pragma_update(None, "query_only", query_only).map_err(wrap("configure"))?;
        Ok(Connection { sqlite })
    }

    /// Begins a read transaction and pins the log: the header is read, so that the transaction is more than a promise.
    pub(crate) fn begin_read(&self) -> rusqlite::Result<()> {
        self.sqlite.execute_batch("BEGIN")?;
        let pinned =
            self.sqlite.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0));
        if let Err(error) = pinned {
            self.end()?;
            return Err(error);
        }
        Ok(())
    }

    /// Takes the write lock if nobody has it. Only for the barrier's connection.
    pub(crate) fn try_begin_write(&self) -> rusqlite::Result<bool> {
        match self.sqlite.execute_batch("BEGIN IMMEDIATE") {
            Ok(()) => Ok(true),
            Err(error) if is_busy(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Ends whatever transaction there is, changing nothing.
    pub(crate) fn end(&self) -> rusqlite::Result<()> {
        if self.sqlite.is_autocommit() { Ok(()) } else { self.sqlite.execute_batch("ROLLBACK") }
    }

    /// Copies committed frames back into the database.
    pub(crate) fn checkpoint(&self, mode: Mode) -> rusqlite::Result<Progress> {
        // On a connection that has never read, SQLite reports success and does nothing.
        self.sqlite.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0))?;
        let sql = match mode {
            Mode::Passive => "PRAGMA wal_checkpoint(PASSIVE)",
            Mode::Truncate => "PRAGMA wal_checkpoint(TRUNCATE)",
        };
        let row = |row: &rusqlite::Row<'_>| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?))
        };
        let (busy, frames, backfilled) = match self.sqlite.query_row(sql, [], row) {
            Ok(result) => result,
            Err(error) if is_busy(&error) => return Ok(Progress::Busy),
            Err(error) if has_no_room(&error) => {
                let database = self.sqlite.path().unwrap_or_default();
                tracing::warn!(database, %error, "the log cannot be copied into the database; it grows until it can");
                return Ok(Progress::NoRoom);
            }
            Err(error) => return Err(error),
        };
        match (busy, u32::try_from(frames), u32::try_from(backfilled)) {
            (0, Ok(frames), Ok(backfilled)) => Ok(Progress::Ran { frames, backfilled }),
            _ => Ok(Progress::Busy),
        }
    }

    /// Switches the database to a write-ahead log; whether it is in one now.
    pub(crate) fn enable_wal(&self) -> rusqlite::Result<bool> {
        let mode: String =
            self.sqlite.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
        Ok(mode.eq_ignore_ascii_case("wal"))
    }

    /// The connection itself, for reading the database's file through SQLite's own descriptor.
    pub(crate) fn sqlite(&self) -> &Sqlite {
        &self.sqlite
    }
}

/// Whether SQLite refused because of somebody's lock.
pub(crate) fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

/// Whether SQLite could not open one of the database's files, or make one.
pub(crate) fn cannot_open(error: &rusqlite::Error) -> bool {
    let extended = error.sqlite_error().map(|error| error.extended_code);
    error.sqlite_error_code() == Some(ErrorCode::CannotOpen)
        || extended == Some(rusqlite::ffi::SQLITE_READONLY_DIRECTORY)
}

/// Whether SQLite could not write into a file: a full disk, a quota, a limit. With the log as it is nothing is lost.
fn has_no_room(error: &rusqlite::Error) -> bool {
    let is_full = error.sqlite_error_code() == Some(ErrorCode::DiskFull);
    let extended = error.sqlite_error().map(|error| error.extended_code);
    is_full || extended == Some(rusqlite::ffi::SQLITE_IOERR_WRITE)
}
