//! The lock on the database's file during a rest, and the stamp that shows whether the file was changed.
//!
//! SQLite's last close takes the EXCLUSIVE lock of the database, checkpoints the log and deletes it. A shared lock on
//! the same bytes prevents that, so that the commits of a short-lived application stay in the log until they are
//! captured (`sqlite3WalClose`). The lock belongs to the open file description, not to the process, so that closing a
//! connection of ours does not drop it. It prevents a close of our own from deleting the log, too, so it is released
//! before a [`Follower`](crate::Follower) is dropped.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::sync::Arc;

use ebbtide_time::Timestamp;
use ebbtide_wal::lock;
use nix::libc;

use crate::descriptors::Descriptors;
use crate::error::Error;
use crate::files::{Identity, Paths};
use crate::lock_bytes::SharedLock;

/// Two changes of a file within one tick of the kernel's clock have the same time. No kernel ticks more slowly.
const TICK_MICROS: i64 = 12_000;

/// A file descriptor on the database, and the lock.
#[derive(Debug)]
pub(crate) struct DatabaseLock {
    file: Arc<File>,
    lock: Option<SharedLock>,
}

/// The size and modification time of the file, which change with its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    bytes: u64,
    /// Seconds and nanoseconds since the epoch.
    modified: (i64, i64),
}

impl Stamp {
    /// Whether a change at `time` or later will change the stamp.
    pub(crate) fn tells_from(self, time: Timestamp) -> bool {
        let (seconds, nanoseconds) = self.modified;
        let modified = seconds.saturating_mul(1_000_000).saturating_add(nanoseconds / 1000);
        !(0..TICK_MICROS).contains(&time.as_micros().saturating_sub(modified))
    }
}

impl DatabaseLock {
    /// Opens the database's file, which must have this identity.
    pub(crate) fn open(
        paths: &Paths,
        identity: Identity,
        descriptors: &Descriptors,
    ) -> Result<DatabaseLock, Error> {
        let path = &paths.database;
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(path)
            .map_err(|source| Error::Io { doing: "open", path: path.clone(), source })?;
        // Kept in any case: closing it would drop the locks of our connections, if it is the same file.
        let file = descriptors.keep(file);
        identity.check_is(&file, path)?;
        Ok(DatabaseLock { file, lock: None })
    }

    /// Takes the lock. Returns false if another lock conflicts, or the kernel has no open file description locks.
    pub(crate) fn try_lock(&mut self) -> io::Result<bool> {
        const FAILURE: &str = "cannot unlock the database; its log is kept until this process ends";
        if self.lock.is_none() {
            self.lock = SharedLock::take(&self.file, lock::SHARED, FAILURE)?;
        }
        Ok(self.lock.is_some())
    }

    /// Releases the lock, if it was taken.
    pub(crate) fn unlock(&mut self) {
        self.lock = None;
    }

    /// The present stamp of the file.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_tells_of_changes_once_the_clock_has_ticked() {
        let stamp = Stamp { bytes: 4096, modified: (1000, 500_000) };
        let tells =
            |later| stamp.tells_from(Timestamp::from_micros(1_000_000_500 + later).unwrap());
        assert!(!tells(0));
        assert!(!tells(TICK_MICROS - 1));
        assert!(tells(TICK_MICROS));
        assert!(tells(-1), "a clock that was set back gives other times");
    }
}
