//! The connection that takes SQLite's write lock, for an exclusive checkpoint and for the brake, and rolls back.

use crate::connection::{Connection, is_busy};
use crate::descriptors::Descriptors;
use crate::error::Error;
use crate::files::Paths;

/// Proof that this process has the write lock: no other process can commit or restart the log.
#[derive(Debug)]
pub(crate) struct WritersStopped(());

/// The connection, opened when it is needed. It never writes into the database.
#[derive(Debug, Default)]
pub(crate) struct WriteLock(Option<Connection>);

impl WriteLock {
    /// Opens the connection, unless it is open.
    pub(crate) fn open(&mut self, paths: &Paths, descriptors: &Descriptors) -> Result<(), Error> {
        if self.0.is_none() {
            self.0 = Some(Connection::open_for_writing(&paths.database, descriptors)?);
        }
        Ok(())
    }

    /// Takes the write lock if it is free. Its transaction is a hold as well, at the log's end.
    pub(crate) fn try_take(&self, paths: &Paths) -> Result<Option<WritersStopped>, Error> {
        let Some(connection) = &self.0 else { return Ok(None) };
        match connection.sqlite().execute_batch("BEGIN IMMEDIATE") {
            Ok(()) => Ok(Some(WritersStopped(()))),
            Err(error) if is_busy(&error) => Ok(None),
            Err(error) => Err(paths.sqlite("take the write lock of")(error)),
        }
    }

    /// Releases the write lock.
    pub(crate) fn release(&self, paths: &Paths, _: WritersStopped) -> Result<(), Error> {
        let Some(connection) = &self.0 else { return Ok(()) };
        debug_assert_eq!(connection.sqlite().changes(), 0, "it only takes the write lock");
        connection.end().map_err(paths.sqlite("give back the write lock of"))
    }

    /// Closes the connection.
    pub(crate) fn close(&mut self) {
        self.0 = None;
    }
}
