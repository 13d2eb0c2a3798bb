//! The one lock that a database at rest keeps, and what tells whether its file was changed meanwhile.
//!
//! SQLite's last close takes the EXCLUSIVE lock of the database, copies the log into it and deletes the log. A shared
//! lock on the same bytes keeps a close from being exclusive, so that what an application commits in passing stays in
//! the log until it is captured (`sqlite3WalClose`). The lock belongs to the open file description, not to the process:
//! no connection of ours that is closed drops it. It is also what keeps a close of our own from deleting the log, so it
//! is given back before a [`Follower`](crate::Follower) ends for good.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};

use nix::libc;

use crate::error::Error;
use crate::files::{Identity, Paths};

/// SQLite's SHARED range of a database file (os.h, `SHARED_FIRST` and `SHARED_SIZE`).
#[cfg(target_os = "linux")]
const SHARED_FIRST: i64 = 0x4000_0002;
#[cfg(target_os = "linux")]
const SHARED_BYTES: i64 = 510;

/// Two changes of a file within one tick of the kernel's clock have the same time. No kernel ticks more slowly.
const TICK_MICROS: i64 = 12_000;

/// A file descriptor on the database. It must stay open while a connection of this process has the database open:
/// closing it would drop that connection's locks.
#[derive(Debug)]
pub(crate) struct DatabaseLock {
    file: File,
    locked: bool,
}

/// What a change of the file's content changes, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    bytes: u64,
    /// Seconds and nanoseconds since the epoch.
    modified: (i64, i64),
}

impl Stamp {
    /// Whether a change at `time`, in µs since the epoch, or later shows in the stamp.
    pub(crate) fn tells_from(self, time: i64) -> bool {
        let (seconds, nanoseconds) = self.modified;
        let modified = seconds.saturating_mul(1_000_000).saturating_add(nanoseconds / 1000);
        !(0..TICK_MICROS).contains(&time.saturating_sub(modified))
    }
}

impl DatabaseLock {
    /// Opens the database's file, which must be the one that is `identity`.
    pub(crate) fn open(paths: &Paths, identity: Identity) -> Result<DatabaseLock, Error> {
        let path = &paths.database;
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(path)
            .map_err(|source| Error::Io { doing: "open", path: path.clone(), source })?;
        identity.check_is(&file, path)?;
        Ok(DatabaseLock { file, locked: false })
    }

    /// Takes the lock; whether nobody was in the way. Some systems and sandboxes have no such locks.
    pub(crate) fn try_lock(&mut self) -> io::Result<bool> {
        if !self.locked {
            self.locked = lock_shared(&self.file, libc::F_RDLCK)?;
        }
        Ok(self.locked)
    }

    /// Gives the lock back, if it was taken.
    pub(crate) fn unlock(&mut self) {
        if std::mem::take(&mut self.locked)
            && let Err(error) = lock_shared(&self.file, libc::F_UNLCK)
        {
            tracing::warn!(%error, "cannot unlock the database; its log is kept until this process ends");
        }
    }

    /// The file as it stands now.
    pub(crate) fn stamp(&self, paths: &Paths) -> Result<Stamp, Error> {
        let metadata = self.file.metadata().map_err(|source| Error::Io {
            doing: "look at",
            path: paths.database.clone(),
            source,
        })?;
        let modified = (metadata.mtime(), metadata.mtime_nsec());
        Ok(Stamp { bytes: metadata.len(), modified })
    }
}

/// Changes the lock of the open file description on the SHARED range; whether nobody was in the way.
#[cfg(target_os = "linux")]
fn lock_shared(file: &File, kind: i32) -> io::Result<bool> {
    crate::shm::lock_description(file, kind, SHARED_FIRST, SHARED_BYTES)
}

#[cfg(not(target_os = "linux"))]
fn lock_shared(_: &File, _: i32) -> io::Result<bool> {
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_tells_of_changes_once_the_clock_has_ticked() {
        let stamp = Stamp { bytes: 4096, modified: (1000, 500_000) };
        let modified = 1_000_000_500;
        assert!(!stamp.tells_from(modified));
        assert!(!stamp.tells_from(modified + TICK_MICROS - 1));
        assert!(stamp.tells_from(modified + TICK_MICROS));
        assert!(stamp.tells_from(modified - 1), "a clock that was set back gives other times");
    }
}
