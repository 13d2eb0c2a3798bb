//! A passive checkpoint of our own, which may run on any thread: capturing goes on while it waits for the disk.
//!
//! SQLite's unlocking at its end drops the checkpoint lock that this process holds, so it is taken again at once, here.
//! Between the two somebody else may get it; then it is asked for again later, as at the start.

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

/// A checkpoint that is due. The follower starts no other, and hands no hold over, until it has it back, which it finds
/// out by itself: [`Follower::end_checkpoint`].
#[derive(Debug)]
pub struct Checkpoint {
    lent: Lent,
    /// Writers will be stopped for the rest, so the disk is not left anything to do then.
    syncs: bool,
    /// Dropped at the end, also if nobody runs it.
    end: mpsc::Sender<Ended>,
}

/// A checkpoint that was begun and not taken back yet.
#[derive(Debug)]
pub(crate) struct Checkpointing {
    /// Hears how it has ended.
    end: mpsc::Receiver<Ended>,
}

/// What the follower misses while a checkpoint runs.
///
/// The connection stands first, because it must be closed before the wal-index.
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
    /// Copies back what the hold lets through, which takes as long as the disk does. Whoever has run it tells the follower
    /// with [`Follower::end_checkpoint`].
    pub fn run(self) {
        let Checkpoint { lent, syncs, end } = self;
        point("watcher.checkpoint.aside.begin");
        let ran = lent.connection.checkpoint(Mode::Passive);
        point("watcher.checkpoint.aside.unlocked");
        // A lock that cannot be had now is asked for again with the next maintenance.
        let has_lock = shm::try_checkpoint_lock(&lent.shm).unwrap_or(false);
        let ran = match syncs {
            true => ran.and_then(|ran| lent.connection.sync_database().map(|()| ran)),
            false => ran,
        };
        if let Err(mpsc::SendError(ended)) = end.send(Ended { lent, ran, has_lock }) {
            // Nobody follows any more: the connection is closed, and then the wal-index.
            drop(ended);
        }
    }
}

impl Follower {
    /// The checkpoint that [`Follower::perform`] prepared, to be run wherever it holds nobody up.
    pub fn take_checkpoint(&mut self) -> Option<Checkpoint> {
        self.checkpoint.take()
    }

    /// Takes a checkpoint back that has ended; nothing if none has.
    ///
    /// # Errors
    /// When SQLite refused to make it.
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

    /// Waits for the checkpoint that runs beside, if one does; whether none runs any more.
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
            // Somebody is in its way, and nobody has to wait for what does not come further.
            self.checkpoint_began_at = None;
        }
        tracing::debug!(?ran, before = backfilled, has_lock, "checkpointed");
        self.backoff.checkpoint_ended(ran, backfilled, now);
        Ok(())
    }

    /// Whoever was to run it did not. Its connection is closed, so whether the checkpoint lock is ours is not known.
    fn lose_checkpoint(&mut self) {
        self.checkpointing = None;
        self.checkpoint_began_at = None;
        self.shm.set_checkpoint_lock(false);
    }

    /// Copies back what the hold lets through, once somebody takes it to run.
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

    /// How much was committed since the last checkpoint began, whether it runs still or has ended.
    pub(crate) fn grown_bytes(&self, index: &Index) -> u64 {
        let began_at = self.checkpoint_began_at.unwrap_or(index.frames);
        self.bytes_of(index.frames.saturating_sub(began_at))
    }
}
