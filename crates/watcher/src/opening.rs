//! The first connection to a database: a switch to WAL mode if that is wanted, and the first read transaction.

use std::time::{Duration, Instant};

use crate::connection::{Connection, cannot_open, is_busy};
use crate::descriptors::Descriptors;
use crate::error::{Error, Refusal};
use crate::files::Paths;

/// How long another process may lock the database exclusively before the database counts as one in exclusive locking
/// mode: a recovery, a schema change or the switch to a write-ahead log takes less.
const EXCLUSIVE_PATIENCE: Duration = Duration::from_secs(3);

/// Opens the database and begins the first read transaction, with retries during a recovery or a schema change.
pub(crate) fn begin_patiently(
    paths: &Paths,
    descriptors: &Descriptors,
) -> Result<Connection, Error> {
    let deadline = Instant::now() + EXCLUSIVE_PATIENCE;
    let attempt = || {
        let connection = Connection::open(&paths.database, descriptors)?;
        connection.begin_read().map_err(paths.sqlite("begin to read"))?;
        Ok(connection)
    };
    loop {
        match attempt() {
            Err(Error::Sqlite { source, .. }) if is_busy(&source) => {
                if Instant::now() >= deadline {
                    return Err(paths.refuse(Refusal::Exclusive));
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            ended => return ended.map_err(|error| explain(paths, error)),
        }
    }
}

/// Switches the database to WAL mode.
pub(crate) fn enable_wal(paths: &Paths) -> Result<(), Error> {
    let connection = Connection::open_for_writing(&paths.database, &Descriptors::default())?;
    let mode: rusqlite::Result<String> =
        connection.sqlite().query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0));
    match mode {
        Ok(mode) if mode.eq_ignore_ascii_case("wal") => Ok(()),
        Ok(_) => Err(paths.refuse(Refusal::RollbackJournal)),
        Err(error) if is_busy(&error) => Err(paths.refuse(Refusal::Exclusive)),
        Err(source) => Err(explain(paths, paths.sqlite("switch to a write-ahead log:")(source))),
    }
}

/// Where SQLite cannot create the files that it needs, its error only says that it cannot open or write the database.
fn explain(paths: &Paths, error: Error) -> Error {
    match (&error, paths.unwritable_directory()) {
        (Error::Sqlite { source, .. }, Some(directory)) if cannot_open(source) => {
            paths.refuse(Refusal::Directory(directory))
        }
        _ => error,
    }
}
