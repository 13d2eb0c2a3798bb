//! The handover of the hold: the next hold begins, all commits from before it are captured, the old hold ends; and the
//! checkpoints in between.

use std::sync::Arc;
use std::time::Instant;

use ebbtide_fault::point;
use ebbtide_wal::Index;

use crate::connection::{Connection, Mode, Progress, is_busy};
use crate::error::Error;
use crate::follower::{CaptureError, Follower};
use crate::hold::{Hold, Reads};
use crate::policy::{Action, HandoverStage, Kept, Situation, decide, is_outrun};
use crate::tail::{Mark, Scratch};
use crate::transaction::Transaction;

/// The next hold, which has begun, and the mark up to which must be captured before the present hold may end.
#[derive(Debug)]
pub(crate) struct Handover {
    hold: Hold,
    pub(crate) until: Mark,
}

impl Follower {
    /// The action that the policy chooses now. `kept` says where the captured commits are, `has_room` whether the sink
    /// can take some thousands of frames without blocking.
    ///
    /// # Errors
    /// When the wal-index cannot be read.
    pub fn due(&mut self, kept: Kept, has_room: bool) -> Result<Action, Error> {
        let Ok(index) = self.shm.peek(&self.paths)? else { return Ok(Action::Wait) };
        if self.checkpointing.is_none() {
            // An autocheckpoint that ran between two checkpoints of ours releases the lock soon.
            self.shm.try_checkpoint_lock(&self.paths)?;
            self.stale_checkpointer &= !self.shm.has_checkpoint_lock();
        }
        Ok(decide(&self.situation(&index, kept, has_room), &self.limits))
    }

    /// Performs the action of [`Follower::due`], for the same `kept`.
    ///
    /// A brake and an exclusive checkpoint capture into `sink`. A passive checkpoint is only prepared: see
    /// [`Follower::take_checkpoint`].
    ///
    /// # Errors
    /// As [`Follower::capture`].
    pub fn perform<E>(
        &mut self,
        action: Action,
        time: i64,
        kept: Kept,
        scratch: &mut Scratch,
        sink: impl FnMut(&mut Transaction<'_>) -> Result<bool, E>,
    ) -> Result<(), CaptureError<E>> {
        match action {
            Action::Wait => {}
            Action::EndHold => self.finish_handover()?,
            Action::HandOver => self.begin_handover()?,
            Action::Checkpoint => self.begin_checkpoint()?,
            Action::Truncate => self.truncate()?,
            Action::ExclusiveCheckpoint => self.checkpoint_exclusively(time, scratch, sink)?,
            Action::Brake => {
                let may_restart = kept != Kept::Nowhere && !self.is_imaging();
                self.brake(time, may_restart, scratch, sink)?;
            }
        }
        Ok(())
    }

    /// Whether writers are faster than the checkpoints, so that they may be throttled.
    #[must_use]
    pub fn is_outrun(&self) -> bool {
        let index = self.shm.peek(&self.paths);
        index.is_ok_and(|index| index.is_ok_and(|index| is_outrun(index.frames, &self.limits)))
    }

    fn situation(&self, index: &Index, kept: Kept, has_room: bool) -> Situation {
        let reads_database_only = self.hold.reads == Reads::DatabaseOnly;
        Situation {
            frames: index.frames,
            backfilled: index.backfilled,
            held_frames: self.hold.frames(index),
            reads_database_only,
            has_checkpoint_lock: self.shm.has_checkpoint_lock(),
            checkpointing: self.checkpointing.is_some(),
            handover: self.handover.as_ref().map(|_| match self.may_end_hold() {
                true => HandoverStage::Ready,
                false => HandoverStage::Waits,
            }),
            captured: self.tail.has_read(index),
            kept,
            backlog_bytes: self.bytes_of(index.frames.saturating_sub(index.backfilled)),
            unread_bytes: self.unread_bytes(index),
            grown_bytes: self.grown_bytes(index),
            since_brake: self.backoff.since_brake(),
            has_room,
            imaging: self.is_imaging(),
            quiet: self.last_commit.elapsed(),
            since_checkpoint: self.last_checkpoint.elapsed(),
            since_failed_exclusive: self.backoff.since_failed_exclusive(),
            since_no_progress: self.backoff.since_no_progress(),
            without_progress: self.backoff.without_progress(),
            since_busy_checkpoint: self.backoff.since_busy_checkpoint(),
            file_bytes: self.tail.file_bytes(&self.paths),
        }
    }

    /// Whether an image of the database or its pin exists.
    pub(crate) fn is_imaging(&self) -> bool {
        Arc::strong_count(&self.images) > 1
    }

    /// Whether a handover waits for frames to be captured. Every other action on the log waits for the handover.
    #[must_use]
    pub fn waits_for_capture(&self) -> bool {
        self.handover.as_ref().is_some_and(|next| !self.tail.covers(next.until))
    }

    /// Whether the next hold may replace the present one: all commits from before it are captured, and
    /// *checkpoint-lock-first* is met.
    fn may_end_hold(&self) -> bool {
        !self.waits_for_capture() && !self.stale_checkpointer
    }

    /// Closes connections and file descriptors that are not in use. They are opened again when needed.
    pub fn trim(&mut self) {
        if self.handover.is_none() && self.checkpointing.is_none() {
            (self.spare, self.exclusive) = (None, None);
        }
        self.tail.close();
    }

    /// The connection without a read transaction.
    pub(crate) fn spare(&mut self) -> Result<&Connection, Error> {
        if self.spare.is_none() {
            self.spare = Some(Connection::open(&self.paths.database, true)?);
        }
        Ok(self.spare.as_ref().expect("it was just opened"))
    }

    pub(crate) fn sqlite(&self, doing: &'static str) -> impl FnOnce(rusqlite::Error) -> Error {
        let path = self.paths.database.clone();
        move |source| Error::Sqlite { doing, path, source }
    }

    /// Step 1: the next hold begins. From here on both holds keep the log.
    pub(crate) fn begin_handover(&mut self) -> Result<(), Error> {
        let before = self.shm.read(&self.paths)?;
        match self.spare()?.begin_read() {
            Ok(()) => {}
            Err(error) if is_busy(&error) => return Ok(()),
            Err(error) => return Err(self.sqlite("begin to read")(error)),
        }
        point("watcher.handover.begun");
        let after = self.shm.read(&self.paths)?;
        let hold = Hold::between(&before, &after, self.shm.has_checkpoint_lock());
        let until = self.tail.mark(&after);
        self.handover = Some(Handover { hold, until });
        self.finish_handover()
    }

    /// Step 2: once all commits from before the next hold are captured, the present hold ends.
    pub(crate) fn finish_handover(&mut self) -> Result<(), Error> {
        let Some(next) = &self.handover else { return Ok(()) };
        if !self.may_end_hold() {
            return Ok(());
        }
        point("watcher.handover.captured");
        let hold = next.hold;
        self.held().end().map_err(self.sqlite("end reading"))?;
        point("watcher.handover.ended");
        self.hold = hold;
        self.handover = None;
        if self.spare.is_some() {
            std::mem::swap(&mut self.held, &mut self.spare);
        }
        Ok(())
    }

    /// Truncates the log's file. SQLite does so only if every reader reads the database file alone, as our hold does,
    /// and all frames are backfilled.
    fn truncate(&mut self) -> Result<(), Error> {
        self.run_checkpoint(Mode::Truncate)?;
        self.last_commit = Instant::now();
        Ok(())
    }

    /// Runs a checkpoint on the spare connection, and takes the checkpoint lock again, which the checkpoint drops.
    pub(crate) fn run_checkpoint(&mut self, mode: Mode) -> Result<Progress, Error> {
        point("watcher.checkpoint.begin");
        let ran = self.spare()?.checkpoint(mode);
        point("watcher.checkpoint.unlocked");
        self.shm.set_checkpoint_lock(false);
        self.shm.try_checkpoint_lock(&self.paths)?;
        point("watcher.checkpoint.done");
        ran.map_err(self.sqlite("checkpoint"))
    }
}
