//! The barrier: writers are stopped for as long as it takes to copy the last few frames back, so that the log of a
//! database that is written without a pause can begin anew.
//!
//! The write lock is asked for in a tight loop: a saturating writer gives it up for a few microseconds at a time, and
//! SQLite's busy handler would sleep through every one of them.

use std::time::{Duration, Instant};

use ebbtide_fault::point;

use crate::connection::{Connection, Mode, Progress};
use crate::error::Error;
use crate::follower::{CaptureError, Follower};
use crate::hold::Hold;
use crate::policy::is_outrun;
use crate::tail::Scratch;
use crate::transaction::Transaction;

/// How much may be left to capture while the writers wait, unless they outrun us: then there is no other way to catch up
/// with them than a little at a time…
const UNREAD_BYTES_MAX: u64 = 8 << 20;
/// …namely for so long.
const STOP_MAX: Duration = Duration::from_millis(50);

impl Follower {
    /// Captures everything, copies everything back, and leaves a hold that ignores the log, with the writers stopped
    /// meanwhile.
    ///
    /// 1. The write lock, on a connection of its own. Its transaction is a hold too, at the log's end.
    /// 2. If more has come meanwhile than can be dealt with in a moment, it is given back.
    /// 3. Capture to the end. The present hold ends.
    /// 4. A checkpoint: nothing but foreign readers can keep it from the end. The policy has seen to it that little is
    ///    left to copy.
    /// 5. The next hold begins. With everything in the database it ignores the log.
    /// 6. The write lock is given back, and the next writer begins the log anew.
    ///
    /// If this process is killed at any step, the kernel drops its locks, and the application goes on.
    pub(crate) fn barrier<E>(
        &mut self,
        time: i64,
        scratch: &mut Scratch,
        sink: impl FnMut(&mut Transaction<'_>) -> Result<bool, E>,
    ) -> Result<(), CaptureError<E>> {
        if self.stale_checkpointer {
            return Ok(());
        }
        let done = self.while_stopped(|follower| {
            point("watcher.barrier.stopped");
            follower.behind_barrier(time, scratch, sink)
        })?;
        point("watcher.barrier.ended");
        let now = Instant::now();
        if done.is_some() {
            self.last_checkpoint = now;
        }
        self.setbacks.barrier_ended(done == Some(true), now);
        Ok(())
    }

    /// Captures for a moment with the writers stopped, because they outrun the capturing or the checkpoint that runs
    /// beside, and waits for that. Nothing is done about holds, whatever state they are in.
    pub(crate) fn brake<E>(
        &mut self,
        time: i64,
        scratch: &mut Scratch,
        sink: impl FnMut(&mut Transaction<'_>) -> Result<bool, E>,
    ) -> Result<(), CaptureError<E>> {
        self.while_stopped(|follower| {
            let began = Instant::now();
            follower.capture_briefly(time, scratch, sink)?;
            follower.wait_for_checkpoint(STOP_MAX.saturating_sub(began.elapsed()));
            Ok(())
        })?;
        self.setbacks.braked(Instant::now());
        Ok(())
    }

    /// Does `work` with the writers stopped; nothing if they could not be.
    fn while_stopped<T, E>(
        &mut self,
        work: impl FnOnce(&mut Follower) -> Result<T, CaptureError<E>>,
    ) -> Result<Option<T>, CaptureError<E>> {
        if self.barrier.is_none() {
            self.barrier = Some(Connection::open(&self.paths.database, false)?);
        }
        let began = Instant::now();
        while !self.stop_writers()? {
            if began.elapsed() > self.limits.barrier_budget {
                return Ok(None);
            }
            std::hint::spin_loop();
        }
        let done = work(self);
        let ended = match &self.barrier {
            Some(barrier) => barrier.end().map_err(self.sqlite("give back the write lock of")),
            None => Ok(()),
        };
        let done = done?;
        ended?;
        Ok(Some(done))
    }

    /// Captures to the end, or for as long as writers may be kept waiting for it; whether it came to the end.
    fn capture_briefly<E>(
        &mut self,
        time: i64,
        scratch: &mut Scratch,
        mut sink: impl FnMut(&mut Transaction<'_>) -> Result<bool, E>,
    ) -> Result<bool, CaptureError<E>> {
        let began = Instant::now();
        let captured = self.capture(time, scratch, |transaction| {
            Ok::<_, E>(sink(transaction)? && began.elapsed() < STOP_MAX)
        })?;
        Ok(!captured.more)
    }

    fn stop_writers(&self) -> Result<bool, Error> {
        match &self.barrier {
            Some(barrier) => {
                barrier.try_begin_write().map_err(self.sqlite("take the write lock of"))
            }
            None => Ok(false),
        }
    }

    /// Steps 3 to 5; whether everything was copied back.
    fn behind_barrier<E>(
        &mut self,
        time: i64,
        scratch: &mut Scratch,
        sink: impl FnMut(&mut Transaction<'_>) -> Result<bool, E>,
    ) -> Result<bool, CaptureError<E>> {
        let index = self.shm.read(&self.paths)?;
        if self.unread_bytes(&index) > UNREAD_BYTES_MAX && !is_outrun(index.frames, &self.limits) {
            return Ok(false);
        }
        if !self.capture_briefly(time, scratch, sink)? || self.stale_checkpointer {
            return Ok(false);
        }
        point("watcher.barrier.captured");
        let before = self.shm.read(&self.paths)?;
        self.held().end().map_err(self.sqlite("end reading"))?;
        point("watcher.barrier.released");
        // The barrier's own transaction holds the log until the next hold has begun, whatever happens here.
        let ran = self.run_checkpoint(Mode::Passive);
        point("watcher.barrier.copied");
        self.held().begin_read().map_err(self.sqlite("begin to read"))?;
        point("watcher.barrier.held");
        let after = self.shm.read(&self.paths)?;
        debug_assert_eq!((before.salts, before.frames), (after.salts, after.frames));
        self.hold = Hold::between(&after, &after, self.shm.has_checkpoint_lock());
        Ok(matches!(ran?, Progress::Ran { frames, backfilled } if frames == backfilled))
    }
}
