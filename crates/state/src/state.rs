//! The local state in its directory: opened by one process at a time, changed by commits.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use ebbtide_fault::point;
use ebbtide_wal::{PageNumber, lock_page};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::error::{StateError, io_error};
use super::fill::Fill;
use super::handle::Handle;
use super::position::Position;
use super::record::{self, Record, Slot};
use super::table::Table;
use ebbtide_directory::{Directory, Private, database_owner};
use ebbtide_replica::{Digest, PageHash};

/// The file that is locked.
const LOCK: &str = "lock";

/// A slot file that is longer than this is truncated before the next record is written into it.
const SLOT_BYTES_RETAINED: usize = 1024 * 1024;

/// The private directory of the local state, if there is one.
///
/// # Errors
/// [`StateError::Refused`] when another user may have created or could change it.
pub fn state_directory(folder: &Path) -> Result<Option<Private>, StateError> {
    ebbtide_directory::state_directory(folder).map_err(io_error("open", folder))
}

/// The local state of one database, held open and locked.
#[derive(Debug)]
pub struct State {
    folder: LockedDirectory,
    slots: Slots,
    table: Table,
    position: Position,
    /// A write failed, so memory and files may differ.
    broken: bool,
    /// Reused by each commit, so that a small one allocates nothing.
    updates: Vec<(PageNumber, PageHash)>,
}

impl State {
    /// Opens the state in the directory `folder`, if there is a valid one. Call [`State::verify`] before using the page
    /// hashes.
    pub fn open(folder: &Path) -> Result<Option<State>, StateError> {
        let found = Private::open(folder, database_owner(folder));
        let Some((place, directory)) = found.map_err(io_error("open", folder))? else {
            return Ok(None);
        };
        let folder = LockedDirectory::new(place, &directory)?;
        let (slots, newest) = Slots::open(&folder)?;
        let Some(Record { table, position, redo, .. }) = newest else { return Ok(None) };
        folder.remove_table(1 - table)?;
        let mut table = folder.table(table)?;
        table.write(&redo)?;
        if table.rows() != position.state.database_pages {
            table.resize(position.state.database_pages)?;
        }
        Ok(Some(State { folder, slots, table, position, broken: false, updates: Vec::new() }))
    }

    /// Begins a new state in the directory `folder`: set the page hashes, then publish the position. Until then an
    /// older state stays valid.
    pub fn create(folder: &Path) -> Result<Fill, StateError> {
        let made = Private::create(folder, database_owner(folder));
        let (place, directory, made) = made.map_err(io_error("create the directory", folder))?;
        let folder = LockedDirectory::new(place, &directory)?;
        let (slots, newest) = Slots::open(&folder)?;
        Fill::begin(folder, slots, newest.map_or(0, |record| 1 - record.table), made)
    }

    /// Begins a new table of page hashes. Until the result is published, the old state stays valid.
    pub fn refill(self) -> Result<Fill, StateError> {
        let table = 1 - self.slots.table;
        Fill::begin(self.folder, self.slots, table, false)
    }

    /// Makes a filled table valid.
    pub(super) fn publish(
        folder: LockedDirectory,
        mut slots: Slots,
        mut table: Table,
        number: u8,
        position: Position,
    ) -> Result<State, StateError> {
        table.resize(position.state.database_pages)?;
        if table.sum()? != *position.state.digest.as_bytes() {
            return Err(StateError::Unproven { folder: folder.path().to_path_buf() });
        }
        point("state.publish.filled");
        slots.table = number;
        slots.write(&folder, &position, &[])?;
        point("state.publish.named");
        folder.remove_table(1 - number)?;
        Ok(State { folder, slots, table, position, broken: false, updates: Vec::new() })
    }

    /// The position.
    #[must_use]
    pub fn position(&self) -> &Position {
        &self.position
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
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
        self.slots.write(&self.folder, &position, &redo)?;
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

    /// Closes the file descriptors while the database is idle. They are reopened on demand.
    pub fn close_files(&mut self) {
        self.table.close_file();
        self.slots.files.iter_mut().for_each(Handle::close);
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
        self.slots.write(&self.folder, &self.position, &[])?;
        self.table.sync()?;
        for (number, file) in self.slots.files.iter().enumerate() {
            let path = self.folder.slot(number);
            file.file()?.sync_data().map_err(io_error("make durable", &path))?;
        }
        let synced = self.folder.place.directory().and_then(|directory| directory.sync());
        synced.map_err(io_error("make durable", self.folder.path()))
    }

    fn check(&self) -> Result<(), StateError> {
        if self.broken {
            return Err(StateError::Broken { folder: self.folder.path().to_path_buf() });
        }
        Ok(())
    }
}

/// The two slots. The next record goes into the slot without the newest record.
#[derive(Debug)]
pub(super) struct Slots {
    files: [Handle; 2],
    lengths: [u64; 2],
    /// The sequence number of the newest record, which is in slot `sequence % 2`; 0 if there is none.
    sequence: u64,
    /// The table that belongs to the newest record.
    table: u8,
    buffer: Vec<u8>,
}

impl Slots {
    fn open(folder: &LockedDirectory) -> Result<(Slots, Option<Record>), StateError> {
        let mut newest: Option<Record> = None;
        let mut lengths = [0; 2];
        let mut open = |number: usize| {
            let path = folder.slot(number);
            let file = folder.handle(slot_name(number))?;
            let mut bytes = Vec::new();
            file.file()?.read_to_end(&mut bytes).map_err(io_error("read", &path))?;
            lengths[number] = bytes.len() as u64;
            match record::decode(&bytes) {
                Slot::Invalid => {}
                Slot::Newer(version) => return Err(StateError::Newer { file: path, version }),
                Slot::Valid(record) if slot_of(record.sequence) != number => {}
                Slot::Valid(record) => {
                    if newest.as_ref().is_none_or(|newest| is_newer(&record, newest)) {
                        newest = Some(*record);
                    }
                }
            }
            Ok(file)
        };
        let files = [open(0)?, open(1)?];
        let (sequence, table) =
            newest.as_ref().map_or((0, 0), |record| (record.sequence, record.table));
        Ok((Slots { files, lengths, sequence, table, buffer: Vec::new() }, newest))
    }

    fn write(
        &mut self,
        folder: &LockedDirectory,
        position: &Position,
        redo: &[(PageNumber, PageHash)],
    ) -> Result<(), StateError> {
        let sequence = self.sequence.wrapping_add(1);
        let number = slot_of(sequence);
        record::encode(&mut self.buffer, sequence, self.table, position, redo)?;
        let (file, path) = (self.files[number].file()?, folder.slot(number));
        if self.lengths[number] > SLOT_BYTES_RETAINED as u64 {
            set_length(file, 0).map_err(io_error("shorten", &path))?;
            self.lengths[number] = 0;
        }
        point("state.slot.begin");
        write_at(file, &self.buffer, 0).map_err(io_error("write", &path))?;
        self.lengths[number] = self.lengths[number].max(self.buffer.len() as u64);
        self.sequence = sequence;
        self.buffer.shrink_to(SLOT_BYTES_RETAINED);
        Ok(())
    }
}

/// The slot of the record with this sequence number.
fn slot_of(sequence: u64) -> usize {
    usize::from(sequence % 2 == 1)
}

/// Sequence numbers wrap around, so that a next number always exists.
pub(super) fn is_newer(record: &Record, than: &Record) -> bool {
    (1..1 << 63).contains(&record.sequence.wrapping_sub(than.sequence))
}

fn slot_name(number: usize) -> &'static str {
    if number == 0 { "position.0" } else { "position.1" }
}

fn table_name(number: u8) -> &'static str {
    if number == 0 { "pages.0" } else { "pages.1" }
}

/// The directory, locked until this is dropped.
#[derive(Debug)]
pub(super) struct LockedDirectory {
    place: Private,
    _lock: Flock<File>,
}

impl LockedDirectory {
    fn new(place: Private, directory: &Directory) -> Result<LockedDirectory, StateError> {
        let lock_path = place.path().join(LOCK);
        let file = directory.write(LOCK, place.owner()).map_err(io_error("open", &lock_path))?;
        let lock =
            Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(mut file, errno)| {
                if errno == Errno::EWOULDBLOCK {
                    let mut process = String::new();
                    let read = file.by_ref().take(16).read_to_string(&mut process);
                    let process = read.ok().and_then(|_| process.trim().parse().ok());
                    return StateError::Busy { folder: place.path().to_path_buf(), process };
                }
                io_error("lock", &lock_path)(errno.into())
            })?;
        lock.set_len(0).map_err(io_error("write", &lock_path))?;
        lock.write_all_at(format!("{}\n", std::process::id()).as_bytes(), 0)
            .map_err(io_error("write", &lock_path))?;
        Ok(LockedDirectory { place, _lock: lock })
    }

    pub(super) fn path(&self) -> &Path {
        self.place.path()
    }

    fn slot(&self, number: usize) -> PathBuf {
        self.path().join(slot_name(number))
    }

    fn directory(&self) -> Result<Directory, StateError> {
        self.place.directory().map_err(io_error("open", self.path()))
    }

    fn handle(&self, name: &'static str) -> Result<Handle, StateError> {
        Handle::open(&self.place, &self.directory()?, name)
    }

    pub(super) fn table(&self, number: u8) -> Result<Table, StateError> {
        Table::open(self.handle(table_name(number))?)
    }

    /// Removes a table that is not valid.
    pub(super) fn remove_table(&self, number: u8) -> Result<(), StateError> {
        let name = table_name(number);
        match self.directory()?.remove(name) {
            Ok(_) => Ok(()),
            Err(error) => Err(io_error("remove", &self.path().join(name))(error)),
        }
    }

    /// Removes all files of the local state, and the directory if it is then empty.
    pub(super) fn remove(&self) -> io::Result<()> {
        let directory = self.place.directory()?;
        for name in [slot_name(0), slot_name(1), table_name(0), table_name(1), LOCK] {
            directory.remove(name)?;
        }
        // By path: rmdir only removes an empty directory, so a directory that has replaced this one is not lost.
        std::fs::remove_dir(self.path())
    }
}

/// All writes to slots and tables, so that a test can stop after any byte.
pub(super) fn write_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    #[cfg(test)]
    if let Some(allowed) = super::tests::killed_after(bytes.len()) {
        file.write_all_at(&bytes[..allowed], offset)?;
        return Err(io::Error::other("killed"));
    }
    file.write_all_at(bytes, offset)
}

/// All changes of the size of slots and tables, so that a test can stop before one.
pub(super) fn set_length(file: &File, length: u64) -> io::Result<()> {
    #[cfg(test)]
    if super::tests::killed_after(1).is_some() {
        return Err(io::Error::other("killed"));
    }
    file.set_len(length)
}
