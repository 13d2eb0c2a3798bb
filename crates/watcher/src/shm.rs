//! The wal-index: read through a file descriptor of our own, and the shared locks that we take on its read marks.
//!
//! The *restart lock* is a shared lock on the last read mark. A restart of the log needs exclusive locks on the read
//! marks 1 to 4, so the restart lock prevents it, also where a hold has `WAL_READ_LOCK(0)` because all frames were
//! backfilled.
//!
//! The *backfill lock* is the same on read mark 0, and prevents every checkpoint.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ebbtide_wal::{INDEX_BYTES, Index, IndexError, READ_MARKS, lock};
use nix::libc;

use crate::descriptors::Descriptors;
use crate::error::{Error, Refusal};
use crate::files::{Identity, Paths, read_up_to};
use crate::lock_bytes::{SharedLock, is_open_elsewhere, is_write_locked, one};

/// How long the wal-index may be unreadable before that is an error: the recovery of a large log takes seconds.
const SETTLE: Duration = Duration::from_secs(30);

/// How long the publication of a commit, two copies of 48 bytes, may take: a process that is alive has got a CPU by
/// then.
const PUBLICATION_MAX: Duration = Duration::from_millis(100);

/// How long to retry the restart lock: another process that sets a read mark or restarts the log holds an exclusive
/// lock for microseconds.
const RESTART_LOCK_PATIENCE: Duration = Duration::from_millis(100);

/// The wal-index of a database that a connection of ours has open.
#[derive(Debug)]
pub(crate) struct Shm {
    file: Arc<File>,
    identity: Identity,
}

/// Why it was not opened. What the process or the system has too little of comes back; a missing right does not.
fn not_opened(source: io::Error, paths: &Paths) -> Error {
    match source.raw_os_error() {
        Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM) => {
            Error::Io { doing: "open", path: paths.shm.clone(), source }
        }
        _ => paths.refuse(Refusal::Locks(source.to_string())),
    }
}

impl Shm {
    /// Opens the wal-index, which a connection of ours has created before.
    pub(crate) fn open(paths: &Paths, descriptors: &Descriptors) -> Result<Shm, Error> {
        let opened = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(&paths.shm)
            .and_then(|file| Ok((Identity::of(&file)?, file)));
        let (identity, file) = opened.map_err(|error| not_opened(error, paths))?;
        Ok(Shm { file: descriptors.keep(file), identity })
    }

    /// The device and inode of the file.
    pub(crate) fn identity(&self) -> Identity {
        self.identity
    }

    /// The file for another thread to read. It is closed with the last reference.
    pub(crate) fn file(&self) -> Arc<File> {
        Arc::clone(&self.file)
    }

    /// Reads the wal-index once, without retries.
    pub(crate) fn peek(&self, paths: &Paths) -> Result<Result<Index, IndexError>, Error> {
        peek(&self.file).map_err(|source| Error::Io {
            doing: "read",
            path: paths.shm.clone(),
            source,
        })
    }

    /// Reads the wal-index, with retries while another process changes it.
    pub(crate) fn read(&self, paths: &Paths) -> Result<Index, Error> {
        let mut began = None;
        loop {
            let reason = match self.peek(paths)? {
                Ok(index) => return Ok(index),
                Err(reason @ (IndexError::Version(_) | IndexError::PageSize(_))) => {
                    return Err(paths.refuse(Refusal::WalIndex(reason)));
                }
                Err(reason) => reason,
            };
            if began.get_or_insert_with(Instant::now).elapsed() > SETTLE {
                return Err(paths.refuse(Refusal::WalIndex(reason)));
            }
            // A commit is published within microseconds; a recovery takes time in proportion to the log.
            match reason {
                IndexError::Torn => std::hint::spin_loop(),
                _ => std::thread::sleep(Duration::from_millis(1)),
            }
        }
    }

    /// Whether the wal-index stays torn for [`PUBLICATION_MAX`], so that the writer of the commit must be dead.
    pub(crate) fn is_left_torn(&self, paths: &Paths) -> Result<bool, Error> {
        let began = Instant::now();
        while self.peek(paths)? == Err(IndexError::Torn) {
            if began.elapsed() > PUBLICATION_MAX {
                return Ok(true);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(false)
    }

    /// Whether another process may be writing into the log.
    pub(crate) fn is_write_locked(&self) -> bool {
        is_write_locked(&self.file)
    }

    /// Whether another process has the database open.
    pub(crate) fn is_open_elsewhere(&self) -> bool {
        is_open_elsewhere(&self.file)
    }

    /// Takes the restart lock: until it is dropped no process can restart the log. `None` where another process was
    /// stopped within a restart, or the kernel has no open file description locks.
    pub(crate) fn take_restart_lock(&self, paths: &Paths) -> Result<Option<SharedLock>, Error> {
        const FAILURE: &str =
            "cannot unlock the wal-index; the log cannot be restarted until this process ends";
        let began = Instant::now();
        while began.elapsed() <= RESTART_LOCK_PATIENCE {
            let lock = SharedLock::take(&self.file, one(lock::read(READ_MARKS - 1)), FAILURE)
                .map_err(|source| Error::Io { doing: "lock", path: paths.shm.clone(), source })?;
            if lock.is_some() {
                return Ok(lock);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(None)
    }

    /// Takes the backfill lock: until it is dropped no process can checkpoint, nor restart a log that has frames.
    /// `None` if a checkpoint is running. The lock is that of a reader of the database file alone
    /// (`WAL_READ_LOCK(0)`), but it outlasts every connection of ours.
    ///
    /// Old versions of SQLite need an exclusive lock on this byte to build a wal-index, and retry for some seconds.
    pub(crate) fn take_backfill_lock(&self) -> Option<SharedLock> {
        const FAILURE: &str = "cannot unlock the wal-index; the log grows until this process ends";
        SharedLock::take(&self.file, one(lock::read(0)), FAILURE).unwrap_or(None)
    }

    /// Keeps the wal-index until the result is dropped: the next connection does not rebuild it, even if all present
    /// connections are closed by then. Only for a wal-index that is known to be right.
    pub(crate) fn keep_index(&self) -> Option<SharedLock> {
        const FAILURE: &str = "cannot unlock the wal-index; it is kept until this process ends";
        SharedLock::take(&self.file, one(lock::CONNECTED), FAILURE).unwrap_or(None)
    }
}

/// Reads the wal-index in `file` once.
pub(crate) fn peek(file: &File) -> io::Result<Result<Index, IndexError>> {
    let mut bytes = [0; INDEX_BYTES];
    let read = read_up_to(file, &mut bytes, 0)?;
    Ok(Index::parse(&bytes[..read]))
}
