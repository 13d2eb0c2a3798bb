//! Builds a new table of page hashes.

use ebbtide_fault::point;
use ebbtide_wal::PageNumber;

use super::error::{StateError, io_error};
use super::locked::LockedDirectory;
use super::slots::Slots;
use super::table::Table;
use ebbtide_replica::PageHash;

/// A new table of page hashes, in a locked directory. Until [`State::publish`](super::State::publish) the older state stays
/// valid.
#[derive(Debug)]
pub struct Fill {
    pub(super) directory: LockedDirectory,
    pub(super) slots: Slots,
    pub(super) table: Table,
    pub(super) number: u8,
    /// Whether the directory was created for it.
    made: bool,
}

impl Fill {
    pub(super) fn begin(
        directory: LockedDirectory,
        slots: Slots,
        number: u8,
        made: bool,
    ) -> Result<Fill, StateError> {
        directory.remove_table(number)?;
        let table = directory.table(number)?;
        point("state.fill.begin");
        Ok(Fill { directory, slots, table, number, made })
    }

    /// Sets the hashes of consecutive pages from `first` on, in any order and from concurrent threads. If a page is set
    /// twice the last hash counts. The lock-byte page and pages that are never set have zeros.
    pub fn set(&self, first: PageNumber, hashes: &[PageHash]) -> Result<(), StateError> {
        self.table.fill(first, hashes)
    }

    /// Removes the directory if it was created for this table.
    ///
    /// # Errors
    /// When the directory cannot be removed. A remaining directory has no valid state.
    pub fn discard(&self) -> Result<(), StateError> {
        let removed = if self.made { self.directory.remove() } else { Ok(()) };
        removed.map_err(io_error("remove", self.directory.path()))
    }
}
