//! The local state in its directory: opened by one process at a time, changed by commits.

use std::path::Path;

use ebbtide_fault::point;
use ebbtide_wal::{PageNumber, lock_page};

use super::error::{StateError, io_error};
use super::fill::Fill;
use super::journal::Journal;
use super::locked::LockedDirectory;
use super::position::Position;
use super::record::Record;
use super::slots::{SLOT_BYTES_RETAINED, Slots};
use super::table::Table;
use ebbtide_directory::{Private, database_owner};
use ebbtide_replica::{Digest, PageHash};

/// The private directory of the local state, if there is one.
///
/// # Errors
/// [`StateError::Refused`] when another user may have created or could change it.
pub fn open_state_directory(directory: &Path) -> Result<Option<Private>, StateError> {
    ebbtide_directory::open_state_directory(directory).map_err(io_error("open", directory))
}

/// The local state of one database, held open and locked.
#[derive(Debug)]
pub struct State {
    directory: LockedDirectory,
    slots: Slots,
    table: Table,
    position: Position,
    journal: Journal,
    /// What was found in the journal.
    records: Vec<Vec<u8>>,
    /// A write failed, so memory and files may differ.
    broken: bool,
    /// Reused by each commit, so that a small one allocates nothing.
    updates: Vec<(PageNumber, PageHash)>,
}

impl State {
    /// Opens the state in the directory `directory`, if there is a valid one. Call [`State::verify`] before using the page
    /// hashes.
    pub fn open(directory: &Path) -> Result<Option<State>, StateError> {
        let found = Private::open(directory, database_owner(directory));
        let Some((place, directory)) = found.map_err(io_error("open", directory))? else {
            return Ok(None);
        };
        let directory = LockedDirectory::new(place, &directory)?;
        let (slots, newest) = Slots::open(&directory)?;
        let Some(Record { table, position, redo, .. }) = newest else { return Ok(None) };
        directory.remove_table(1 - table)?;
        let mut table = directory.table(table)?;
        table.write(&redo)?;
        if table.rows() != position.state.database_pages {
            table.resize(position.state.database_pages)?;
        }
        let (journal, records) = Journal::open(&directory)?;
        let (broken, updates) = (false, Vec::new());
        Ok(Some(State { directory, slots, table, position, journal, records, broken, updates }))
    }

    /// Begins a new state in the directory `directory`: set the page hashes, then publish the position. Until then an
    /// older state stays valid.
    pub fn create(directory: &Path) -> Result<Fill, StateError> {
        let made = Private::create(directory, database_owner(directory));
        let (place, directory, made) = made.map_err(io_error("create the directory", directory))?;
        let directory = LockedDirectory::new(place, &directory)?;
        let (slots, newest) = Slots::open(&directory)?;
        Fill::begin(directory, slots, newest.map_or(0, |record| 1 - record.table), made)
    }

    /// Begins a new table of page hashes. Until the result is published, the old state stays valid.
    pub fn refill(self) -> Result<Fill, StateError> {
        let table = 1 - self.slots.table();
        Fill::begin(self.directory, self.slots, table, false)
    }

    /// Makes a filled table valid with `position`, if its hashes add up to the digest of `position`.
    pub fn publish(fill: Fill, position: Position) -> Result<State, StateError> {
        let Fill { directory, mut slots, mut table, number, .. } = fill;
        table.resize(position.state.database_pages)?;
        if table.sum()? != *position.state.digest.as_bytes() {
            return Err(StateError::Unproven { directory: directory.path().to_path_buf() });
        }
        point("state.publish.filled");
        directory.remove_journal()?;
        slots.switch_table(number);
        slots.write(&directory, &position, &[])?;
        point("state.publish.named");
        directory.remove_table(1 - number)?;
        let (journal, records) = Journal::open(&directory)?;
        let (broken, updates) = (false, Vec::new());
        Ok(State { directory, slots, table, position, journal, records, broken, updates })
    }

    /// The position.
    #[must_use]
    pub fn position(&self) -> &Position {
        &self.position
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The hash of a page; zeros for the lock-byte page and for a page beyond the end of the database.
    pub fn page(&self, page: PageNumber) -> Result<PageHash, StateError> {
        Ok(self.look_up(&[page])?[0])
    }

    /// The hashes of `count` pages from `first` on; zeros for the lock-byte page and for pages beyond the end of the
    /// database.
    pub fn pages(&self, first: PageNumber, count: u32) -> Result<Vec<PageHash>, StateError> {
        self.check()?;
        let mut hashes = Vec::with_capacity(count as usize);
        self.table.read(first, count, &mut hashes)?;
        Ok(hashes)
    }

    /// The hashes of `pages`, which must ascend. Zeros as in [`State::pages`].
    pub fn look_up(&self, pages: &[PageNumber]) -> Result<Vec<PageHash>, StateError> {
        self.check()?;
        if pages.windows(2).any(|pair| pair[0] >= pair[1]) {
            return Err(StateError::Invalid("pages are looked up in ascending order"));
        }
        self.table.look_up(pages)
    }

    /// Moves to `position` and sets the hashes of the pages in `updates`. `updates` may be in any order; the last hash
    /// of a page counts, and pages beyond the end of the database are ignored. After an error the state must be opened
    /// again; it is then at the old position or at the new one.
    pub fn commit(
        &mut self,
        position: Position,
        updates: &[(PageNumber, PageHash)],
    ) -> Result<(), StateError> {
        self.check()?;
        self.broken = true;
        let mut redo = std::mem::take(&mut self.updates);
        redo.clear();
        let is_in_table = |page: PageNumber| {
            page.get() <= position.state.database_pages && page != lock_page(position.page_size)
        };
        redo.extend(updates.iter().copied().filter(|&(page, _)| is_in_table(page)));
        if redo.windows(2).any(|pair| pair[0].0 >= pair[1].0) {
            redo.reverse();
            redo.sort_by_key(|&(page, _)| page);
            redo.dedup_by_key(|&mut (page, _)| page);
        }
        self.slots.write(&self.directory, &position, &redo)?;
        point("state.slot.written");
        self.table.write(&redo)?;
        if self.table.rows() != position.state.database_pages {
            self.table.resize(position.state.database_pages)?;
        }
        point("state.table.written");
        self.position = position;
        self.broken = false;
        redo.shrink_to(SLOT_BYTES_RETAINED / size_of::<(PageNumber, PageHash)>());
        self.updates = redo;
        Ok(())
    }

    /// The records that were found when the state was opened, the first of which says everything. They may be those of a
    /// later position than this one, or of an earlier one after a power failure. A new state has none.
    pub fn take_records(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.records)
    }

    /// The length of the journal in bytes.
    #[must_use]
    pub fn journal_bytes(&self) -> u64 {
        self.journal.len()
    }

    /// Begins the journal again with a record that says everything. A kill leaves the records from before, or this one.
    pub fn begin_journal(&mut self, record: &[u8]) -> Result<(), StateError> {
        self.check()?;
        self.journal.begin(record)
    }

    /// Appends a record to a journal that was begun.
    pub fn append_to_journal(&mut self, record: &[u8]) -> Result<(), StateError> {
        self.check()?;
        self.journal.append(record)
    }

    /// Closes the file descriptors while the database is idle. They are reopened on demand.
    pub fn close_files(&mut self) {
        self.journal.close_files();
        self.table.close_file();
        self.slots.close_files();
    }

    /// Whether the page hashes add up to the digest of the position. If not, rebuild the table.
    pub fn verify(&self) -> Result<bool, StateError> {
        self.check()?;
        Ok(Digest::from_bytes(self.table.sum()?) == self.position.state.digest)
    }

    /// Makes the state durable, in both slots. A commit does not fsync, because [`State::verify`] detects a torn state
    /// after a power failure. But a complete state from before the last start would look like that of another host, and
    /// it would become valid again if one slot still had it and the other one was torn.
    pub fn sync(&mut self) -> Result<(), StateError> {
        self.check()?;
        self.slots.write(&self.directory, &self.position, &[])?;
        self.table.sync()?;
        self.slots.sync()?;
        self.directory.sync()
    }

    fn check(&self) -> Result<(), StateError> {
        if self.broken {
            return Err(StateError::Broken { directory: self.directory.path().to_path_buf() });
        }
        Ok(())
    }
}
