//! A passive checkpoint of our own, which may run on any thread: capturing goes on while it waits for the disk.
//!
//! SQLite's unlocking at its end drops the checkpoint lock that this process holds, so it is taken again at once, here.
//! Between the two somebody else may get it; then it is asked for again later, as at the start.

use std::fs::File;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
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
    end: Arc<End>,
}

/// Tells that a checkpoint has ended, also if nobody has run it.
#[derive(Debug, Default)]
struct End {
    ended: Mutex<bool>,
    changed: Condvar,
}

/// A checkpoint that was begun and not taken back yet.
#[derive(Debug)]
pub(crate) struct Checkpointing {
    /// How long the log was when it began.
    frames: u32,
    end: Arc<End>,
}

impl End {
    fn tell(&self) {
        *self.ended.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }

    fn wait(&self, patience: Duration) {
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(ended, patience, |ended| !*ended);
        drop(waited);
    }
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
    pub fn run(self) -> Checkpointed {
        point("watcher.checkpoint.aside.begin");
        let ran = self.connection.checkpoint(Mode::Passive);
        point("watcher.checkpoint.aside.unlocked");
        // A lock that cannot be had now is asked for again with the next maintenance.
        let has_lock = shm::try_checkpoint_lock(&self.shm).unwrap_or(false);
        self.end.tell();
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
        let further = matches!(ran, Progress::Ran { backfilled, .. }
            if backfilled > checkpoint.backfilled);
        self.vain_checkpoint = (!further).then_some(now);
        Ok(())
    }

    /// Copies back what the hold lets through, once somebody takes it to run.
    pub(crate) fn begin_checkpoint(&mut self, index: &Index) -> Result<(), Error> {
        self.spare()?;
        let (shm, end) = (self.shm.file(), Arc::new(End::default()));
        self.checkpointing = Some(Checkpointing { frames: index.frames, end: Arc::clone(&end) });
        let connection = self.spare.take();
        let backfilled = index.backfilled;
        self.checkpoint =
            connection.map(|connection| Checkpoint { connection, shm, backfilled, end });
        Ok(())
    }

    /// How much was committed since the checkpoint began that runs beside.
    pub(crate) fn grown_bytes(&self, index: &Index) -> u64 {
        let frames = self.checkpointing.as_ref().map_or(index.frames, |running| running.frames);
        u64::from(index.frames.saturating_sub(frames)) * ebbtide_wal::frame_bytes(self.page_size())
    }

    /// Waits for the checkpoint that runs beside, if one does.
    pub(crate) fn wait_for_checkpoint(&self, patience: Duration) {
        if let Some(running) = &self.checkpointing {
            running.end.wait(patience);
        }
    }
}
