//! Filling the table of page hashes from the beginning.

use ebbtide_fault::point;
use ebbtide_wal::PageNumber;

use super::error::{StateError, io_error};
use super::folder::{Locked, Slots, State};
use super::position::Position;
use super::table::Table;
use ebbtide_replica::PageHash;

/// A table of page hashes that is being filled, and a folder locked meanwhile. Dropped without [`Fill::publish`], it
/// leaves the older state as it was.
#[derive(Debug)]
pub struct Fill {
    folder: Locked,
    slots: Slots,
    table: Table,
    number: u8,
    /// The folder was made for it.
    made: bool,
}

impl Fill {
    pub(super) fn begin(
        folder: Locked,
        slots: Slots,
        number: u8,
        made: bool,
    ) -> Result<Fill, StateError> {
        folder.remove_table(number)?;
        let table = folder.table(number)?;
        point("state.fill.begin");
        Ok(Fill { folder, slots, table, number, made })
    }

    /// Sets the hashes of consecutive pages from `first` on. Pages may come in any order and from several threads at
    /// once; each page's newest hash must come last. The lock page has zeros, as has a page that is never set.
    pub fn set(&self, first: PageNumber, hashes: &[PageHash]) -> Result<(), StateError> {
        self.table.fill(first, hashes)
    }

    /// Gives up: what was there before is there, and nothing else.
    ///
    /// # Errors
    /// When the file system does not let it go; then it stays, and means nothing.
    pub fn discard(&self) -> Result<(), StateError> {
        let removed = if self.made { self.folder.remove() } else { Ok(()) };
        removed.map_err(io_error("remove", self.folder.path()))
    }

    /// Makes `position` count from now on, if the hashes add up to its digest.
    pub fn publish(self, position: Position) -> Result<State, StateError> {
        State::publish(self.folder, self.slots, self.table, self.number, position)
    }
}
