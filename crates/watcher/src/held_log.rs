//! The log of a database: held, and read from the captured position on. All that decides whether a commit is captured or
//! held meets here: the holds, the tail, what was found, and the checkpoint lock.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ebbtide_fault::point;
use ebbtide_time::Timestamp;
use ebbtide_wal::{Index, IndexError, PageSize, Position, frame_bytes};

use crate::captured::{CaptureError, Captured};
use crate::checkpoint_lock::CheckpointLock;
use crate::connection::{Connection, Mode, Progress, is_busy};
use crate::descriptors::Descriptors;
use crate::error::{Break, Error, Moved};
use crate::files::{Identity, Paths};
use crate::found::Found;
use crate::hold::{Hold, Reads};
use crate::holds::Holds;
use crate::mutex::lock;
use crate::observed::Observed;
use crate::policy::HandoverStage;
use crate::shm::Shm;
use crate::tail::{Mark, Next, Scratch, Tail, broken};
use crate::transaction::Transaction;
use crate::write_lock::WritersStopped;

/// A log that is held and captured.
#[derive(Debug)]
pub(crate) struct HeldLog {
    paths: Paths,
    database: Identity,
    descriptors: Descriptors,
    shm: Shm,
    holds: Holds,
    checkpoint_lock: CheckpointLock,
    tail: Tail,
    found: Found,
    observed: Arc<Mutex<Observed>>,
    last_commit: Instant,
}

/// What a start puts together.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) paths: Paths,
    pub(crate) database: Identity,
    pub(crate) descriptors: Descriptors,
    pub(crate) shm: Shm,
    pub(crate) connection: Connection,
    pub(crate) checkpoint_lock: CheckpointLock,
    pub(crate) tail: Tail,
    pub(crate) found: Found,
    pub(crate) observed: Arc<Mutex<Observed>>,
}

impl HeldLog {
    /// With a connection whose read transaction began before `index` was read.
    pub(crate) fn new(parts: Parts, index: &Index) -> HeldLog {
        let mut log = HeldLog {
            paths: parts.paths,
            database: parts.database,
            descriptors: parts.descriptors,
            shm: parts.shm,
            holds: Holds::new(parts.connection, Hold::before(index)),
            checkpoint_lock: parts.checkpoint_lock,
            tail: parts.tail,
            found: parts.found,
            observed: parts.observed,
            last_commit: Instant::now(),
        };
        log.found.release_if_captured(&log.tail);
        log
    }

    pub(crate) fn paths(&self) -> &Paths {
        &self.paths
    }

    /// The device and inode of the database's file.
    pub(crate) fn database(&self) -> Identity {
        self.database
    }

    pub(crate) fn descriptors(&self) -> &Descriptors {
        &self.descriptors
    }

    pub(crate) fn shm(&self) -> &Shm {
        &self.shm
    }

    pub(crate) fn tail(&self) -> &Tail {
        &self.tail
    }

    pub(crate) fn observed(&self) -> &Arc<Mutex<Observed>> {
        &self.observed
    }

    pub(crate) fn page_size(&self) -> PageSize {
        self.tail.page_size()
    }

    /// The wal-index, with retries while another process changes it.
    pub(crate) fn index(&self) -> Result<Index, Error> {
        self.shm.read(&self.paths)
    }

    /// The wal-index, read once.
    pub(crate) fn peek(&self) -> Result<Result<Index, IndexError>, Error> {
        self.shm.peek(&self.paths)
    }

    /// The size of this many frames.
    pub(crate) fn bytes_of(&self, frames: u32) -> u64 {
        u64::from(frames) * frame_bytes(self.page_size())
    }

    /// The size of the committed frames that are not captured.
    pub(crate) fn unread_bytes(&self, index: &Index) -> u64 {
        self.bytes_of(self.tail.unread(index))
    }

    /// The size of the log's file.
    pub(crate) fn file_bytes(&self) -> u64 {
        self.tail.file_bytes(&self.paths)
    }

    /// How long ago the last commit was observed.
    pub(crate) fn quiet(&self) -> Duration {
        self.last_commit.elapsed()
    }

    /// Counts from now on how long no commit was observed.
    pub(crate) fn touch(&mut self) {
        self.last_commit = Instant::now();
    }

    /// Checks that the paths still name the opened files.
    pub(crate) fn check_identities(&self) -> Result<(), Error> {
        self.database.check(&self.paths.given)?;
        self.shm.identity().check(&self.paths.shm)?;
        self.tail.identity().check(&self.paths.wal)
    }

    /// Checks that no other file has the database's name. An application that has opened such a file shares the log and
    /// the wal-index with us, and its frames are none of the database that is held: nothing of them may be captured, and
    /// nothing be copied into the held file. What an application has committed to a file that was deleted since is its own.
    fn check_not_replaced(&self) -> Result<(), Error> {
        match self.database.check(&self.paths.given) {
            Err(error @ Error::Moved { moved: Moved::Replaced, .. }) => Err(error),
            _ => Ok(()),
        }
    }

    /// Records `time` (µs since the epoch) as the timestamp of new commits. Returns a lower bound of the number of
    /// frames to capture.
    pub(crate) fn observe(&mut self, time: Timestamp) -> Result<u32, Error> {
        // While a commit is being published the wal-index is torn; the next observation reads it.
        let Ok(index) = self.peek()? else { return Ok(1) };
        if !self.observe_index(&index, time) {
            return Ok(0);
        }
        Ok(self.tail.unread(&index).max(1))
    }

    /// As [`HeldLog::observe`], after a write into the log; `None` while its transaction has not ended.
    pub(crate) fn observe_written(&mut self, time: Timestamp) -> Result<Option<u32>, Error> {
        let frames = self.observe(time)?;
        if frames > 0 {
            return Ok(Some(frames));
        }
        if self.shm.is_write_locked() { Ok(None) } else { self.observe(time).map(Some) }
    }

    fn observe_index(&mut self, index: &Index, time: Timestamp) -> bool {
        let more = !self.tail.has_read(index);
        if more {
            lock(&self.observed).see(index, time);
            self.last_commit = Instant::now();
        }
        more
    }

    /// Hands every committed transaction that was not captured yet to `sink`, in order, until `sink` returns false.
    pub(crate) fn capture<E>(
        &mut self,
        time: Timestamp,
        scratch: &mut Scratch,
        mut sink: impl FnMut(&mut Transaction<'_>) -> Result<bool, E>,
    ) -> Result<Captured, CaptureError<E>> {
        let index = match self.peek()? {
            Ok(index) => index,
            Err(reason) => {
                if reason == IndexError::Torn && self.shm.is_left_torn(&self.paths)? {
                    self.recover()?;
                }
                self.index()?
            }
        };
        let mut transactions = 0;
        if self.observe_index(&index, time) {
            // All frames that are captured now are in `index`, so whoever wrote them had opened the database before.
            self.check_not_replaced()?;
            if self.tail.must_enter(&index) {
                self.follow_restart(&index)?;
            }
            self.tail.read(&self.paths, &index, &self.observed, scratch, |transaction| {
                let more = sink(transaction).map_err(CaptureError::Sink)?;
                point("watcher.capture.taken");
                transactions += 1;
                Ok::<_, CaptureError<E>>(if more { Next::More } else { Next::Enough })
            })?;
            lock(&self.observed).captured(self.tail.position());
            self.found.release_if_captured(&self.tail);
        }
        self.finish_handover()?;
        Ok(Captured { transactions, more: !self.tail.has_read(&index) })
    }

    /// Runs SQLite's recovery of a wal-index that a dead process left torn. No other process can recover it while this
    /// one has the checkpoint lock.
    fn recover(&mut self) -> Result<(), Error> {
        tracing::warn!(
            database = %self.paths.database.display(),
            "an application died while it published a commit; recovering the wal-index"
        );
        let connection = Connection::open(&self.paths.database, &self.descriptors)?;
        let recovered = connection.begin_read().and_then(|()| connection.end());
        self.checkpoint_lock.dropped(&self.paths)?;
        match recovered {
            // Another process is recovering it.
            Err(error) if is_busy(&error) => Ok(()),
            recovered => recovered.map_err(self.paths.sqlite("recover the wal-index of")),
        }
    }

    /// Follows a restart of the log into the WAL generation of `index`, or enters the first one.
    fn follow_restart(&mut self, index: &Index) -> Result<(), Error> {
        let restarted = index.salts != self.tail.position().salts;
        // Without the restart lock, a hold on the database file alone does not prevent a restart while frames from
        // before the hold are unread. Then they are overwritten, and the next session has to compare pages.
        let lost = self.holds.reads() == Some(Reads::Log) || !self.found.is_captured(&self.tail);
        if restarted && lost {
            return Err(broken(&self.paths, 0, Break::Restarted));
        }
        self.tail.enter(&self.paths, index)?;
        point("watcher.capture.entered");
        self.checkpoint_lock.log_restarted();
        Ok(())
    }

    /// Goes back to `position`, up to which every commit is durable elsewhere. Returns whether the log still has the
    /// commits after it.
    pub(crate) fn rewind(&mut self, position: Position) -> Result<bool, Error> {
        // The present hold may read the database file alone, and the log is needed again.
        self.found.take_restart_lock(&self.shm, &self.paths)?;
        let index = self.index()?;
        let has_it = self.tail.rewind(&self.paths, &index, position)?;
        // The frames to be read again were captured before the present hold began, so it may not cover them.
        self.found.until(self.tail.mark(&index));
        self.found.release_if_captured(&self.tail);
        Ok(has_it)
    }

    /// Skips the commits up to the log's end as of `end`. Returns that end.
    pub(crate) fn skip_to(&mut self, end: &Index) -> Result<Mark, Error> {
        self.tail = Tail::at_end(&self.paths, end, self.tail.page_size())?;
        lock(&self.observed).captured(self.tail.position());
        let mark = self.tail.mark(end);
        self.found.until(mark);
        self.found.release_if_captured(&self.tail);
        // The commits for which a handover was waiting are skipped, too.
        self.holds.skip_to(mark);
        self.finish_handover()?;
        Ok(mark)
    }

    /// Whether the present hold reads the database file alone (`WAL_READ_LOCK(0)`).
    pub(crate) fn reads_database_only(&self) -> bool {
        self.holds.reads() == Some(Reads::DatabaseOnly)
    }

    /// The last frame of the log of `index` that the present hold allows a checkpoint to backfill.
    pub(crate) fn held_frames(&self, index: &Index) -> u32 {
        self.holds.frames(index)
    }

    /// The stage of the handover, if there is one.
    pub(crate) fn handover(&self) -> Option<HandoverStage> {
        self.holds.stage(&self.tail, &self.checkpoint_lock)
    }

    /// Whether a handover waits for frames to be captured.
    pub(crate) fn waits_for_capture(&self) -> bool {
        self.holds.waits_for_capture(&self.tail)
    }

    /// The next hold begins at the log's end. The present one ends at once if nothing is left to capture.
    pub(crate) fn begin_handover(&mut self) -> Result<(), Error> {
        let HeldLog { paths, descriptors, shm, tail, checkpoint_lock, .. } = self;
        if self.holds.begin_next(paths, descriptors, shm, tail, checkpoint_lock)? {
            self.finish_handover()?;
        }
        Ok(())
    }

    /// Ends the present hold if the next one may replace it.
    pub(crate) fn finish_handover(&mut self) -> Result<(), Error> {
        self.holds.end_present(&self.paths, &self.tail, &self.checkpoint_lock)
    }

    /// Takes the checkpoint lock if it is free. Returns whether it is ours.
    pub(crate) fn maintain_checkpoint_lock(&mut self) -> Result<bool, Error> {
        self.checkpoint_lock.maintain(&self.paths)?;
        Ok(self.checkpoint_lock.is_ours())
    }

    pub(crate) fn has_checkpoint_lock(&self) -> bool {
        self.checkpoint_lock.is_ours()
    }

    /// Whether *checkpoint-lock-first* forbids to end a hold.
    pub(crate) fn has_stale_checkpointer(&self) -> bool {
        self.checkpoint_lock.has_stale_checkpointer()
    }

    /// Runs a checkpoint on this thread, and takes the checkpoint lock again, which the checkpoint drops.
    pub(crate) fn run_checkpoint(&mut self, mode: Mode) -> Result<Progress, Error> {
        point("watcher.checkpoint.begin");
        let ran = self.holds.spare(&self.paths, &self.descriptors)?.checkpoint(mode);
        point("watcher.checkpoint.unlocked");
        self.checkpoint_lock.dropped(&self.paths)?;
        point("watcher.checkpoint.done");
        ran.map_err(self.paths.sqlite("checkpoint"))
    }

    /// The connection for a checkpoint on another thread.
    pub(crate) fn lend_connection(&mut self) -> Result<Connection, Error> {
        let connection = self.holds.take_spare(&self.paths, &self.descriptors)?;
        self.checkpoint_lock.checkpoint_began();
        Ok(connection)
    }

    /// The checkpoint on another thread has ended; without a connection if it was dropped before it ran.
    pub(crate) fn end_loan(&mut self, connection: Option<Connection>, has_lock: bool) {
        if let Some(connection) = connection {
            self.holds.give_back(connection);
        }
        self.checkpoint_lock.checkpoint_ended(has_lock);
    }

    /// Under the write lock, with everything captured: the present hold ends, a checkpoint runs, and the next hold
    /// begins. With all frames backfilled it reads the database file alone (`WAL_READ_LOCK(0)`).
    pub(crate) fn checkpoint_stopped(
        &mut self,
        stopped: &WritersStopped,
    ) -> Result<Progress, Error> {
        let before = self.index()?;
        debug_assert!(self.tail.has_read(&before), "every commit is captured or held");
        debug_assert!(!self.has_stale_checkpointer(), "checkpoint-lock-first");
        self.holds.end_stopped(&self.paths, stopped)?;
        point("watcher.exclusive.released");
        // The write transaction pins the log until the next hold has begun, also if the checkpoint fails.
        let ran = self.run_checkpoint(Mode::Passive);
        point("watcher.exclusive.copied");
        let (shm, lock) = (&self.shm, &self.checkpoint_lock);
        let after = self.holds.begin_stopped(&self.paths, shm, lock, stopped)?;
        debug_assert_eq!((before.salts, before.frames), (after.salts, after.frames));
        ran
    }

    /// Closes what is not in use: connections only while no handover and no checkpoint needs them.
    pub(crate) fn trim(&mut self, connections: bool) {
        if connections {
            self.holds.close_spare();
        }
        self.tail.close();
    }

    /// Whether a handover has begun and not ended.
    pub(crate) fn is_handing_over(&self) -> bool {
        self.holds.is_handing_over()
    }

    /// Closes every connection, of a log that is empty.
    pub(crate) fn close(&mut self) -> Result<(), Error> {
        self.holds.close(&self.paths)?;
        self.checkpoint_lock.closed();
        self.tail.close();
        Ok(())
    }

    /// Holds the log again after [`HeldLog::close`], with a connection whose read transaction has begun. The log was
    /// empty when it was closed, so all of its frames are to be captured.
    pub(crate) fn hold_again(&mut self, connection: Connection) -> Result<(), Error> {
        let index = self.index()?;
        self.checkpoint_lock = CheckpointLock::take(&self.shm, &self.paths)?;
        self.tail = Tail::from_start(&self.tail, &self.paths, &index)?;
        self.found = Found::new(self.tail.mark(&index), None);
        self.holds = Holds::new(connection, Hold::before(&index));
        Ok(())
    }
}
