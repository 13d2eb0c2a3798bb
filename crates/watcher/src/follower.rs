//! A database that is being followed: its hold, its tail, and the commits that were observed in its log.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ebbtide_fault::point;
use ebbtide_wal::{Index, IndexError, PageSize, Position, frame_bytes};

use crate::backoff::CheckpointBackoff;
use crate::checkpoint::{Checkpoint, Checkpointing};
use crate::connection::{Connection, cannot_open, is_busy};
use crate::damage::Damage;
use crate::database_lock::{DatabaseLock, Stamp};
use crate::error::{Break, Error, Refusal};
use crate::files::{Identity, Paths, check_file_system, read_header};
use crate::handover::Handover;
use crate::hold::{Hold, Reads};
use crate::log_status::{LogStatusHandle, LogStatusOwner};
use crate::names::{is_linked, tell_names};
use crate::observed::{Observed, Observer};
use crate::policy::Limits;
use crate::shm::Shm;
use crate::tail::{Mark, Next, Resumed, Scratch, Tail, broken};
use crate::transaction::Transaction;

/// How long another process may lock the database exclusively before the database counts as one in exclusive locking
/// mode: a recovery, a schema change or the switch to a write-ahead log takes less.
const EXCLUSIVE_PATIENCE: Duration = Duration::from_secs(3);

/// How a database is followed.
#[derive(Debug, Clone)]
pub struct Options {
    /// Whether a database in rollback-journal mode is switched to a write-ahead log rather than refused.
    pub enable_wal: bool,
    /// The limits of the log.
    pub limits: Limits,
}

/// Where following begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// At the given position: the log proves that no frame before it has changed and none after it is missing.
    Resumed,
    /// At the log's present end. The commits before it are unknown; an [`Image`](crate::Image) has the state.
    Anew,
    /// At the log's present end, and the log proves that it lost frames that were captured before: the machine lost its
    /// last writes, or was restored to an earlier state.
    Truncated,
}

/// The result of a capture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Captured {
    /// How many transactions the sink got.
    pub transactions: usize,
    /// Whether the log has more committed transactions.
    pub more: bool,
}

/// An error of the follower, or of the sink.
#[derive(Debug)]
pub enum CaptureError<E> {
    /// Following failed.
    Follow(Error),
    /// The sink failed. The transaction that it did not take will be captured again.
    Sink(E),
}

impl<E> From<Error> for CaptureError<E> {
    fn from(error: Error) -> CaptureError<E> {
        CaptureError::Follow(error)
    }
}

/// A database that is being followed.
///
/// Fields are dropped in order. The connections are declared before the wal-index, which must be closed after them; the
/// status handle is declared first, because it reads the wal-index.
#[derive(Debug)]
pub struct Follower {
    log_status: LogStatusOwner,
    /// `None` at rest.
    pub(crate) held: Option<Connection>,
    pub(crate) spare: Option<Connection>,
    /// The connection that takes the write lock for an exclusive checkpoint.
    pub(crate) exclusive: Option<Connection>,
    /// A prepared checkpoint that the caller has not taken yet.
    pub(crate) checkpoint: Option<Checkpoint>,
    /// If some, the checkpoint has the spare connection, and whether this process has the checkpoint lock is unknown.
    pub(crate) checkpointing: Option<Checkpointing>,
    /// How many frames the log had when the last checkpoint began, unless that checkpoint made no progress.
    pub(crate) checkpoint_began_at: Option<u32>,
    pub(crate) shm: Shm,
    pub(crate) paths: Paths,
    pub(crate) database: Identity,
    pub(crate) limits: Limits,
    pub(crate) tail: Tail,
    pub(crate) hold: Hold,
    /// The log's end when the first hold began, or when the tail was rewound. Only up to here can frames be lost: a
    /// later hold replaces another one only once all frames before it are captured.
    pub(crate) found: Mark,
    pub(crate) handover: Option<Handover>,
    /// Whether another process may be running a checkpoint with a view of the log from before its last restart
    /// (*checkpoint-lock-first*).
    pub(crate) stale_checkpointer: bool,
    pub(crate) observed: Arc<Mutex<Observed>>,
    /// Shared with every image that is being read.
    pub(crate) images: Arc<()>,
    pub(crate) last_commit: Instant,
    pub(crate) last_checkpoint: Instant,
    pub(crate) backoff: CheckpointBackoff,
    pub(crate) damage: Damage,
    /// Whether other names of the file were logged.
    names_told: bool,
    /// If some, no connection of ours is open, and this is the stamp of the database's file since then.
    pub(crate) resting: Option<Stamp>,
    /// `None` before the first rest. Closed after the connections.
    pub(crate) lock: Option<DatabaseLock>,
}

impl Follower {
    /// Begins to hold the log of the database at `path` and decides where capturing begins.
    ///
    /// `resume` is the position up to which an earlier run has captured every commit; `latest` is the commit timestamp of
    /// the last transaction then, in µs since the epoch, and a lower bound of all later ones.
    ///
    /// # Errors
    /// [`Error::Refused`] when the database cannot be followed, with the reason by name.
    pub fn open(
        path: &Path,
        options: &Options,
        resume: Option<Position>,
        latest: i64,
    ) -> Result<(Follower, Start), Error> {
        let paths = Paths::of(path);
        check_file_system(&paths)?;
        let header = read_header(&paths)?;
        if !header.is_wal {
            enable_wal(&paths, options)?;
        }
        let held = begin_patiently(&paths)?;
        point("watcher.open.held");
        let no_file = |source| Error::Io { doing: "look at", path: path.to_owned(), source };
        let database = Identity::at(path).map_err(no_file)?;
        // The read transaction has pinned the log before the first read of it, so the wal-index is as new as the pin or
        // newer from here on.
        let mut shm = Shm::open(&paths)?;
        shm.try_checkpoint_lock(&paths)?;
        if resume.is_some() {
            // A read transaction on the database file alone does not pin the log, whose next frames may be unread.
            shm.take_restart_lock(&paths)?;
        }
        point("watcher.open.locked");
        let index = shm.read(&paths)?;
        let resume_at = |position| Tail::resume(&paths, &index, position);
        let resumed = resume.map_or(Ok(Resumed::Restarted), resume_at)?;
        let at_end = || Tail::at_end(&paths, &index, header.page_size);
        let (tail, start) = match resumed {
            Resumed::At(tail) => (tail, Start::Resumed),
            Resumed::Restarted => (at_end()?, Start::Anew),
            Resumed::Truncated => (at_end()?, Start::Truncated),
        };
        let now = Instant::now();
        let observed = Arc::new(Mutex::new(Observed::after(latest, tail.position())));
        let damage = Damage::default();
        let mut follower = Follower {
            log_status: LogStatusOwner::new(&shm, &paths, &observed, &damage),
            names_told: tell_names(&paths),
            held: Some(held),
            spare: None,
            exclusive: None,
            checkpoint: None,
            checkpointing: None,
            checkpoint_began_at: None,
            stale_checkpointer: !shm.has_checkpoint_lock(),
            shm,
            paths,
            database,
            limits: options.limits,
            found: tail.mark(&index),
            tail,
            hold: Hold::before(&index),
            handover: None,
            observed,
            images: Arc::new(()),
            last_commit: now,
            last_checkpoint: now,
            backoff: CheckpointBackoff::default(),
            damage,
            resting: None,
            lock: None,
        };
        follower.check_size()?;
        follower.release_restart_lock();
        Ok((follower, start))
    }

    /// The connection whose read transaction holds the log.
    pub(crate) fn held(&self) -> &Connection {
        self.held.as_ref().expect("a database at rest is roused before its hold is moved")
    }

    /// The path of the log, whose writes are file events to wake up for.
    #[must_use]
    pub fn wal_path(&self) -> PathBuf {
        self.paths.wal.clone()
    }

    /// An observer for the thread that receives the file events of the log.
    #[must_use]
    pub fn observer(&self) -> Observer {
        Observer::new(self.shm.file(), Arc::clone(&self.observed))
    }

    /// The position up to which the log was captured.
    #[must_use]
    pub fn position(&self) -> Position {
        self.tail.position()
    }

    /// The size of the database's pages.
    #[must_use]
    pub fn page_size(&self) -> PageSize {
        self.tail.page_size()
    }

    /// A handle that reads the status of the log from any thread.
    #[must_use]
    pub fn log_status_handle(&self) -> LogStatusHandle {
        self.log_status.handle()
    }

    /// The size of this many frames.
    pub(crate) fn bytes_of(&self, frames: u32) -> u64 {
        u64::from(frames) * frame_bytes(self.page_size())
    }

    /// The size of the committed frames that are not captured.
    pub(crate) fn unread_bytes(&self, index: &Index) -> u64 {
        self.bytes_of(self.tail.unread(index))
    }

    /// The size of the committed frames in the log.
    ///
    /// # Errors
    /// When the wal-index cannot be read.
    pub fn log_bytes(&self) -> Result<u64, Error> {
        Ok(self.bytes_of(self.shm.read(&self.paths)?.frames))
    }

    /// Records `time` (µs since the epoch) as the timestamp of new commits, without reading them. Returns a lower bound
    /// of the number of frames to capture.
    ///
    /// # Errors
    /// When the wal-index cannot be read.
    pub fn observe(&mut self, time: i64) -> Result<u32, Error> {
        // While a commit is being published the wal-index is torn; the next observation reads it.
        let Ok(index) = self.shm.peek(&self.paths)? else { return Ok(1) };
        if !self.observe_index(&index, time) {
            return Ok(0);
        }
        Ok(self.tail.unread(&index).max(1))
    }

    /// As [`Follower::observe`], after a write into the log; `None` while its transaction has not ended, see
    /// [`Observer::see_written`].
    ///
    /// # Errors
    /// As [`Follower::observe`].
    pub fn observe_written(&mut self, time: i64) -> Result<Option<u32>, Error> {
        let frames = self.observe(time)?;
        if frames > 0 {
            return Ok(Some(frames));
        }
        if self.shm.is_write_locked() { Ok(None) } else { self.observe(time).map(Some) }
    }

    /// The commit timestamp of the oldest commit that was not captured yet, in µs since the epoch.
    #[must_use]
    pub fn oldest_uncaptured(&self) -> Option<i64> {
        self.observed.lock().unwrap_or_else(PoisonError::into_inner).oldest()
    }

    fn observe_index(&mut self, index: &Index, time: i64) -> bool {
        let more = !self.tail.has_read(index);
        if more {
            let mut observed = self.observed.lock().unwrap_or_else(PoisonError::into_inner);
            observed.see(index, time);
            self.last_commit = Instant::now();
        }
        more
    }

    /// Hands every committed transaction that was not captured yet to `sink`, in order, until `sink` returns false.
    ///
    /// # Errors
    /// [`Error::Broken`] when the log contradicts the wal-index; the caller must then discard the transactions that
    /// `sink` got in this call. Any error of `sink`.
    pub fn capture<E>(
        &mut self,
        time: i64,
        scratch: &mut Scratch,
        mut sink: impl FnMut(&mut Transaction<'_>) -> Result<bool, E>,
    ) -> Result<Captured, CaptureError<E>> {
        let index = match self.shm.peek(&self.paths)? {
            Ok(index) => index,
            Err(reason) => {
                if reason == IndexError::Torn && self.shm.is_left_torn(&self.paths)? {
                    self.recover()?;
                }
                self.shm.read(&self.paths)?
            }
        };
        let mut transactions = 0;
        if self.observe_index(&index, time) {
            if self.tail.must_enter(&index) {
                self.enter(&index)?;
            }
            self.tail.read(&self.paths, &index, &self.observed, scratch, |transaction| {
                let more = sink(transaction).map_err(CaptureError::Sink)?;
                point("watcher.capture.taken");
                transactions += 1;
                Ok::<_, CaptureError<E>>(if more { Next::More } else { Next::Enough })
            })?;
            let position = self.tail.position();
            self.observed.lock().unwrap_or_else(PoisonError::into_inner).captured(position);
            self.release_restart_lock();
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
        let connection = Connection::open(&self.paths.database, true)?;
        let recovered = connection.begin_read().and_then(|()| connection.end());
        // SQLite's unlock has dropped the checkpoint lock of this process.
        self.shm.set_checkpoint_lock(false);
        self.shm.try_checkpoint_lock(&self.paths)?;
        match recovered {
            // Another process is recovering it.
            Err(error) if is_busy(&error) => Ok(()),
            recovered => recovered.map_err(self.sqlite("recover the wal-index of")),
        }
    }

    /// Goes back to `position`, up to which every commit is durable elsewhere, so that the commits after it are
    /// captured again. Returns whether the log still has them.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn rewind(&mut self, position: Position) -> Result<bool, Error> {
        // The present hold may read the database file alone, and the log is needed again.
        self.shm.take_restart_lock(&self.paths)?;
        let index = self.shm.read(&self.paths)?;
        let has_it = self.tail.rewind(&self.paths, &index, position)?;
        // The frames to be read again were captured before the present hold began, so it may not cover them.
        self.found = self.tail.mark(&index);
        self.release_restart_lock();
        Ok(has_it)
    }

    /// Releases the restart lock once all frames up to `found` are captured: from then on the holds keep the log.
    pub(crate) fn release_restart_lock(&mut self) {
        if self.shm.has_restart_lock() && self.tail.covers(self.found) {
            self.shm.release_restart_lock();
        }
    }

    /// Follows a restart of the log into the WAL generation of `index`.
    fn enter(&mut self, index: &Index) -> Result<(), Error> {
        let restarted = index.salts != self.tail.position().salts;
        // Without the restart lock, a hold on the database file alone does not prevent a restart while frames from
        // before the hold are unread. Then they are overwritten, and the next session has to compare pages.
        let lost = self.hold.reads == Reads::Log || !self.tail.covers(self.found);
        if restarted && lost {
            return Err(broken(&self.paths, 0, Break::Restarted));
        }
        self.tail.enter(&self.paths, index)?;
        point("watcher.capture.entered");
        // If this process has had the checkpoint lock since before the restart, no checkpointer can have read the
        // wal-index before it. A checkpoint of ours on another thread may just have dropped the lock.
        self.stale_checkpointer |= self.checkpointing.is_some() || !self.shm.has_checkpoint_lock();
        Ok(())
    }

    /// Checks that the paths still name the opened files, and logs an error if the wal-index is damaged. Cheap; called
    /// about once a second.
    ///
    /// # Errors
    /// [`Error::Moved`] when a file was deleted or replaced: the application may be writing another one now.
    pub fn check_files(&mut self) -> Result<(), Error> {
        self.look_for_damage()?;
        if !self.names_told && is_linked(&self.paths) {
            self.names_told = tell_names(&self.paths);
        }
        self.check_identities()
    }

    /// Checks that the paths still name the opened files.
    pub(crate) fn check_identities(&self) -> Result<(), Error> {
        self.database.check(&self.paths.given)?;
        self.shm.identity().check(&self.paths.shm)?;
        self.tail.identity().check(&self.paths.wal)
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        // The last close, which may be ours, checkpoints the log and deletes it.
        if let Some(lock) = &mut self.lock {
            lock.unlock();
            self.shm.release_backfill_lock();
        }
        self.leave();
    }
}

/// Switches a database to WAL mode, if the options allow it.
fn enable_wal(paths: &Paths, options: &Options) -> Result<(), Error> {
    if !options.enable_wal {
        return Err(paths.refuse(Refusal::RollbackJournal));
    }
    let connection = Connection::open(&paths.database, false)?;
    match connection.enable_wal() {
        Ok(true) => Ok(()),
        Ok(false) => Err(paths.refuse(Refusal::RollbackJournal)),
        Err(error) if is_busy(&error) => Err(paths.refuse(Refusal::Exclusive)),
        Err(source) => {
            let path = paths.database.clone();
            Err(explain(
                paths,
                Error::Sqlite { doing: "switch to a write-ahead log:", path, source },
            ))
        }
    }
}

/// Opens the database and begins the first read transaction, with retries during a recovery or a schema change.
pub(crate) fn begin_patiently(paths: &Paths) -> Result<Connection, Error> {
    let deadline = Instant::now() + EXCLUSIVE_PATIENCE;
    let attempt = || {
        let connection = Connection::open(&paths.database, true)?;
        connection.begin_read().map_err(|source| {
            let path = paths.database.clone();
            Error::Sqlite { doing: "begin to read", path, source }
        })?;
        Ok(connection)
    };
    loop {
        match attempt() {
            Err(Error::Sqlite { source, .. }) if is_busy(&source) => {
                if Instant::now() >= deadline {
                    return Err(paths.refuse(Refusal::Exclusive));
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            ended => return ended.map_err(|error| explain(paths, error)),
        }
    }
}

/// Where SQLite cannot create the files that it needs, its error only says that it cannot open or write the database.
fn explain(paths: &Paths, error: Error) -> Error {
    match (&error, paths.unwritable_directory()) {
        (Error::Sqlite { source, .. }, Some(directory)) if cannot_open(source) => {
            paths.refuse(Refusal::Directory(directory))
        }
        _ => error,
    }
}
