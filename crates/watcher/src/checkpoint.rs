//! A passive checkpoint of our own, which may run on any thread, so that capturing goes on while the checkpoint waits
//! for fsync.
//!
//! SQLite's unlock at the end of a checkpoint drops the checkpoint lock that this process holds, so [`Checkpoint::run`]
//! takes the lock again at once. Another process may take it in between; then the follower tries again with the next
//! maintenance.

use std::fs::File;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};

use ebbtide_fault::point;
use ebbtide_wal::Index;

use crate::connection::{Connection, Mode, Progress};
use crate::error::Error;
use crate::follower::Follower;
use crate::shm;

/// A checkpoint that is due. Until it has ended ([`Follower::end_checkpoint`]), the follower begins no other checkpoint
/// and no handover.
#[derive(Debug)]
pub struct Checkpoint {
    lent: Lent,
    /// Whether to fsync the database after the checkpoint, because an exclusive checkpoint will follow: its own fsync
    /// then has less to write.
    syncs: bool,
    /// Dropped when the checkpoint ends, or is dropped without having run.
    end: mpsc::Sender<Ended>,
}

/// A checkpoint that has begun and whose end the follower has not received yet.
#[derive(Debug)]
pub(crate) struct Checkpointing {
    end: mpsc::Receiver<Ended>,
}

/// The resources of the follower that a running checkpoint has.
///
/// The connection is the first field, because it must be closed before the wal-index.
#[derive(Debug)]
struct Lent {
    connection: Connection,
    shm: Arc<File>,
    backfilled: u32,
}

/// How a checkpoint has ended.
#[derive(Debug)]
struct Ended {
    lent: Lent,
    ran: rusqlite::Result<Progress>,
    has_lock: bool,
}

impl Checkpoint {
    /// Backfills the frames that the hold allows. Blocks until the frames are written and synced. Then call
    /// [`Follower::end_checkpoint`].
    pub fn run(self) {
        let Checkpoint { lent, syncs, end } = self;
        point("watcher.checkpoint.aside.begin");
        let ran = lent.connection.checkpoint(Mode::Passive);
        point("watcher.checkpoint.aside.unlocked");
        // If the lock is taken now, the next maintenance tries again.
        let has_lock = shm::try_checkpoint_lock(&lent.shm).unwrap_or(false);
        let ran = match syncs {
            true => ran.and_then(|ran| lent.connection.sync_database().map(|()| ran)),
            false => ran,
        };
        if let Err(mpsc::SendError(ended)) = end.send(Ended { lent, ran, has_lock }) {
            // The follower is gone: close the connection first, the wal-index second.
            drop(ended);
        }
    }
}

impl Follower {
    /// The checkpoint that [`Follower::perform`] prepared, for the caller to run on a thread that may block.
    pub fn take_checkpoint(&mut self) -> Option<Checkpoint> {
        self.checkpoint.take()
    }

    /// Receives the end of a checkpoint; does nothing if none has ended.
    ///
    /// # Errors
    /// When the checkpoint failed.
    pub fn end_checkpoint(&mut self) -> Result<(), Error> {
        let Some(running) = &self.checkpointing else { return Ok(()) };
        match running.end.try_recv() {
            Ok(ended) => self.checkpointed(ended),
            Err(TryRecvError::Empty) => Ok(()),
            Err(TryRecvError::Disconnected) => {
                self.lose_checkpoint();
                Ok(())
            }
        }
    }

    /// Waits for the end of a concurrent checkpoint, for `patience` at most. Returns whether none is running any more.
    pub(crate) fn wait_for_checkpoint(&mut self, patience: Duration) -> Result<bool, Error> {
        let Some(running) = &self.checkpointing else { return Ok(true) };
        match running.end.recv_timeout(patience) {
            Ok(ended) => self.checkpointed(ended)?,
            Err(RecvTimeoutError::Timeout) => return Ok(false),
            Err(RecvTimeoutError::Disconnected) => self.lose_checkpoint(),
        }
        Ok(true)
    }

    fn checkpointed(&mut self, ended: Ended) -> Result<(), Error> {
        let Ended { lent: Lent { connection, backfilled, .. }, ran, has_lock } = ended;
        self.checkpointing = None;
        self.shm.set_checkpoint_lock(has_lock);
        self.spare = Some(connection);
        let now = Instant::now();
        self.last_checkpoint = now;
        let ran = ran.map_err(self.sqlite("checkpoint"))?;
        if !matches!(ran, Progress::Ran { backfilled: after, .. } if after > backfilled) {
            // A reader keeps the checkpoint from progress, so writers need not wait for it.
            self.checkpoint_began_at = None;
        }
        tracing::debug!(?ran, before = backfilled, has_lock, "checkpointed");
        self.backoff.checkpoint_ended(ran, backfilled, now);
        Ok(())
    }

    /// The checkpoint was dropped without having run. Its connection is closed, so the checkpoint lock may be lost.
    fn lose_checkpoint(&mut self) {
        self.checkpointing = None;
        self.checkpoint_began_at = None;
        self.shm.set_checkpoint_lock(false);
    }

    /// Prepares a checkpoint of the frames that the hold allows, see [`Follower::take_checkpoint`].
    pub(crate) fn begin_checkpoint(&mut self) -> Result<(), Error> {
        let index = self.shm.read(&self.paths)?;
        self.spare()?;
        let (sender, end) = mpsc::channel();
        self.checkpointing = Some(Checkpointing { end });
        self.checkpoint_began_at = Some(index.frames);
        let (shm, backfilled) = (self.shm.file(), index.backfilled);
        let syncs = index.frames >= self.limits.exclusive_frames;
        let connection = self.spare.take();
        self.checkpoint = connection.map(|connection| {
            let lent = Lent { connection, shm, backfilled };
            Checkpoint { lent, syncs, end: sender }
        });
        Ok(())
    }

    /// How many bytes of frames were committed since the last checkpoint began, whether or not it has ended.
    pub(crate) fn grown_bytes(&self, index: &Index) -> u64 {
        let began_at = self.checkpoint_began_at.unwrap_or(index.frames);
        self.bytes_of(index.frames.saturating_sub(began_at))
    }
}
