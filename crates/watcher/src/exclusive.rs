//! The exclusive checkpoint: a checkpoint under the write lock, which stops the writers for as long as the last few
//! frames take, so that the log of a database that is written without a pause can restart.
//!
//! The write lock is tried in a tight loop: a saturating writer releases it for a few microseconds at a time, and
//! SQLite's busy handler would sleep through every one of these moments.

use std::time::{Duration, Instant};

use ebbtide_fault::point;

use ebbtide_time::Timestamp;

use crate::captured::CaptureError;
use crate::checkpoints::Checkpoints;
use crate::connection::Progress;
use crate::error::Error;
use crate::held_log::HeldLog;
use crate::log_counts::LogCounts;
use crate::policy::{Limits, backlog_bytes_max, is_outrun};
use crate::tail::Scratch;
use crate::transaction::Transaction;
use crate::write_lock::{WriteLock, WritersStopped};

/// How many bytes may be left to capture under the write lock, unless the writers outrun us: then capturing can catch
/// up only in several stops.
const UNREAD_BYTES_MAX: u64 = 8 << 20;
/// How long one stop takes at most. SQLite's busy handler sleeps for 1, 2, 5 and 10 ms between its attempts, so a
/// writer that finds the write lock taken gets it after 8 ms.
const STOP_MAX: Duration = Duration::from_millis(6);
/// The same once the log is one and a half times its limit: a writer that finds the write lock taken gets it after 18
/// ms.
const LONG_STOP_MAX: Duration = Duration::from_millis(12);
/// The same once the log is seven times its limit. Capturing is slower than the writers then, for want of CPU time, and
/// short stops would not end that: the log would grow for as long as they write.
const LONGEST_STOP_MAX: Duration = Duration::from_millis(250);
/// How long one stop takes at most, from so many halves of the log's limit on.
const STOPS_MAX: [(u32, Duration); 6] = [
    (2, STOP_MAX),
    (3, LONG_STOP_MAX),
    (6, Duration::from_millis(25)),
    (8, Duration::from_millis(50)),
    (10, Duration::from_millis(100)),
    (14, LONGEST_STOP_MAX),
];

/// How long one brake takes at most, all its stops and the pauses between them.
const BRAKE_MAX: Duration = Duration::from_millis(60);
/// How many bytes of frames writers may commit between two stops of a brake.
const COMMIT_BYTES: u64 = 1 << 20;
/// How long the pause between two stops of a brake is at most.
const COMMIT_PAUSE_MAX: Duration = Duration::from_millis(12);
/// How often the wal-index is polled in this pause while there is nothing to capture.
const COMMIT_LOOK: Duration = Duration::from_micros(200);

/// How long the last stop of a brake may take, the exclusive checkpoint included, at 1 ms for each 512 KiB of backlog.
const LAST_STOP_MAX: Duration = Duration::from_millis(14);

/// What an exclusive checkpoint and a brake work with.
#[derive(Debug)]
pub(crate) struct Exclusive<'a> {
    pub(crate) log: &'a mut HeldLog,
    pub(crate) checkpoints: &'a mut Checkpoints,
    pub(crate) write_lock: &'a mut WriteLock,
    pub(crate) limits: &'a Limits,
    pub(crate) counts: &'a LogCounts,
    /// Now.
    pub(crate) time: Timestamp,
    pub(crate) scratch: &'a mut Scratch,
}

impl Exclusive<'_> {
    /// Captures and backfills the whole log under the write lock, and leaves a hold on the database file alone.
    ///
    /// 1. Take the write lock on a connection of its own. The transaction of this connection is a hold too, at the
    ///    log's end.
    /// 2. If more frames were committed meanwhile than can be captured in one stop, release the write lock.
    /// 3. Capture to the log's end. The present hold ends.
    /// 4. Run a checkpoint. Only readers of other processes can keep it from completing. The policy has made sure that
    ///    few frames are left to copy.
    /// 5. The next hold begins. With all frames backfilled it reads the database file alone (`WAL_READ_LOCK(0)`).
    /// 6. Release the write lock. The next writer restarts the log.
    ///
    /// If this process is killed at any step, the kernel releases its locks, and the application goes on.
    pub(crate) fn checkpoint<E>(
        &mut self,
        sink: impl FnMut(&mut Transaction<'_>) -> Result<bool, E>,
    ) -> Result<(), CaptureError<E>> {
        if self.log.has_stale_checkpointer() {
            return Ok(());
        }
        let done = self.while_stopped(|exclusive, stopped| {
            point("watcher.exclusive.stopped");
            exclusive.capture_and_backfill(stopped, sink)
        })?;
        point("watcher.exclusive.ended");
        match done {
            Some(all_copied) => self.exclusive_ran(all_copied),
            None => self.checkpoints.exclusive_failed(),
        }
        Ok(())
    }

    /// Throttles writers that are faster than the concurrent checkpoint or the capturing: they are stopped, may commit
    /// [`COMMIT_BYTES`], and are stopped again, until the checkpoint has ended. If few frames are left then and
    /// `may_restart` is set, the last stop becomes an exclusive checkpoint; otherwise the holds stay as they are.
    pub(crate) fn brake<E>(
        &mut self,
        may_restart: bool,
        mut sink: impl FnMut(&mut Transaction<'_>) -> Result<bool, E>,
    ) -> Result<(), CaptureError<E>> {
        let began = Instant::now();
        let mut has_room = true;
        let mut sink = |transaction: &mut Transaction<'_>| {
            has_room = sink(transaction)?;
            Ok(has_room)
        };
        while self.stop_briefly(may_restart, &mut sink)?
            && began.elapsed() < BRAKE_MAX
            && self.let_commit(&mut sink)?
        {}
        tracing::debug!(took = ?began.elapsed(), has_room, "braked");
        self.checkpoints.braked();
        Ok(())
    }

    /// One stop of a brake. Returns whether another stop is needed.
    fn stop_briefly<E>(
        &mut self,
        may_restart: bool,
        mut sink: impl FnMut(&mut Transaction<'_>) -> Result<bool, E>,
    ) -> Result<bool, CaptureError<E>> {
        let stop = self.while_stopped(|exclusive, stopped| {
            let began = Instant::now();
            let stop_max = exclusive.stop_max()?;
            let captured = exclusive.capture_briefly(stop_max, &mut sink)?;
            let patience = stop_max.saturating_sub(began.elapsed());
            let has_ended = exclusive.checkpoints.wait(exclusive.log, patience)?;
            if captured && has_ended && may_restart {
                if exclusive.is_end_near(began.elapsed())? {
                    return Ok((true, Some(exclusive.capture_and_backfill(stopped, sink)?)));
                }
                // Everything is captured, so the hold can move to the log's end now, and the next checkpoint can copy
                // the whole log.
                exclusive.move_hold()?;
            }
            Ok((has_ended && !exclusive.log.waits_for_capture(), None))
        })?;
        let Some((is_done, exclusive)) = stop else { return Ok(false) };
        if let Some(all_copied) = exclusive {
            self.exclusive_ran(all_copied);
        }
        Ok(!is_done)
    }

    /// An exclusive checkpoint has run; `all_copied` if it completed.
    fn exclusive_ran(&mut self, all_copied: bool) {
        self.counts.exclusive_checkpoints.add(1);
        self.checkpoints.exclusive_ran(all_copied);
    }

    /// Captures concurrently with the writers until they have committed [`COMMIT_BYTES`] or [`COMMIT_PAUSE_MAX`] is
    /// over. Returns whether the sink has room for more.
    fn let_commit<E>(
        &mut self,
        mut sink: impl FnMut(&mut Transaction<'_>) -> Result<bool, E>,
    ) -> Result<bool, CaptureError<E>> {
        let began = Instant::now();
        let before = self.log.index()?.frames;
        while began.elapsed() < COMMIT_PAUSE_MAX {
            let frames = self.log.index()?.frames;
            if self.log.bytes_of(frames.saturating_sub(before)) >= COMMIT_BYTES {
                break;
            }
            let mut has_room = true;
            let captured = self.log.capture(self.time, self.scratch, |transaction| {
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

    /// How long one stop may take.
    fn stop_max(&self) -> Result<Duration, Error> {
        Ok(stop_max(self.log.index()?.frames, self.limits))
    }

    /// Whether the rest of the log can be checkpointed within this stop, which has lasted `stopped` by now.
    fn is_end_near(&self, stopped: Duration) -> Result<bool, Error> {
        let index = self.log.index()?;
        let left = self.log.bytes_of(index.frames.saturating_sub(index.backfilled));
        let in_time = LAST_STOP_MAX.saturating_sub(stopped).as_millis();
        let is_long = is_outrun(index.frames / 3, self.limits);
        Ok(!self.log.is_handing_over()
            && self.log.has_checkpoint_lock()
            && index.backfilled > 0
            && (is_long || u128::from(left >> 19) < in_time)
            && left <= backlog_bytes_max(index.frames, self.limits))
    }

    /// Begins a handover of the hold to the log's end, unless the hold is there already.
    fn move_hold(&mut self) -> Result<(), Error> {
        let index = self.log.index()?;
        if !self.log.is_handing_over() && self.log.held_frames(&index) < index.frames {
            self.log.begin_handover()?;
        }
        Ok(())
    }

    /// Runs `work` under the write lock; `None` if the write lock was not free within its budget.
    fn while_stopped<T, E>(
        &mut self,
        work: impl FnOnce(&mut Self, &WritersStopped) -> Result<T, CaptureError<E>>,
    ) -> Result<Option<T>, CaptureError<E>> {
        self.write_lock.open(self.log.paths(), self.log.descriptors())?;
        let began = Instant::now();
        let stopped = loop {
            if let Some(stopped) = self.write_lock.try_take(self.log.paths())? {
                break stopped;
            }
            if began.elapsed() > self.limits.write_lock_budget {
                return Ok(None);
            }
            std::hint::spin_loop();
        };
        let since = Instant::now();
        let done = work(self, &stopped);
        tracing::debug!(waited = ?began.elapsed(), took = ?since.elapsed(), "writers were stopped");
        let ended = self.write_lock.release(self.log.paths(), stopped);
        self.counts.stops.add(since.elapsed());
        let done = done?;
        ended?;
        Ok(Some(done))
    }

    /// Captures to the log's end, but for `stop_max` at most. Returns whether it reached the end.
    fn capture_briefly<E>(
        &mut self,
        stop_max: Duration,
        mut sink: impl FnMut(&mut Transaction<'_>) -> Result<bool, E>,
    ) -> Result<bool, CaptureError<E>> {
        let began = Instant::now();
        let captured = self.log.capture(self.time, self.scratch, |transaction| {
            Ok::<_, E>(sink(transaction)? && began.elapsed() < stop_max)
        })?;
        Ok(!captured.more)
    }

    /// Steps 3 to 5. Returns whether the checkpoint completed.
    fn capture_and_backfill<E>(
        &mut self,
        stopped: &WritersStopped,
        sink: impl FnMut(&mut Transaction<'_>) -> Result<bool, E>,
    ) -> Result<bool, CaptureError<E>> {
        let index = self.log.index()?;
        let stop_max = self.stop_max()?;
        let unread = self.log.unread_bytes(&index);
        if unread > UNREAD_BYTES_MAX && !is_outrun(index.frames, self.limits) {
            return Ok(false);
        }
        if !self.capture_briefly(stop_max, sink)? || self.log.has_stale_checkpointer() {
            return Ok(false);
        }
        point("watcher.exclusive.captured");
        let ran = self.log.checkpoint_stopped(stopped)?;
        Ok(matches!(ran, Progress::Ran { frames, backfilled } if frames == backfilled))
    }
}

/// How long one stop may take beside a log of so many frames.
fn stop_max(frames: u32, limits: &Limits) -> Duration {
    let is_reached = |&(halves, _): &(u32, Duration)| is_outrun(frames / halves * 2, limits);
    let reached = STOPS_MAX.iter().rev().find(|stop| is_reached(stop));
    reached.map_or(STOP_MAX, |&(_, time)| time)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::tests::LIMITS;

    #[test]
    fn the_longer_the_log_the_longer_its_writers_wait() {
        for (frames, millis) in [
            (0, 6),
            (5998, 6),
            (6000, 12),
            (12_000, 25),
            (16_000, 50),
            (20_000, 100),
            (28_000, 250),
        ] {
            assert_eq!(stop_max(frames, &LIMITS).as_millis(), millis, "{frames} frames");
        }
        assert_eq!(stop_max(u32::MAX, &LIMITS).as_millis(), 250);
    }
}
