//! Fills the local table of page hashes while the first snapshot is encoded.

use std::sync::{Arc, Mutex, PoisonError};

use ebbtide_replica::PageHash;
use ebbtide_state::Fill;
use ebbtide_wal::PageNumber;

use crate::error::Error;

/// How many page hashes are written with one system call.
const HASHES_PER_WRITE: usize = 4096;

/// Fills the local table of page hashes in ascending order, with few system calls.
pub(crate) struct TableFill {
    fill: Fill,
    first: PageNumber,
    hashes: Vec<PageHash>,
}

impl TableFill {
    pub(crate) fn new(fill: Fill) -> TableFill {
        TableFill { fill, first: PageNumber::ONE, hashes: Vec::new() }
    }

    /// Adds the hash of the next page. The page after the lock-byte page may be the next.
    pub(crate) fn add(&mut self, page: PageNumber, hash: PageHash) -> Result<(), Error> {
        let expected = self.first.get() as usize + self.hashes.len();
        if self.hashes.len() >= HASHES_PER_WRITE || page.get() as usize != expected {
            self.flush()?;
        }
        if self.hashes.is_empty() {
            self.first = page;
        }
        self.hashes.push(hash);
        Ok(())
    }

    /// Writes the last hashes. Nobody else may hold the table.
    pub(crate) fn complete(table: Arc<Mutex<TableFill>>) -> Result<Fill, Error> {
        let table = Arc::into_inner(table).map(Mutex::into_inner);
        let mut table = table
            .ok_or(Error::Changed("the table of page hashes is in use"))?
            .unwrap_or_else(PoisonError::into_inner);
        table.flush()?;
        Ok(table.fill)
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.fill.set(self.first, &self.hashes)?;
        self.hashes.clear();
        Ok(())
    }
}
