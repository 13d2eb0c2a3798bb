//! Rest: while no other process has the database open, the file alone is the database.
//!
//! Without a sidecar the last close copies the log into the database and deletes it, so that the file may be copied,
//! moved and replaced. Our own connections keep a close from being the last. So once nobody else has the database open
//! and everything is captured, the log is emptied, and our connections are closed too: a connection that stays keeps the
//! wal-index alive, with the size of a database that may be another one by the next open. What stays is a shared lock on
//! the database's file ([`DatabaseLock`]), which keeps the log of whoever comes next until it is captured.
//!
//! A second shared lock, on the byte of the wal-index that readers lock who ignore the log, keeps everybody from copying
//! frames into the database ([`Shm::take_backfill_lock`](crate::shm::Shm::take_backfill_lock)). A log is restarted only once all
//! of it was copied, so it has every commit since the rest began, however late the follower is roused. It is roused at
//! the first sign of an application, begins to read, which pins the log, and looks at the file: if that is not as it was
//! left, somebody wrote over it without SQLite's locks, and the pages themselves have to tell.
//!
//! The orders in which an application and the two ends of a rest can meet:
//!
//! 1. It comes before the connections are closed: it finds a wal-index that is alive, and its frames stay in the log.
//! 2. It comes after, before it is seen: it builds the wal-index from an empty log, whatever file stands there by then.
//! 3. It is gone again before it is seen: its frames are in the log, because its close was not exclusive.

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

    /// Copies the whole log into the database and cuts it, as a last close would; whether it is empty now. It is not if
    /// anything of it is not captured, somebody reads it, or an image is read.
    ///
    /// # Errors
    /// When SQLite refuses, or the wal-index cannot be read.
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

    /// Closes every connection of ours, if the log is empty and nobody else has the database open; whether it did. It
    /// does not within a tick of the kernel's clock after the database was written: a change in that tick could not be
    /// told from what was there. `time` is now, in µs since the epoch.
    ///
    /// # Errors
    /// When SQLite refuses, or a file cannot be read.
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
        // It went with the connections.
        self.shm.set_checkpoint_lock(false);
        self.tail.close();
        self.resting = Some(stamp);
        point("watcher.rest.begun");
        Ok(true)
    }

    /// The database's file as it is under its lock; nothing if that cannot be had.
    fn locked_stamp(&mut self) -> Result<Option<Stamp>, Error> {
        let Some(lock) = &mut self.lock else { return Ok(None) };
        let locked = lock.try_lock().map_err(|source| Error::Io {
            doing: "lock",
            path: self.paths.database.clone(),
            source,
        })?;
        if locked { lock.stamp(&self.paths).map(Some) } else { Ok(None) }
    }

    /// Whether an application has come, so that a database at rest has to be roused. A few system calls.
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

    /// Takes hold of the log again. Everything that was committed since the rest began will be handed out.
    ///
    /// # Errors
    /// [`Error::Moved`] when the database is not the one that was left, or was changed by something else than commits
    /// that are in the log. The follower is of no use then.
    pub fn rouse(&mut self) -> Result<(), Error> {
        let Some(stamp) = self.resting else { return Ok(()) };
        // Whoever opens a database that nobody has open builds its wal-index anew, and others may find it locked
        // meanwhile. That of an application which has just left is right, as long as its file is still there.
        let is_alive = self.shm.peek(&self.paths)?.is_ok_and(|index| index.frames > 0);
        let kept = (is_alive || self.is_open_elsewhere()) && self.shm.keep_index();
        let held = self.check_identities().and_then(|()| begin_patiently(&self.paths));
        point("watcher.rouse.held");
        if kept {
            self.shm.release_index();
        }
        let held = held?;
        // The log is pinned from here on, so that what the file tells now stays true of it.
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

    /// Ends a rest for good, or the session: SQLite's own last close removes the files that are of no use any more.
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
