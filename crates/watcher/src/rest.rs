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

use ebbtide_time::Timestamp;

use crate::connection::Mode;
use crate::database_lock::{DatabaseLock, Stamp};
use crate::error::{Error, Moved};
use crate::held_log::HeldLog;
use crate::lock_bytes::SharedLock;
use crate::opening::begin_patiently;

/// Whether the database is at rest, and the locks that are kept for it.
#[derive(Debug, Default)]
pub(crate) struct Rest {
    /// `None` before the first rest.
    database_lock: Option<DatabaseLock>,
    /// If some, no connection of ours is open.
    resting: Option<Resting>,
}

#[derive(Debug)]
struct Resting {
    /// The stamp of the database's file since the rest began.
    stamp: Stamp,
    backfill_lock: Option<SharedLock>,
}

impl Rest {
    /// Whether no connection of ours has the database open.
    pub(crate) fn is_resting(&self) -> bool {
        self.resting.is_some()
    }

    /// Checkpoints the whole log and truncates it, as a last close would. Returns whether the log is empty now. It is
    /// not if frames are not captured, or another process reads the log.
    pub(crate) fn empty_log(&self, log: &mut HeldLog) -> Result<bool, Error> {
        if !self.may_empty(log)? {
            return Ok(false);
        }
        if !log.index()?.is_backfilled() {
            log.begin_handover()?;
            if log.is_handing_over() {
                return Ok(false);
            }
            log.run_checkpoint(Mode::Passive)?;
        }
        log.begin_handover()?;
        let index = log.index()?;
        let reads_database_only = !log.is_handing_over() && log.reads_database_only();
        if !reads_database_only || !index.is_backfilled() || !log.tail().has_read(&index) {
            return Ok(false);
        }
        if index.frames > 0 || log.file_bytes() > 0 {
            log.run_checkpoint(Mode::Truncate)?;
        }
        point("watcher.rest.emptied");
        is_empty(log)
    }

    /// Whether everything is captured, and a checkpoint of ours can empty the log.
    fn may_empty(&self, log: &mut HeldLog) -> Result<bool, Error> {
        if self.is_resting() || log.is_handing_over() {
            return Ok(false);
        }
        let is_ours = log.maintain_checkpoint_lock()?;
        Ok(is_ours && !log.has_stale_checkpointer() && log.tail().has_read(&log.index()?))
    }

    /// Closes every connection of ours, if the log is empty and no other process has the database open. Returns whether
    /// it did. It does not within one tick of the kernel's clock after the database's file was written, because a
    /// change in the same tick would not change the stamp. `time` is now. `close` closes the
    /// connections that `log` does not have.
    pub(crate) fn begin(
        &mut self,
        log: &mut HeldLog,
        time: Timestamp,
        close: impl FnOnce(),
    ) -> Result<bool, Error> {
        if !self.may_empty(log)? || !is_empty(log)? || log.shm().is_open_elsewhere() {
            return Ok(false);
        }
        let Some(stamp) = self.locked_stamp(log)? else { return Ok(false) };
        if !stamp.tells_from(time) {
            return Ok(false);
        }
        let backfill_lock = log.shm().take_backfill_lock();
        if backfill_lock.is_none() {
            return Ok(false);
        }
        point("watcher.rest.locked");
        log.close()?;
        close();
        self.resting = Some(Resting { stamp, backfill_lock });
        point("watcher.rest.begun");
        Ok(true)
    }

    /// The stamp of the database's file under its lock; `None` if the lock is not free.
    fn locked_stamp(&mut self, log: &HeldLog) -> Result<Option<Stamp>, Error> {
        let lock = match &mut self.database_lock {
            Some(lock) => lock,
            none => {
                let lock = DatabaseLock::open(log.paths(), log.database(), log.descriptors())?;
                none.insert(lock)
            }
        };
        let locked = lock.try_lock().map_err(|source| Error::Io {
            doing: "lock",
            path: log.paths().database.clone(),
            source,
        })?;
        if locked { lock.stamp(log.paths()).map(Some) } else { Ok(None) }
    }

    /// Whether an application has opened the database or written its log, so that the rest must end. A few system
    /// calls.
    pub(crate) fn stirs(&self, log: &HeldLog) -> Result<bool, Error> {
        let Some(resting) = &self.resting else { return Ok(false) };
        log.check_identities()?;
        if log.shm().is_open_elsewhere() || log.file_bytes() > 0 {
            return Ok(true);
        }
        self.check_stamp(log, resting.stamp)?;
        Ok(false)
    }

    fn check_stamp(&self, log: &HeldLog, stamp: Stamp) -> Result<(), Error> {
        match &self.database_lock {
            Some(lock) if lock.stamp(log.paths())? == stamp => Ok(()),
            _ => {
                let path = log.paths().given.clone();
                Err(Error::Moved { path, moved: Moved::Overwritten })
            }
        }
    }

    /// Ends the rest: holds the log again. All commits since the rest began will be captured.
    pub(crate) fn end(&mut self, log: &mut HeldLog) -> Result<(), Error> {
        let Some(stamp) = self.resting.as_ref().map(|resting| resting.stamp) else {
            return Ok(());
        };
        // The first connection to a database rebuilds its wal-index, and other processes get `SQLITE_BUSY` meanwhile.
        // The wal-index of an application that has just closed the database is right, as long as its file exists.
        let is_alive = log.peek()?.is_ok_and(|index| index.frames > 0);
        let is_right = is_alive || log.shm().is_open_elsewhere();
        let kept = if is_right { log.shm().keep_index() } else { None };
        let held =
            log.check_identities().and_then(|()| begin_patiently(log.paths(), log.descriptors()));
        point("watcher.rouse.held");
        drop(kept);
        let held = held?;
        // The log is pinned from here on, so that no checkpoint changes the file after this check.
        log.check_identities()?;
        self.check_stamp(log, stamp)?;
        if let Some(resting) = &mut self.resting {
            resting.backfill_lock = None;
        }
        log.hold_again(held)?;
        self.resting = None;
        point("watcher.rouse.done");
        Ok(())
    }

    /// Ends the rest before the follower is dropped: the last close of SQLite, which may be ours, checkpoints the log
    /// and deletes it together with the wal-index.
    pub(crate) fn leave(&mut self, log: &HeldLog) {
        if let Some(lock) = &mut self.database_lock {
            lock.unlock();
        }
        if self.resting.take().is_none() || log.check_identities().is_err() {
            return;
        }
        let left = begin_patiently(log.paths(), log.descriptors()).map(drop);
        if let Err(error) = left {
            tracing::debug!(%error, "the empty log stays beside the database");
        }
    }
}

fn is_empty(log: &HeldLog) -> Result<bool, Error> {
    Ok(log.index()?.frames == 0 && log.file_bytes() == 0)
}
