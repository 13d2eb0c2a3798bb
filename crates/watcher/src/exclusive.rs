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
use crate::policy::{backlog_bytes_max, is_outrun};
use crate::tail::Scratch;
use crate::transaction::Transaction;

/// How much may be left to capture while the writers wait, unless they outrun us: then there is no other way to catch up
/// with them than a little at a time…
const UNREAD_BYTES_MAX: u64 = 8 << 20;
/// …namely for so long. SQLite's busy handler sleeps for 1, 2, 5 and 10 ms before it tries again, so a writer that finds
/// the lock taken has it after 8 ms…
const STOP_MAX: Duration = Duration::from_millis(6);
/// …or after 18 ms, which is what it takes once the log has become half as long again as it should be.
const LONG_STOP_MAX: Duration = Duration::from_millis(12);

/// So long writers that outrun us are stopped now and then, before the other things are done that are due.
const BRAKE_MAX: Duration = Duration::from_millis(60);
/// How much they may commit between two polled…
const COMMIT_BYTES: u64 = 1 << 20;
/// …and for how long at most.
const COMMIT_PAUSE_MAX: Duration = Duration::from_millis(12);
/// How often they are looked at meanwhile, if there is nothing to capture.
const COMMIT_LOOK: Duration = Duration::from_micros(200);

/// A stop may become so long if it is the last one, counting a millisecond for each 512 KiB that are copied back.
const LAST_STOP_MAX: Duration = Duration::from_millis(14);

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
    pub(crate) fn checkpoint_exclusively<E>(
        &mut self,
        time: i64,
        scratch: &mut Scratch,
        sink: impl FnMut(&mut Transaction<'_>) -> Result<bool, E>,
    ) -> Result<(), CaptureError<E>> {
        if self.stale_checkpointer {
            return Ok(());
        }
        let done = self.while_stopped(|follower| {
            point("watcher.exclusive.stopped");
            follower.capture_and_backfill(time, scratch, sink)
        })?;
        point("watcher.exclusive.ended");
        let now = Instant::now();
        match done {
            Some(all_copied) => self.exclusive_ended(all_copied, now),
            None => self.backoff.exclusive_ended(false, now),
        }
        Ok(())
    }

    /// Makes writers keep step with the checkpoint that runs beside, and with the capturing: they are stopped for a moment,
    /// may commit a little, and are stopped again, until the checkpoint has ended. If that brings the log's end within
    /// reach, `may_restart` lets the rest be copied back as behind a barrier; else nothing is done about holds, whatever
    /// state they are in.
    pub(crate) fn brake<E>(
        &mut self,
        time: i64,
        may_restart: bool,
        scratch: &mut Scratch,
        mut sink: impl FnMut(&mut Transaction<'_>) -> Result<bool, E>,
    ) -> Result<(), CaptureError<E>> {
        let began = Instant::now();
        let mut has_room = true;
        let mut sink = |transaction: &mut Transaction<'_>| {
            has_room = sink(transaction)?;
            Ok(has_room)
        };
        while self.stop_briefly(time, may_restart, scratch, &mut sink)?
            && began.elapsed() < BRAKE_MAX
            && self.let_commit(time, scratch, &mut sink)?
        {}
        tracing::debug!(took = ?began.elapsed(), has_room, "braked");
        self.backoff.braked(Instant::now());
        Ok(())
    }

    /// One stop of a brake; whether there is reason for another.
    fn stop_briefly<E>(
        &mut self,
        time: i64,
        may_restart: bool,
        scratch: &mut Scratch,
        mut sink: impl FnMut(&mut Transaction<'_>) -> Result<bool, E>,
    ) -> Result<bool, CaptureError<E>> {
        let stopped = self.while_stopped(|follower| {
            let began = Instant::now();
            let stop_max = follower.stop_max()?;
            let captured = follower.capture_briefly(time, stop_max, scratch, &mut sink)?;
            let has_ended =
                follower.wait_for_checkpoint(stop_max.saturating_sub(began.elapsed()))?;
            if captured && has_ended && may_restart {
                if follower.is_end_near(began.elapsed())? {
                    return Ok((true, Some(follower.capture_and_backfill(time, scratch, sink)?)));
                }
                // With everything captured the hold moves on at once, and the next checkpoint has all of the log.
                follower.move_hold()?;
            }
            Ok((has_ended && !follower.waits_for_capture(), None))
        })?;
        let Some((is_done, exclusive)) = stopped else { return Ok(false) };
        if let Some(all_copied) = exclusive {
            self.exclusive_ended(all_copied, Instant::now());
        }
        Ok(!is_done)
    }

    /// Captures beside the writers until they have committed what they may between two polled, or for as long as one takes
    /// that slept when it was stopped. Whether there is room for more.
    fn let_commit<E>(
        &mut self,
        time: i64,
        scratch: &mut Scratch,
        mut sink: impl FnMut(&mut Transaction<'_>) -> Result<bool, E>,
    ) -> Result<bool, CaptureError<E>> {
        let began = Instant::now();
        let before = self.shm.read(&self.paths)?.frames;
        while began.elapsed() < COMMIT_PAUSE_MAX {
            let frames = self.shm.read(&self.paths)?.frames;
            if self.bytes_of(frames.saturating_sub(before)) >= COMMIT_BYTES {
                break;
            }
            let mut has_room = true;
            let captured = self.capture(time, scratch, |transaction| {
                has_room = sink(transaction)?;
                Ok::<_, E>(false)
            })?;
            if !has_room {
                return Ok(false);
            }
            if !captured.more {
                std::thread::sleep(COMMIT_LOOK);
            }
        }
        Ok(true)
    }

    /// How long writers may be stopped at once.
    fn stop_max(&self) -> Result<Duration, Error> {
        let frames = self.shm.read(&self.paths)?.frames;
        Ok(if is_outrun(frames / 3 * 2, &self.limits) { LONG_STOP_MAX } else { STOP_MAX })
    }

    /// Whether so little is left to copy back that writers, who are stopped, can wait for it.
    fn is_end_near(&self, stopped: Duration) -> Result<bool, Error> {
        let index = self.shm.read(&self.paths)?;
        let left = self.bytes_of(index.frames.saturating_sub(index.backfilled));
        let in_time = LAST_STOP_MAX.saturating_sub(stopped).as_millis();
        let is_long = is_outrun(index.frames / 3, &self.limits);
        Ok(self.handover.is_none()
            && self.shm.has_checkpoint_lock()
            && index.backfilled > 0
            && (is_long || u128::from(left >> 19) < in_time)
            && left <= backlog_bytes_max(index.frames, &self.limits))
    }

    /// Hands the hold over to the log's end, if it is not there yet.
    fn move_hold(&mut self) -> Result<(), Error> {
        let index = self.shm.read(&self.paths)?;
        if self.handover.is_none() && self.hold.frames(&index) < index.frames {
            self.begin_handover()?;
        }
        Ok(())
    }

    fn exclusive_ended(&mut self, all_copied: bool, now: Instant) {
        self.last_checkpoint = now;
        self.checkpoint_began_at = None;
        self.backoff.exclusive_ended(all_copied, now);
    }

    /// Does `work` with the writers stopped; nothing if they could not be.
    fn while_stopped<T, E>(
        &mut self,
        work: impl FnOnce(&mut Follower) -> Result<T, CaptureError<E>>,
    ) -> Result<Option<T>, CaptureError<E>> {
        if self.exclusive.is_none() {
            self.exclusive = Some(Connection::open(&self.paths.database, false)?);
        }
        let began = Instant::now();
        while !self.stop_writers()? {
            if began.elapsed() > self.limits.write_lock_budget {
                return Ok(None);
            }
            std::hint::spin_loop();
        }
        let stopped = Instant::now();
        let done = work(self);
        tracing::debug!(waited = ?began.elapsed(), took = ?stopped.elapsed(), "writers were stopped");
        let ended = match &self.exclusive {
            Some(connection) => {
                connection.end().map_err(self.sqlite("give back the write lock of"))
            }
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
        stop_max: Duration,
        scratch: &mut Scratch,
        mut sink: impl FnMut(&mut Transaction<'_>) -> Result<bool, E>,
    ) -> Result<bool, CaptureError<E>> {
        let began = Instant::now();
        let captured = self.capture(time, scratch, |transaction| {
            Ok::<_, E>(sink(transaction)? && began.elapsed() < stop_max)
        })?;
        Ok(!captured.more)
    }

    fn stop_writers(&self) -> Result<bool, Error> {
        match &self.exclusive {
            Some(connection) => {
                connection.try_begin_write().map_err(self.sqlite("take the write lock of"))
            }
            None => Ok(false),
        }
    }

    /// Steps 3 to 5; whether everything was copied back.
    fn capture_and_backfill<E>(
        &mut self,
        time: i64,
        scratch: &mut Scratch,
        sink: impl FnMut(&mut Transaction<'_>) -> Result<bool, E>,
    ) -> Result<bool, CaptureError<E>> {
        let index = self.shm.read(&self.paths)?;
        let stop_max = self.stop_max()?;
        if self.unread_bytes(&index) > UNREAD_BYTES_MAX && !is_outrun(index.frames, &self.limits) {
            return Ok(false);
        }
        if !self.capture_briefly(time, stop_max, scratch, sink)? || self.stale_checkpointer {
            return Ok(false);
        }
        point("watcher.exclusive.captured");
        let before = self.shm.read(&self.paths)?;
        self.held().end().map_err(self.sqlite("end reading"))?;
        point("watcher.exclusive.released");
        // The barrier's own transaction holds the log until the next hold has begun, whatever happens here.
        let ran = self.run_checkpoint(Mode::Passive);
        point("watcher.exclusive.copied");
        self.held().begin_read().map_err(self.sqlite("begin to read"))?;
        point("watcher.exclusive.held");
        let after = self.shm.read(&self.paths)?;
        debug_assert_eq!((before.salts, before.frames), (after.salts, after.frames));
        self.hold = Hold::between(&after, &after, self.shm.has_checkpoint_lock());
        Ok(matches!(ran?, Progress::Ran { frames, backfilled } if frames == backfilled))
    }
}
