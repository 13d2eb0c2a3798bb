//! Rest: while no other process has the database open, the file alone is the database.
//!
//! Without a sidecar the last close checkpoints the log and deletes it, so that the file may be copied, moved and
//! replaced. Our own connections keep an application's close from being the last. So once no other process has the
//! database open and every commit is captured, the follower checkpoints and truncates the log and closes its
//! connections: an open connection would keep the wal-index, whose header has the size of a database that may be
//! replaced before the next open. The follower keeps a shared lock on the database's file ([`DatabaseLock`]), so that
//! the log of the next application stays until it is captured.
//!
//! The follower also keeps the backfill lock, a shared lock on the byte of the wal-index that readers of the database
//! file alone lock. It prevents every checkpoint ([`Shm::take_backfill_lock`](crate::shm::Shm::take_backfill_lock)). A
//! log is restarted only once all of its frames are backfilled, so it has every commit since the rest began, however
//! late the follower ends its rest. It does so at the first sign of an application: it begins to read, which pins the
//! log, and compares the stamp of the database's file. If the stamp has changed, another program wrote the file without
//! SQLite's locks, and the next session has to compare pages.
//!
//! The orders in which an application and the two ends of a rest can meet:
//!
//! 1. The application opens the database before our connections are closed: it uses the existing wal-index, and its
//!    frames stay in the log.
//! 2. It opens the database after that and before the follower notices: it builds the wal-index from an empty log, also
//!    for a database's file that was replaced.
//! 3. It closes the database before the follower notices: its frames are in the log, because its close was not
//!    exclusive.

use ebbtide_fault::point;

use crate::connection::Mode;
use crate::database_lock::{DatabaseLock, Stamp};
use crate::error::{Error, Moved};
use crate::follower::{Follower, begin_patiently};
use crate::hold::{Hold, Reads};
use crate::tail::Tail;

impl Follower {
    /// Whether another process has the database open.
    #[must_use]
    pub fn is_open_elsewhere(&self) -> bool {
        self.shm.is_open_elsewhere()
    }

    /// Whether no connection of ours has the database open.
    #[must_use]
    pub fn is_resting(&self) -> bool {
        self.resting.is_some()
    }

    /// Checkpoints the whole log and truncates it, as a last close would. Returns whether the log is empty now. It is
    /// not if frames are not captured, another process reads the log, or an image is being read.
    ///
    /// # Errors
    /// When SQLite fails, or the wal-index cannot be read.
    pub fn empty_log(&mut self) -> Result<bool, Error> {
        if !self.may_empty_log()? {
            return Ok(false);
        }
        let index = self.shm.read(&self.paths)?;
        if !index.is_backfilled() {
            self.begin_handover()?;
            if self.handover.is_some() {
                return Ok(false);
            }
            self.run_checkpoint(Mode::Passive)?;
        }
        self.begin_handover()?;
        let index = self.shm.read(&self.paths)?;
        let reads_database_only = self.handover.is_none() && self.hold.reads == Reads::DatabaseOnly;
        if !reads_database_only || !index.is_backfilled() || !self.tail.has_read(&index) {
            return Ok(false);
        }
        if index.frames > 0 || self.tail.file_bytes(&self.paths) > 0 {
            self.run_checkpoint(Mode::Truncate)?;
        }
        point("watcher.rest.emptied");
        self.has_empty_log()
    }

    fn may_empty_log(&mut self) -> Result<bool, Error> {
        if self.is_resting()
            || self.handover.is_some()
            || self.checkpointing.is_some()
            || self.is_imaging()
        {
            return Ok(false);
        }
        self.shm.try_checkpoint_lock(&self.paths)?;
        self.stale_checkpointer &= !self.shm.has_checkpoint_lock();
        let index = self.shm.read(&self.paths)?;
        Ok(self.shm.has_checkpoint_lock() && !self.stale_checkpointer && self.tail.has_read(&index))
    }

    fn has_empty_log(&self) -> Result<bool, Error> {
        let index = self.shm.read(&self.paths)?;
        Ok(index.frames == 0 && self.tail.file_bytes(&self.paths) == 0)
    }

    /// Closes every connection of ours, if the log is empty and no other process has the database open. Returns whether
    /// it did. It does not within one tick of the kernel's clock after the database's file was written, because a
    /// change in the same tick would not change the stamp. `time` is now, in µs since the epoch.
    ///
    /// # Errors
    /// When SQLite fails, or a file cannot be read.
    pub fn rest(&mut self, time: i64) -> Result<bool, Error> {
        if !self.may_empty_log()? || !self.has_empty_log()? || self.is_open_elsewhere() {
            return Ok(false);
        }
        if self.lock.is_none() {
            self.lock = Some(DatabaseLock::open(&self.paths, self.database)?);
        }
        let Some(stamp) = self.locked_stamp()? else { return Ok(false) };
        if !stamp.tells_from(time) {
            return Ok(false);
        }
        if !self.shm.take_backfill_lock() {
            return Ok(false);
        }
        point("watcher.rest.locked");
        self.held().end().map_err(self.sqlite("end reading"))?;
        (self.held, self.spare, self.exclusive) = (None, None, None);
        // Closing the connections dropped the lock.
        self.shm.set_checkpoint_lock(false);
        self.tail.close();
        self.resting = Some(stamp);
        point("watcher.rest.begun");
        Ok(true)
    }

    /// The stamp of the database's file under its lock; `None` if the lock is not free.
    fn locked_stamp(&mut self) -> Result<Option<Stamp>, Error> {
        let Some(lock) = &mut self.lock else { return Ok(None) };
        let locked = lock.try_lock().map_err(|source| Error::Io {
            doing: "lock",
            path: self.paths.database.clone(),
            source,
        })?;
        if locked { lock.stamp(&self.paths).map(Some) } else { Ok(None) }
    }

    /// Whether an application has opened the database or written its log, so that the rest must end. A few system
    /// calls.
    ///
    /// # Errors
    /// [`Error::Moved`] when a file was deleted, replaced or overwritten.
    pub fn stirs(&self) -> Result<bool, Error> {
        let Some(stamp) = self.resting else { return Ok(false) };
        self.check_identities()?;
        if self.is_open_elsewhere() || self.tail.file_bytes(&self.paths) > 0 {
            return Ok(true);
        }
        self.check_stamp(stamp)?;
        Ok(false)
    }

    fn check_stamp(&self, stamp: Stamp) -> Result<(), Error> {
        match &self.lock {
            Some(lock) if lock.stamp(&self.paths)? == stamp => Ok(()),
            _ => Err(Error::Moved { path: self.paths.given.clone(), moved: Moved::Overwritten }),
        }
    }

    /// Ends the rest: holds the log again. All commits since the rest began will be captured.
    ///
    /// # Errors
    /// [`Error::Moved`] when the database was replaced, or its file was changed otherwise than by commits in the log.
    /// The follower must be dropped then.
    pub fn rouse(&mut self) -> Result<(), Error> {
        let Some(stamp) = self.resting else { return Ok(()) };
        // The first connection to a database rebuilds its wal-index, and other processes get `SQLITE_BUSY` meanwhile.
        // The wal-index of an application that has just closed the database is right, as long as its file exists.
        let is_alive = self.shm.peek(&self.paths)?.is_ok_and(|index| index.frames > 0);
        let kept = (is_alive || self.is_open_elsewhere()) && self.shm.keep_index();
        let held = self.check_identities().and_then(|()| begin_patiently(&self.paths));
        point("watcher.rouse.held");
        if kept {
            self.shm.release_index();
        }
        let held = held?;
        // The log is pinned from here on, so that no checkpoint changes the file after this check.
        self.check_identities()?;
        self.check_stamp(stamp)?;
        self.shm.release_backfill_lock();
        let index = self.shm.read(&self.paths)?;
        self.shm.try_checkpoint_lock(&self.paths)?;
        self.tail = Tail::from_start(&self.tail, &self.paths, &index)?;
        (self.hold, self.found) = (Hold::before(&index), self.tail.mark(&index));
        self.stale_checkpointer = !self.shm.has_checkpoint_lock();
        (self.held, self.resting) = (Some(held), None);
        point("watcher.rouse.done");
        Ok(())
    }

    /// Ends the rest before the follower is dropped: the last close of SQLite deletes the log and the wal-index.
    pub(crate) fn leave(&mut self) {
        if self.resting.take().is_none() || self.check_identities().is_err() {
            return;
        }
        let left = begin_patiently(&self.paths).map(drop);
        if let Err(error) = left {
            tracing::debug!(%error, "the empty log stays beside the database");
        }
    }
}
