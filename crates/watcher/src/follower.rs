//! A database that is being followed: its hold, its tail, and what was seen of it.

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

/// For how long another process may have the database to itself before that counts as its mode: a recovery, a schema
/// change or the switch to a write-ahead log takes less.
const EXCLUSIVE_PATIENCE: Duration = Duration::from_secs(3);

/// How a database is followed.
#[derive(Debug, Clone)]
pub struct Options {
    /// Whether a database in rollback-journal mode is switched to a write-ahead log rather than refused.
    pub enable_wal: bool,
    /// Between which limits the log is kept.
    pub limits: Limits,
}

/// Where following begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// At the position given: the log proves that nothing before it has changed and nothing after it is missing.
    Resumed,
    /// At the log's present end. What happened before is not known; an [`Image`](crate::Image) tells the state.
    Anew,
    /// The same, and the log proves that it lost what was captured before: the machine lost its last writes, or was set
    /// back.
    Truncated,
}

/// What a capture found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Captured {
    /// How many transactions were handed out.
    pub transactions: usize,
    /// Whether committed transactions are left in the log.
    pub more: bool,
}

/// Why a capture ended: the follower's own reason, or the reader's.
#[derive(Debug)]
pub enum CaptureError<E> {
    /// Following failed.
    Follow(Error),
    /// The reader of the transactions failed. What it did not take will be handed out again.
    Sink(E),
}

impl<E> From<Error> for CaptureError<E> {
    fn from(error: Error) -> CaptureError<E> {
        CaptureError::Follow(error)
    }
}

/// A database that is being followed.
///
/// The connections stand before the wal-index because fields are dropped in order, and it must be closed after them; the
/// gauge stands before all, because it looks at the wal-index.
#[derive(Debug)]
pub struct Follower {
    log_status: LogStatusOwner,
    /// Nothing at rest.
    pub(crate) held: Option<Connection>,
    pub(crate) spare: Option<Connection>,
    pub(crate) exclusive: Option<Connection>,
    /// One that nobody has taken yet to run it.
    pub(crate) checkpoint: Option<Checkpoint>,
    /// From the decision to checkpoint until it has ended. The spare connection and the checkpoint lock are with it.
    pub(crate) checkpointing: Option<Checkpointing>,
    /// How many frames the log had when the last checkpoint began, unless that one came no further.
    pub(crate) checkpoint_began_at: Option<u32>,
    pub(crate) shm: Shm,
    pub(crate) paths: Paths,
    pub(crate) database: Identity,
    pub(crate) limits: Limits,
    pub(crate) tail: Tail,
    pub(crate) hold: Hold,
    /// What was committed when the first hold began, or when the tail was rewound. Later holds begin only once everything
    /// before them is captured.
    pub(crate) found: Mark,
    pub(crate) handover: Option<Handover>,
    /// A generation was entered while somebody else may have been in the midst of a checkpoint (Rule 0).
    pub(crate) stale_checkpointer: bool,
    pub(crate) observed: Arc<Mutex<Observed>>,
    /// Shared with every image that is being read.
    pub(crate) images: Arc<()>,
    pub(crate) last_commit: Instant,
    pub(crate) last_checkpoint: Instant,
    pub(crate) backoff: CheckpointBackoff,
    pub(crate) damage: Damage,
    /// Other names of the file were told of.
    names_told: bool,
    /// While no connection of ours is open: the database's file as it was left.
    pub(crate) resting: Option<Stamp>,
    /// Nothing before the first rest. Closed after the connections.
    pub(crate) lock: Option<DatabaseLock>,
}

impl Follower {
    /// Takes hold of the database at `path` and finds out where to begin.
    ///
    /// `resume` is the position up to which everything was captured in an earlier run; `latest` is the time of the
    /// last transaction then, in µs since the epoch, before which no new one will be dated.
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
        // The transaction has pinned the log before anything is read from it, and whatever the wal-index says from
        // here on is as new as the pin or newer.
        let mut shm = Shm::open(&paths)?;
        shm.try_checkpoint_lock(&paths)?;
        if resume.is_some() {
            // A transaction that ignores the log has not pinned it, and what comes next in it may still be unread.
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
            log_status: LogStatusOwner::new(
                shm.file(),
                paths.clone(),
                Arc::clone(&observed),
                damage.told(),
            ),
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

    /// The path of the log, whose writes are worth waking for.
    #[must_use]
    pub fn wal_path(&self) -> PathBuf {
        self.paths.wal.clone()
    }

    /// For the thread that is woken when the log is written.
    #[must_use]
    pub fn observer(&self) -> Observer {
        Observer::new(self.shm.file(), Arc::clone(&self.observed))
    }

    /// How far the log was captured.
    #[must_use]
    pub fn position(&self) -> Position {
        self.tail.position()
    }

    /// The size of the database's pages.
    #[must_use]
    pub fn page_size(&self) -> PageSize {
        self.tail.page_size()
    }

    /// For whoever wants to know how the log is doing, from any thread.
    #[must_use]
    pub fn log_status_handle(&self) -> LogStatusHandle {
        self.log_status.handle()
    }

    /// How many bytes so many frames have.
    pub(crate) fn bytes_of(&self, frames: u32) -> u64 {
        u64::from(frames) * frame_bytes(self.page_size())
    }

    /// How many bytes of committed frames are still to be captured.
    pub(crate) fn unread_bytes(&self, index: &Index) -> u64 {
        self.bytes_of(self.tail.unread(index))
    }

    /// How many bytes of the log are in use.
    ///
    /// # Errors
    /// When the wal-index cannot be read.
    pub fn log_bytes(&self) -> Result<u64, Error> {
        Ok(self.bytes_of(self.shm.read(&self.paths)?.frames))
    }

    /// Notes what is committed at `time` (µs since the epoch) without reading it; how many frames there are to capture,
    /// at least.
    ///
    /// # Errors
    /// When the wal-index cannot be read.
    pub fn observe(&mut self, time: i64) -> Result<u32, Error> {
        // In the midst of a publication the next look will do.
        let Ok(index) = self.shm.peek(&self.paths)? else { return Ok(1) };
        if !self.observe_index(&index, time) {
            return Ok(0);
        }
        Ok(self.tail.unread(&index).max(1))
    }

    /// The same after a write into the log; nothing as long as its transaction is under way, see
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

    /// When the oldest commit was seen that is in the log and was not captured yet, in µs since the epoch.
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

    /// Hands every committed transaction that was not captured yet to `sink`, in order, until it has enough.
    /// `sink` returns whether it wants more.
    ///
    /// # Errors
    /// [`Error::Broken`] when the log is not what SQLite says it is; what `sink` got in this call must then be thrown
    /// away. Whatever `sink` returns.
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

    /// Has SQLite recover a wal-index that somebody left torn. Nobody else could while the checkpoint lock is ours.
    fn recover(&mut self) -> Result<(), Error> {
        tracing::warn!(
            database = %self.paths.database.display(),
            "an application died while it published a commit; recovering the wal-index"
        );
        let connection = Connection::open(&self.paths.database, true)?;
        let recovered = connection.begin_read().and_then(|()| connection.end());
        // SQLite's unlocking has dropped the lock of the whole process.
        self.shm.set_checkpoint_lock(false);
        self.shm.try_checkpoint_lock(&self.paths)?;
        match recovered {
            // Somebody else is at it.
            Err(error) if is_busy(&error) => Ok(()),
            recovered => recovered.map_err(self.sqlite("recover the wal-index of")),
        }
    }

    /// Goes back to `position`, up to which everything is safe elsewhere, so that what came after it is handed out
    /// again; whether the log still has it.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn rewind(&mut self, position: Position) -> Result<bool, Error> {
        // The present hold may ignore the log, which is needed again.
        self.shm.take_restart_lock(&self.paths)?;
        let index = self.shm.read(&self.paths)?;
        let has_it = self.tail.rewind(&self.paths, &index, position)?;
        // What is to be read again was captured before the present hold began, so the hold need not cover it.
        self.found = self.tail.mark(&index);
        self.release_restart_lock();
        Ok(has_it)
    }

    /// Once what a start or a return has found is captured, the holds keep the log by themselves.
    pub(crate) fn release_restart_lock(&mut self) {
        if self.shm.has_restart_lock() && self.tail.covers(self.found) {
            self.shm.release_restart_lock();
        }
    }

    /// Follows the log into the generation that `index` names.
    fn enter(&mut self, index: &Index) -> Result<(), Error> {
        let restarted = index.salts != self.tail.position().salts;
        // A hold that ignores the log lets it be begun anew while frames from before the hold are still unread, if the
        // guard was not to be had: then they are gone, and only the pages themselves can tell what they said.
        let lost = self.hold.reads == Reads::Log || !self.tail.covers(self.found);
        if restarted && lost {
            return Err(broken(&self.paths, 0, Break::Restarted));
        }
        self.tail.enter(&self.paths, index)?;
        point("watcher.capture.entered");
        // With the checkpoint lock in our hands since before the restart there is no checkpointer that could have read
        // the wal-index before it. A checkpoint of ours on another thread may just have let go of it.
        self.stale_checkpointer |= self.checkpointing.is_some() || !self.shm.has_checkpoint_lock();
        Ok(())
    }

    /// That the files are still those which were opened, and whether the wal-index can be right. Cheap; asked about once
    /// a second.
    ///
    /// # Errors
    /// [`Error::Moved`] when one was deleted or replaced: what the application writes now goes elsewhere.
    pub fn check_files(&mut self) -> Result<(), Error> {
        self.look_for_damage()?;
        if !self.names_told && is_linked(&self.paths) {
            self.names_told = tell_names(&self.paths);
        }
        self.check_identities()
    }

    /// That the files are still those which were opened.
    pub(crate) fn check_identities(&self) -> Result<(), Error> {
        self.database.check(&self.paths.given)?;
        self.shm.identity().check(&self.paths.shm)?;
        self.tail.identity().check(&self.paths.wal)
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        // The last close of all, which may be ours, empties the log and removes it.
        if let Some(lock) = &mut self.lock {
            lock.unlock();
            self.shm.release_backfill_lock();
        }
        self.leave();
    }
}

/// Switches a database to a write-ahead log, if that was asked for.
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

/// Opens the database and begins the first read transaction, waiting out a recovery or a schema change.
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

/// Where SQLite cannot make the files that it needs, it says only that it cannot open or write the database.
fn explain(paths: &Paths, error: Error) -> Error {
    match (&error, paths.unwritable_folder()) {
        (Error::Sqlite { source, .. }, Some(folder)) if cannot_open(source) => {
            paths.refuse(Refusal::Folder(folder))
        }
        _ => error,
    }
}
