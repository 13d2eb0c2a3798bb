//! The checkpoint lock of this process: while it is ours, no other process checkpoints.
//!
//! SQLite gives the lock up at the end of each checkpoint of ours, because it belongs to the process, so it is taken
//! again at once. *Checkpoint-lock-first*: another process that was checkpointing when the log was restarted may still
//! have a view of the log from before; it cannot once the lock was ours after the restart.

use std::fs::File;
use std::sync::Arc;

use crate::error::Error;
use crate::files::Paths;
use crate::lock_bytes::try_checkpoint_lock;
use crate::shm::Shm;

/// The only place that knows whether this process has the checkpoint lock.
#[derive(Debug)]
pub(crate) struct CheckpointLock {
    file: Arc<File>,
    owner: Owner,
    /// Whether another process may be running a checkpoint with a view of the log from before its last restart.
    stale_checkpointer: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    /// This process.
    Ours,
    /// A checkpoint of ours on another thread, which may just have dropped it.
    OurCheckpoint,
    /// Nobody, or another process.
    NotOurs,
}

impl CheckpointLock {
    /// Takes the lock if it is free.
    pub(crate) fn take(shm: &Shm, paths: &Paths) -> Result<CheckpointLock, Error> {
        let mut lock =
            CheckpointLock { file: shm.file(), owner: Owner::NotOurs, stale_checkpointer: true };
        lock.maintain(paths)?;
        Ok(lock)
    }

    /// Whether this process has the lock, and no checkpoint of its own.
    pub(crate) fn is_ours(&self) -> bool {
        self.owner == Owner::Ours
    }

    /// Whether another process may be running a checkpoint with a view of the log from before its last restart. Then no
    /// hold may end.
    pub(crate) fn has_stale_checkpointer(&self) -> bool {
        self.stale_checkpointer
    }

    /// Takes the lock if it is free: an autocheckpoint that ran between two checkpoints of ours releases it soon.
    pub(crate) fn maintain(&mut self, paths: &Paths) -> Result<(), Error> {
        debug_assert_ne!(self.owner, Owner::OurCheckpoint, "its checkpoint has it");
        if self.owner != Owner::Ours {
            self.owner = self.try_take(paths)?;
        }
        self.stale_checkpointer &= !self.is_ours();
        Ok(())
    }

    /// SQLite has unlocked this byte for a connection of ours, which dropped the lock. Takes it again if it is free.
    pub(crate) fn dropped(&mut self, paths: &Paths) -> Result<(), Error> {
        let taken = self.try_take(paths)?;
        // Whether a checkpoint that is running still has it is told at its end.
        if self.owner != Owner::OurCheckpoint {
            self.owner = taken;
        }
        Ok(())
    }

    fn try_take(&self, paths: &Paths) -> Result<Owner, Error> {
        let taken = try_checkpoint_lock(&self.file).map_err(|source| Error::Io {
            doing: "lock",
            path: paths.shm.clone(),
            source,
        })?;
        Ok(if taken { Owner::Ours } else { Owner::NotOurs })
    }

    /// A checkpoint of ours begins on another thread.
    pub(crate) fn checkpoint_began(&mut self) {
        self.owner = Owner::OurCheckpoint;
    }

    /// The checkpoint has ended; `has_lock` says whether it took the lock again.
    pub(crate) fn checkpoint_ended(&mut self, has_lock: bool) {
        self.owner = if has_lock { Owner::Ours } else { Owner::NotOurs };
    }

    /// Every connection of ours was closed, which dropped the lock.
    pub(crate) fn closed(&mut self) {
        self.owner = Owner::NotOurs;
    }

    /// The log was restarted. If this process has had the lock since before that, no checkpointer can have read the
    /// wal-index before it.
    pub(crate) fn log_restarted(&mut self) {
        self.stale_checkpointer |= self.owner != Owner::Ours;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::descriptors::Descriptors;
    use crate::opening::begin_patiently;

    /// Catches a hold that ends although another process may be checkpointing with a view from before a restart.
    #[test]
    fn after_a_restart_without_the_lock_a_stale_checkpointer_is_ruled_out_by_having_it_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("app.db");
        let setup = "PRAGMA journal_mode = WAL; CREATE TABLE t (id INTEGER PRIMARY KEY);";
        rusqlite::Connection::open(&path).unwrap().execute_batch(setup).unwrap();
        let paths = Paths::of(&path);
        let descriptors = Descriptors::default();
        let connection = begin_patiently(&paths, &descriptors).unwrap();
        let shm = Shm::open(&paths, &descriptors).unwrap();
        let mut lock = CheckpointLock::take(&shm, &paths).unwrap();
        let state = |lock: &CheckpointLock| (lock.is_ours(), lock.has_stale_checkpointer());
        assert_eq!(state(&lock), (true, false));
        lock.log_restarted();
        assert_eq!(state(&lock), (true, false), "it was ours since before the restart");

        lock.checkpoint_began();
        assert_eq!(state(&lock), (false, false));
        lock.log_restarted();
        lock.checkpoint_ended(true);
        assert_eq!(state(&lock), (true, true), "the checkpoint may have dropped it before");
        lock.maintain(&paths).unwrap();
        assert_eq!(state(&lock), (true, false));

        lock.checkpoint_began();
        lock.checkpoint_ended(false);
        lock.log_restarted();
        assert_eq!(state(&lock), (false, true), "another process may have it");
        lock.dropped(&paths).unwrap();
        assert_eq!(state(&lock), (true, true));
        lock.maintain(&paths).unwrap();
        assert_eq!(state(&lock), (true, false));
        drop(connection);
    }
}
