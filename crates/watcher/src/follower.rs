//! A database that is being followed: the parts that own its state, and what may be asked of them.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use ebbtide_fault::point;
use ebbtide_time::Timestamp;
use ebbtide_wal::{Index, PageSize, Position};

use crate::captured::{CaptureError, Captured};
use crate::checkpoint::Checkpoint;
use crate::checkpoint_lock::CheckpointLock;
use crate::checkpoints::Checkpoints;
use crate::claimed::check_size;
use crate::connection::Mode;
use crate::damage::Damage;
use crate::descriptors::Descriptors;
use crate::error::{Error, Refusal};
use crate::exclusive::Exclusive;
use crate::files::{Identity, Paths, check_file_system, read_header};
use crate::found::Found;
use crate::held_log::{HeldLog, Parts};
use crate::image::{Image, ImagePin, OpenImages};
use crate::log_counts::LogCounts;
use crate::log_evidence::LogEvidence;
use crate::log_status::{LogStatusHandle, LogStatusOwner};
use crate::mutex::lock;
use crate::names::{is_linked, tell_names};
use crate::observed::{Observed, Observer};
use crate::opening::{begin_patiently, enable_wal};
use crate::options::Options;
use crate::policy::{Action, Kept, Limits, Situation, decide, is_outrun};
use crate::rest::Rest;
use crate::shm::Shm;
use crate::tail::{Resumed, Scratch, Tail};
use crate::transaction::Transaction;
use crate::write_lock::WriteLock;

/// A database that is being followed.
#[derive(Debug)]
pub struct Follower {
    log: HeldLog,
    checkpoints: Checkpoints,
    write_lock: WriteLock,
    rest: Rest,
    images: OpenImages,
    damage: Damage,
    limits: Limits,
    counts: Arc<LogCounts>,
    log_status: LogStatusOwner,
    /// Whether other names of the file were logged.
    names_told: bool,
}

impl Follower {
    /// Begins to hold the log of the database at `path` and decides where capturing begins.
    ///
    /// `resume` is the position up to which an earlier run has captured every commit; `latest` is the commit timestamp of
    /// the last transaction then and a lower bound of all later ones.
    ///
    /// # Errors
    /// [`Error::Refused`] when the database cannot be followed, with the reason by name.
    pub fn open(
        path: &Path,
        options: &Options,
        resume: Option<Position>,
        latest: Timestamp,
    ) -> Result<(Follower, LogEvidence), Error> {
        let paths = Paths::of(path);
        check_file_system(&paths)?;
        let header = read_header(&paths)?;
        if !header.is_wal {
            if !options.enable_wal {
                return Err(paths.refuse(Refusal::RollbackJournal));
            }
            enable_wal(&paths)?;
        }
        let descriptors = Descriptors::default();
        let no_file = |source| Error::Io { doing: "look at", path: path.to_owned(), source };
        let database = Identity::at(path).map_err(no_file)?;
        let connection = begin_patiently(&paths, &descriptors)?;
        point("watcher.open.held");
        database.check(path)?;
        // The read transaction has pinned the log before the first read of it, so the wal-index is as new as the pin or
        // newer from here on.
        let shm = Shm::open(&paths, &descriptors)?;
        let checkpoint_lock = CheckpointLock::take(&shm, &paths)?;
        // A read transaction on the database file alone does not pin the log, whose next frames may be unread.
        let restart_lock = if resume.is_some() { shm.take_restart_lock(&paths)? } else { None };
        point("watcher.open.locked");
        let index = shm.read(&paths)?;
        let resume_at = |position| Tail::resume(&paths, &index, position);
        let resumed = resume.map_or(Ok(Resumed::Restarted), resume_at)?;
        let at_end = || Tail::at_end(&paths, &index, header.page_size);
        let (tail, start) = match resumed {
            Resumed::At(tail) => (tail, LogEvidence::Continues),
            Resumed::Restarted => (at_end()?, LogEvidence::Restarted),
            Resumed::Truncated => (at_end()?, LogEvidence::Truncated),
        };
        let observed = Arc::new(Mutex::new(Observed::after(latest, tail.position())));
        let found = Found::new(tail.mark(&index), restart_lock);
        let damage = Damage::default();
        let log_status = LogStatusOwner::new(&shm, &paths, &observed, &damage);
        let names_told = tell_names(&paths);
        let parts = Parts {
            paths,
            database,
            descriptors,
            shm,
            connection,
            checkpoint_lock,
            tail,
            found,
            observed,
        };
        let follower = Follower {
            log: HeldLog::new(parts, &index),
            checkpoints: Checkpoints::new(),
            write_lock: WriteLock::default(),
            rest: Rest::default(),
            images: OpenImages::default(),
            damage,
            limits: options.limits,
            counts: Arc::default(),
            log_status,
            names_told,
        };
        follower.check_size()?;
        Ok((follower, start))
    }

    /// The same follower, which counts what it does here from now on.
    #[must_use]
    pub fn counting(mut self, counts: Arc<LogCounts>) -> Follower {
        self.counts = counts;
        self
    }

    /// The path of the log, whose writes are file events to wake up for.
    #[must_use]
    pub fn wal_path(&self) -> PathBuf {
        self.log.paths().wal.clone()
    }

    /// An observer for the thread that receives the file events of the log.
    #[must_use]
    pub fn observer(&self) -> Observer {
        Observer::new(self.log.shm().file(), Arc::clone(self.log.observed()))
    }

    /// The position up to which the log was captured.
    #[must_use]
    pub fn position(&self) -> Position {
        self.log.tail().position()
    }

    /// The device and the inode of the database's file.
    #[must_use]
    pub fn file(&self) -> (u64, u64) {
        self.log.database().numbers()
    }

    /// The size of the database's pages.
    #[must_use]
    pub fn page_size(&self) -> PageSize {
        self.log.page_size()
    }

    /// A handle that reads the status of the log from any thread.
    #[must_use]
    pub fn log_status_handle(&self) -> LogStatusHandle {
        self.log_status.handle()
    }

    /// The size of the committed frames in the log.
    ///
    /// # Errors
    /// When the wal-index cannot be read.
    pub fn log_bytes(&self) -> Result<u64, Error> {
        Ok(self.log.bytes_of(self.log.index()?.frames))
    }

    /// Records `time` (µs since the epoch) as the timestamp of new commits, without reading them. Returns a lower bound
    /// of the number of frames to capture.
    ///
    /// # Errors
    /// When the wal-index cannot be read.
    pub fn observe(&mut self, time: Timestamp) -> Result<u32, Error> {
        self.log.observe(time)
    }

    /// As [`Follower::observe`], after a write into the log; `None` while its transaction has not ended, see
    /// [`Observer::see_written`].
    ///
    /// # Errors
    /// As [`Follower::observe`].
    pub fn observe_written(&mut self, time: Timestamp) -> Result<Option<u32>, Error> {
        self.log.observe_written(time)
    }

    /// The commit timestamp of the oldest commit that was not captured yet.
    #[must_use]
    pub fn oldest_uncaptured(&self) -> Option<Timestamp> {
        lock(self.log.observed()).oldest()
    }

    /// Hands every committed transaction that was not captured yet to `sink`, in order, until `sink` returns false.
    ///
    /// # Errors
    /// [`Error::Broken`] when the log contradicts the wal-index; the caller must then discard the transactions that
    /// `sink` got in this call. Any error of `sink`.
    pub fn capture<E>(
        &mut self,
        time: Timestamp,
        scratch: &mut Scratch,
        sink: impl FnMut(&mut Transaction<'_>) -> Result<bool, E>,
    ) -> Result<Captured, CaptureError<E>> {
        self.log.capture(time, scratch, sink)
    }

    /// Goes back to `position`, up to which every commit is durable elsewhere, so that the commits after it are
    /// captured again. Returns whether the log still has them.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn rewind(&mut self, position: Position) -> Result<bool, Error> {
        self.log.rewind(position)
    }

    /// Checks that the paths still name the opened files, and logs an error if the wal-index is damaged. Cheap; called
    /// about once a second.
    ///
    /// # Errors
    /// [`Error::Moved`] when a file was deleted or replaced: the application may be writing another one now.
    pub fn check_files(&mut self) -> Result<(), Error> {
        self.damage.look(&self.log)?;
        if !self.names_told && is_linked(self.log.paths()) {
            self.names_told = tell_names(self.log.paths());
        }
        self.log.check_identities()
    }

    /// Checks that the database does not claim to have more pages than its file and its log have.
    ///
    /// # Errors
    /// [`Error::Refused`] when it does.
    pub fn check_size(&self) -> Result<(), Error> {
        check_size(self.log.paths(), self.page_size(), &self.log.index()?)
    }

    /// Closes connections and file descriptors that are not in use. They are opened again when needed.
    pub fn trim(&mut self) {
        let connections = !self.log.is_handing_over() && !self.checkpoints.is_running();
        if connections {
            self.write_lock.close();
        }
        self.log.trim(connections);
    }
}

/// The checkpoint policy, and what it chooses.
impl Follower {
    /// The action that the policy chooses now. `kept` says where the captured commits are, `has_room` whether the sink
    /// can take some thousands of frames without blocking.
    ///
    /// # Errors
    /// When the wal-index cannot be read.
    pub fn due(&mut self, kept: Kept, has_room: bool) -> Result<Action, Error> {
        let Ok(index) = self.log.peek()? else { return Ok(Action::Wait) };
        if !self.checkpoints.is_running() {
            self.log.maintain_checkpoint_lock()?;
        }
        Ok(decide(&self.situation(&index, kept, has_room), &self.limits))
    }

    fn situation(&self, index: &Index, kept: Kept, has_room: bool) -> Situation {
        let (log, checkpoints) = (&self.log, &self.checkpoints);
        let backoff = checkpoints.backoff();
        Situation {
            frames: index.frames,
            backfilled: index.backfilled,
            held_frames: log.held_frames(index),
            reads_database_only: log.reads_database_only(),
            has_checkpoint_lock: log.has_checkpoint_lock(),
            checkpointing: checkpoints.is_running(),
            handover: log.handover(),
            captured: log.tail().has_read(index),
            kept,
            backlog_bytes: log.bytes_of(index.frames.saturating_sub(index.backfilled)),
            unread_bytes: log.unread_bytes(index),
            grown_bytes: log.bytes_of(checkpoints.grown(index)),
            since_brake: backoff.since_brake(),
            has_room,
            imaging: self.images.is_any(),
            quiet: log.quiet(),
            since_checkpoint: checkpoints.since_last(),
            since_failed_exclusive: backoff.since_failed_exclusive(),
            since_no_progress: backoff.since_no_progress(),
            without_progress: backoff.without_progress(),
            since_busy_checkpoint: backoff.since_busy_checkpoint(),
            file_bytes: log.file_bytes(),
        }
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
        time: Timestamp,
        kept: Kept,
        scratch: &mut Scratch,
        sink: impl FnMut(&mut Transaction<'_>) -> Result<bool, E>,
    ) -> Result<(), CaptureError<E>> {
        let may_restart = kept != Kept::Nowhere && !self.images.is_any();
        let Follower { log, checkpoints, write_lock, limits, counts, .. } = self;
        match action {
            Action::Wait => {}
            Action::EndHold => log.finish_handover()?,
            Action::HandOver => log.begin_handover()?,
            Action::Checkpoint => {
                checkpoints.begin(log, limits)?;
                counts.checkpoints.add(1);
            }
            Action::Truncate => {
                // SQLite truncates only if every reader reads the database file alone, as our hold does.
                log.run_checkpoint(Mode::Truncate)?;
                log.touch();
                counts.truncations.add(1);
            }
            Action::ExclusiveCheckpoint => {
                let mut exclusive =
                    Exclusive { log, checkpoints, write_lock, limits, counts, time, scratch };
                exclusive.checkpoint(sink)?;
            }
            Action::Brake => {
                let mut exclusive =
                    Exclusive { log, checkpoints, write_lock, limits, counts, time, scratch };
                exclusive.brake(may_restart, sink)?;
            }
        }
        Ok(())
    }

    /// The checkpoint that [`Follower::perform`] prepared, for the caller to run on a thread that may block.
    pub fn take_checkpoint(&mut self) -> Option<Checkpoint> {
        self.checkpoints.take()
    }

    /// Receives the end of a checkpoint; does nothing if none has ended.
    ///
    /// # Errors
    /// When the checkpoint failed.
    pub fn end_checkpoint(&mut self) -> Result<(), Error> {
        self.checkpoints.end(&mut self.log)
    }

    /// Whether writers are faster than the checkpoints, so that they may be throttled.
    #[must_use]
    pub fn is_outrun(&self) -> bool {
        let index = self.log.peek();
        index.is_ok_and(|index| index.is_ok_and(|index| is_outrun(index.frames, &self.limits)))
    }

    /// Whether a handover waits for frames to be captured. Every other action on the log waits for the handover.
    #[must_use]
    pub fn waits_for_capture(&self) -> bool {
        self.log.waits_for_capture()
    }
}

/// Images of the database.
impl Follower {
    /// Begins a read transaction for an image.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn pin_image(&mut self) -> Result<ImagePin, Error> {
        ImagePin::begin(&self.log, &self.images)
    }

    /// Skips the commits from before the pin: the next transaction captured is the first after it. For a start that
    /// could not resume.
    ///
    /// # Errors
    /// When the log's end cannot be proved.
    pub fn skip_to(&mut self, pin: &mut ImagePin) -> Result<(), Error> {
        let until = self.log.skip_to(pin.end())?;
        pin.until(until);
        Ok(())
    }

    /// The database as of [`Follower::position`], if all commits from before the pin are captured; else the pin.
    ///
    /// # Errors
    /// When the log cannot be read, or its frames have changed.
    pub fn image(&mut self, pin: ImagePin) -> Result<Result<Image, ImagePin>, Error> {
        pin.image(&self.log)
    }
}

/// Rest, while no other process has the database open.
impl Follower {
    /// Whether another process has the database open.
    #[must_use]
    pub fn is_open_elsewhere(&self) -> bool {
        self.log.shm().is_open_elsewhere()
    }

    /// Whether no connection of ours has the database open.
    #[must_use]
    pub fn is_resting(&self) -> bool {
        self.rest.is_resting()
    }

    /// Checkpoints the whole log and truncates it, as a last close would. Returns whether the log is empty now. It is
    /// not if frames are not captured, another process reads the log, or an image is being read.
    ///
    /// # Errors
    /// When SQLite fails, or the wal-index cannot be read.
    pub fn empty_log(&mut self) -> Result<bool, Error> {
        if self.checkpoints.is_running() || self.images.is_any() {
            return Ok(false);
        }
        self.rest.empty_log(&mut self.log)
    }

    /// Closes every connection of ours, if the log is empty and no other process has the database open. Returns whether
    /// it did. It does not within one tick of the kernel's clock after the database's file was written, because a
    /// change in the same tick would not change the stamp. `time` is now.
    ///
    /// # Errors
    /// When SQLite fails, or a file cannot be read.
    pub fn rest(&mut self, time: Timestamp) -> Result<bool, Error> {
        if self.checkpoints.is_running() || self.images.is_any() {
            return Ok(false);
        }
        self.rest.begin(&mut self.log, time, || self.write_lock.close())
    }

    /// Whether an application has opened the database or written its log, so that the rest must end. A few system
    /// calls.
    ///
    /// # Errors
    /// [`Error::Moved`] when a file was deleted, replaced or overwritten.
    pub fn stirs(&self) -> Result<bool, Error> {
        self.rest.stirs(&self.log)
    }

    /// Ends the rest: holds the log again. All commits since the rest began will be captured.
    ///
    /// # Errors
    /// [`Error::Moved`] when the database was replaced, or its file was changed otherwise than by commits in the log.
    /// The follower must be dropped then.
    pub fn rouse(&mut self) -> Result<(), Error> {
        self.rest.end(&mut self.log)
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.rest.leave(&self.log);
    }
}
