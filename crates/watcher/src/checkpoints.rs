//! Our passive checkpoints: the one that is prepared or running, and how the last ones went.

use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};

use ebbtide_wal::Index;

use crate::backoff::CheckpointBackoff;
use crate::checkpoint::{Checkpoint, Ended};
use crate::connection::Progress;
use crate::error::Error;
use crate::held_log::HeldLog;
use crate::policy::{Limits, is_outrun};

/// At most one passive checkpoint at a time.
#[derive(Debug)]
pub(crate) struct Checkpoints {
    /// A prepared checkpoint that the caller has not taken yet.
    prepared: Option<Checkpoint>,
    /// Some from [`Checkpoints::begin`] until the end is received.
    running: Option<Receiver<Ended>>,
    /// How many frames the log had when the last checkpoint began, unless that checkpoint made no progress.
    began_at: Option<u32>,
    last: Instant,
    backoff: CheckpointBackoff,
}

impl Checkpoints {
    pub(crate) fn new() -> Checkpoints {
        let backoff = CheckpointBackoff::default();
        Checkpoints { prepared: None, running: None, began_at: None, last: Instant::now(), backoff }
    }

    /// Whether a checkpoint is prepared or running.
    pub(crate) fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Prepares a checkpoint of the frames that the hold allows.
    pub(crate) fn begin(&mut self, log: &mut HeldLog, limits: &Limits) -> Result<(), Error> {
        debug_assert!(!self.is_running(), "one checkpoint at a time");
        let index = log.index()?;
        let connection = log.lend_connection()?;
        let syncs = is_outrun(index.frames, limits);
        let (checkpoint, end) =
            Checkpoint::new(connection, log.shm().file(), index.backfilled, syncs);
        (self.prepared, self.running) = (Some(checkpoint), Some(end));
        self.began_at = Some(index.frames);
        Ok(())
    }

    /// The checkpoint that was prepared.
    pub(crate) fn take(&mut self) -> Option<Checkpoint> {
        self.prepared.take()
    }

    /// Receives the end of a checkpoint; does nothing if none has ended.
    pub(crate) fn end(&mut self, log: &mut HeldLog) -> Result<(), Error> {
        let Some(running) = &self.running else { return Ok(()) };
        match running.try_recv() {
            Ok(ended) => self.ended(log, ended),
            Err(TryRecvError::Empty) => Ok(()),
            Err(TryRecvError::Disconnected) => {
                self.lost(log);
                Ok(())
            }
        }
    }

    /// Waits for the end of a checkpoint, for `patience` at most. Returns whether none is running any more.
    pub(crate) fn wait(&mut self, log: &mut HeldLog, patience: Duration) -> Result<bool, Error> {
        let Some(running) = &self.running else { return Ok(true) };
        match running.recv_timeout(patience) {
            Ok(ended) => self.ended(log, ended)?,
            Err(RecvTimeoutError::Timeout) => return Ok(false),
            Err(RecvTimeoutError::Disconnected) => self.lost(log),
        }
        Ok(true)
    }

    fn ended(&mut self, log: &mut HeldLog, ended: Ended) -> Result<(), Error> {
        let Ended { connection, backfilled, ran, has_lock } = ended;
        self.running = None;
        log.end_loan(Some(connection), has_lock);
        let now = Instant::now();
        self.last = now;
        let ran = ran.map_err(log.paths().sqlite("checkpoint"))?;
        if !matches!(ran, Progress::Ran { backfilled: after, .. } if after > backfilled) {
            // A reader keeps the checkpoint from progress, so writers need not wait for it.
            self.began_at = None;
        }
        tracing::debug!(?ran, before = backfilled, has_lock, "checkpointed");
        self.backoff.checkpoint_ended(ran, backfilled, now);
        Ok(())
    }

    /// The checkpoint was dropped without having run. Its connection is closed, so the checkpoint lock may be lost.
    fn lost(&mut self, log: &mut HeldLog) {
        self.running = None;
        self.began_at = None;
        log.end_loan(None, false);
    }

    /// How many frames were committed since the last checkpoint began, whether or not it has ended.
    pub(crate) fn grown(&self, index: &Index) -> u32 {
        index.frames.saturating_sub(self.began_at.unwrap_or(index.frames))
    }

    /// How long ago the last checkpoint ended.
    pub(crate) fn since_last(&self) -> Duration {
        self.last.elapsed()
    }

    /// The pauses after checkpoints that failed, and after a brake.
    pub(crate) fn backoff(&self) -> &CheckpointBackoff {
        &self.backoff
    }

    /// An exclusive checkpoint has run; `all_copied` if it completed.
    pub(crate) fn exclusive_ran(&mut self, all_copied: bool) {
        let now = Instant::now();
        self.last = now;
        self.began_at = None;
        self.backoff.exclusive_ended(all_copied, now);
    }

    /// An exclusive checkpoint did not get the write lock.
    pub(crate) fn exclusive_failed(&mut self) {
        self.backoff.exclusive_ended(false, Instant::now());
    }

    /// A brake has ended.
    pub(crate) fn braked(&mut self) {
        self.backoff.braked(Instant::now());
    }
}
