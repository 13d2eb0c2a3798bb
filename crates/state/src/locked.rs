//! The directory of the local state, which one process uses at a time, and the files in it.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::error::{StateError, io_error};
use super::handle::Handle;
use super::table::Table;
use ebbtide_directory::{Directory, Private};

/// The file that is locked.
const LOCK: &str = "lock";

/// The file of index keys…
pub(super) const INDEX_KEYS: &str = "index.key";

/// …and what is about to become it.
pub(super) const NEW_INDEX_KEYS: &str = "index.key.new";

/// The directory, locked until this is dropped.
#[derive(Debug)]
pub(super) struct LockedDirectory {
    place: Private,
    _lock: Flock<File>,
}

impl LockedDirectory {
    pub(super) fn new(
        place: Private,
        directory: &Directory,
    ) -> Result<LockedDirectory, StateError> {
        let lock_path = place.path().join(LOCK);
        let file = directory.write(LOCK, place.owner()).map_err(io_error("open", &lock_path))?;
        let lock =
            Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(mut file, errno)| {
                if errno == Errno::EWOULDBLOCK {
                    let mut process = String::new();
                    let read = file.by_ref().take(16).read_to_string(&mut process);
                    let process = read.ok().and_then(|_| process.trim().parse().ok());
                    return StateError::Busy { directory: place.path().to_path_buf(), process };
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

    pub(super) fn slot(&self, number: usize) -> PathBuf {
        self.path().join(slot_name(number))
    }

    fn directory(&self) -> Result<Directory, StateError> {
        self.place.directory().map_err(io_error("open", self.path()))
    }

    pub(super) fn handle(&self, name: &'static str) -> Result<Handle, StateError> {
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

    /// Removes the records of an older state.
    pub(super) fn remove_journal(&self) -> Result<(), StateError> {
        let directory = self.directory()?;
        for name in [journal_name(0), journal_name(1)] {
            directory.remove(name).map_err(io_error("remove", &self.path().join(name)))?;
        }
        Ok(())
    }

    /// Makes the entries of the directory durable.
    pub(super) fn sync(&self) -> Result<(), StateError> {
        let synced = self.place.directory().and_then(|directory| directory.sync());
        synced.map_err(io_error("make durable", self.path()))
    }

    /// Removes all files of the local state, and the directory if it is then empty.
    pub(super) fn remove(&self) -> io::Result<()> {
        let directory = self.place.directory()?;
        let slots = [slot_name(0), slot_name(1), table_name(0), table_name(1)];
        let others = [journal_name(0), journal_name(1), INDEX_KEYS, NEW_INDEX_KEYS, LOCK];
        for name in slots.into_iter().chain(others) {
            directory.remove(name)?;
        }
        // By path: rmdir only removes an empty directory, so a directory that has replaced this one is not lost.
        std::fs::remove_dir(self.path())
    }
}

pub(super) fn slot_name(number: usize) -> &'static str {
    if number == 0 { "position.0" } else { "position.1" }
}

pub(super) fn journal_name(number: usize) -> &'static str {
    if number == 0 { "journal.0" } else { "journal.1" }
}

fn table_name(number: u8) -> &'static str {
    if number == 0 { "pages.0" } else { "pages.1" }
}
