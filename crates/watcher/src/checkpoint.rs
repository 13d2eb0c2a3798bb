//! A passive checkpoint of our own, which may run on any thread: capturing goes on while it waits for the disk.
//!
//! SQLite's unlocking at its end drops the checkpoint lock that this process holds, so it is taken again at once, here.
//! Between the two somebody else may get it; then it is asked for again later, as at the start.

use std::convert::Infallible;
use std::fs::File;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use ebbtide_fault::point;
use ebbtide_wal::Index;

use crate::connection::{Connection, Mode, Progress};
use crate::error::Error;
use crate::follower::Follower;
use crate::shm;

/// A checkpoint that is due. The follower starts no other, and hands no hold over, until it has it back.
///
/// The connection stands first, because it must be closed before the wal-index.
#[derive(Debug)]
pub struct Checkpoint {
    connection: Connection,
    shm: Arc<File>,
    backfilled: u32,
    /// Dropped at the end, also if nobody runs it.
    running: Option<mpsc::Sender<Infallible>>,
}

/// A checkpoint that was begun and not taken back yet.
#[derive(Debug)]
pub(crate) struct Checkpointing {
    /// How long the log was when it began.
    frames: u32,
    /// Hears that it has ended.
    end: mpsc::Receiver<Infallible>,
}

/// A checkpoint that has ended.
#[derive(Debug)]
pub struct Checkpointed {
    checkpoint: Checkpoint,
    ran: rusqlite::Result<Progress>,
    has_lock: bool,
}

impl Checkpoint {
    /// Copies back what the hold lets through, which takes as long as the disk does.
    #[must_use]
    pub fn run(mut self) -> Checkpointed {
        point("watcher.checkpoint.aside.begin");
        let ran = self.connection.checkpoint(Mode::Passive);
        point("watcher.checkpoint.aside.unlocked");
        // A lock that cannot be had now is asked for again with the next maintenance.
        let has_lock = shm::try_checkpoint_lock(&self.shm).unwrap_or(false);
        self.running = None;
        Checkpointed { checkpoint: self, ran, has_lock }
    }
}

impl Follower {
    /// The checkpoint that [`Follower::maintain`] decided on, to be run wherever it holds nobody up.
    pub fn take_checkpoint(&mut self) -> Option<Checkpoint> {
        self.checkpoint.take()
    }

    /// Takes a checkpoint back.
    ///
    /// # Errors
    /// When SQLite refused to make it.
    pub fn checkpointed(&mut self, ended: Checkpointed) -> Result<(), Error> {
        let Checkpointed { checkpoint, ran, has_lock } = ended;
        self.checkpointing = None;
        self.shm.set_checkpoint_lock(has_lock);
        self.spare = Some(checkpoint.connection);
        let now = Instant::now();
        self.last_checkpoint = now;
        let ran = ran.map_err(self.sqlite("checkpoint"))?;
        tracing::debug!(?ran, before = checkpoint.backfilled, has_lock, "checkpointed");
        self.setbacks.checkpoint_ended(ran, checkpoint.backfilled, now);
        Ok(())
    }

    /// Copies back what the hold lets through, once somebody takes it to run.
    pub(crate) fn begin_checkpoint(&mut self, index: &Index) -> Result<(), Error> {
        self.spare()?;
        let (running, end) = mpsc::channel();
        self.checkpointing = Some(Checkpointing { frames: index.frames, end });
        let (shm, backfilled, running) = (self.shm.file(), index.backfilled, Some(running));
        let connection = self.spare.take();
        self.checkpoint =
            connection.map(|connection| Checkpoint { connection, shm, backfilled, running });
        Ok(())
    }

    /// How much was committed since the checkpoint began that runs beside.
    pub(crate) fn grown_bytes(&self, index: &Index) -> u64 {
        let frames = self.checkpointing.as_ref().map_or(index.frames, |running| running.frames);
        self.bytes_of(index.frames.saturating_sub(frames))
    }

    /// Waits for the checkpoint that runs beside, if one does.
    pub(crate) fn wait_for_checkpoint(&self, patience: Duration) {
        if let Some(running) = &self.checkpointing {
            match running.end.recv_timeout(patience) {
                Ok(never) => match never {},
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
            }
        }
    }
}
