//! The wal-index: read through a file descriptor of our own, and locks on some of its bytes.
//!
//! POSIX drops all locks that a process has on a file when it closes any file descriptor of that file, SQLite's locks
//! included. So a [`Shm`] must outlive every connection to its database; [`Follower`](crate::Follower) declares it
//! after them.
//!
//! The *restart lock* is a shared open file description lock (`F_OFD_SETLK`) on the last read mark. A restart of the
//! log needs exclusive locks on the read marks 1 to 4, so the restart lock prevents it, also where a hold has
//! `WAL_READ_LOCK(0)` because all frames were backfilled. It belongs to the open file description and not to the process,
//! so a connection of ours that unlocks the same read mark does not drop it, nor the other way round.
//!
//! The *backfill lock* is the same on read mark 0, and prevents every checkpoint.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ebbtide_wal::{INDEX_BYTES, Index, IndexError, READ_MARKS, lock};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

use crate::error::{Error, Refusal};
use crate::files::{Identity, Paths, read_up_to};

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
    checkpoint_lock: bool,
    restart_lock: bool,
}

impl Shm {
    /// Opens the wal-index, which a connection of ours has created before.
    pub(crate) fn open(paths: &Paths) -> Result<Shm, Error> {
        let opened = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(&paths.shm)
            .and_then(|file| Ok((Identity::of(&file)?, file)));
        let (identity, file) =
            opened.map_err(|error| paths.refuse(Refusal::Locks(error.to_string())))?;
        Ok(Shm { file: Arc::new(file), identity, checkpoint_lock: false, restart_lock: false })
    }

    /// The device and inode of the file.
    pub(crate) fn identity(&self) -> Identity {
        self.identity
    }

    /// Reads the wal-index once, without retries.
    pub(crate) fn peek(&self, paths: &Paths) -> Result<Result<Index, IndexError>, Error> {
        peek(&self.file).map_err(|source| Error::Io {
            doing: "read",
            path: paths.shm.clone(),
            source,
        })
    }

    /// Whether another process may be writing into the log.
    pub(crate) fn is_write_locked(&self) -> bool {
        is_write_locked(&self.file)
    }

    /// The file for another thread to read. It is closed with the last reference.
    pub(crate) fn file(&self) -> Arc<File> {
        Arc::clone(&self.file)
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

    /// Whether this process has the checkpoint lock: then no other process is checkpointing.
    pub(crate) fn has_checkpoint_lock(&self) -> bool {
        self.checkpoint_lock
    }

    /// Takes the checkpoint lock if it is free. The lock belongs to the process, so our own connections can still
    /// checkpoint; each checkpoint drops the lock, see [`Shm::set_checkpoint_lock`].
    pub(crate) fn try_checkpoint_lock(&mut self, paths: &Paths) -> Result<bool, Error> {
        if self.checkpoint_lock {
            return Ok(true);
        }
        let path = || paths.shm.clone();
        self.checkpoint_lock = try_checkpoint_lock(&self.file).map_err(|source| Error::Io {
            doing: "lock",
            path: path(),
            source,
        })?;
        Ok(self.checkpoint_lock)
    }

    /// A connection of ours has ended a checkpoint, which dropped the lock of this process; `has_lock` says whether the
    /// lock was taken again since.
    pub(crate) fn set_checkpoint_lock(&mut self, has_lock: bool) {
        self.checkpoint_lock = has_lock;
    }

    /// Takes the restart lock: until it is released no process can restart the log. Fails without an error where
    /// another process was stopped within a restart, or the kernel has no open file description locks.
    pub(crate) fn take_restart_lock(&mut self, paths: &Paths) -> Result<(), Error> {
        let began = Instant::now();
        while !self.restart_lock && began.elapsed() <= RESTART_LOCK_PATIENCE {
            self.restart_lock = lock_last_mark(&self.file, libc::F_RDLCK)
                .map_err(|source| Error::Io { doing: "lock", path: paths.shm.clone(), source })?;
            if !self.restart_lock {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        Ok(())
    }

    /// Releases the restart lock, if it was taken.
    pub(crate) fn release_restart_lock(&mut self) {
        if std::mem::take(&mut self.restart_lock)
            && let Err(error) = lock_last_mark(&self.file, libc::F_UNLCK)
        {
            tracing::warn!(%error, "cannot unlock the wal-index; the log cannot be restarted until this process ends");
        }
    }

    /// Whether another process has the database open.
    pub(crate) fn is_open_elsewhere(&self) -> bool {
        is_open_elsewhere(&self.file)
    }

    /// Takes the backfill lock: until [`Shm::release_backfill_lock`] no process can checkpoint, nor restart a log that
    /// has frames. Returns false if a checkpoint is running. The lock is that of a reader of the database file alone
    /// (`WAL_READ_LOCK(0)`), but belongs to the open file description, so that it outlasts every connection of ours.
    ///
    /// Old versions of SQLite need an exclusive lock on this byte to build a wal-index, and retry for some seconds.
    pub(crate) fn take_backfill_lock(&self) -> bool {
        lock_byte(&self.file, libc::F_RDLCK, lock::read(0)).unwrap_or(false)
    }

    /// Releases the backfill lock.
    pub(crate) fn release_backfill_lock(&self) {
        if let Err(error) = lock_byte(&self.file, libc::F_UNLCK, lock::read(0)) {
            tracing::warn!(%error, "cannot unlock the wal-index; the log grows until this process ends");
        }
    }

    /// Keeps the wal-index until [`Shm::release_index`]: the next connection does not rebuild it, even if all present
    /// connections are closed by then. Only for a wal-index that is known to be right.
    pub(crate) fn keep_index(&self) -> bool {
        lock_byte(&self.file, libc::F_RDLCK, lock::CONNECTED).unwrap_or(false)
    }

    /// Lets SQLite rebuild the wal-index once all connections are closed.
    pub(crate) fn release_index(&self) {
        if let Err(error) = lock_byte(&self.file, libc::F_UNLCK, lock::CONNECTED) {
            tracing::warn!(%error, "cannot unlock the wal-index; it is kept until this process ends");
        }
    }

    /// Whether the restart lock is taken.
    pub(crate) fn has_restart_lock(&self) -> bool {
        self.restart_lock
    }
}

impl Drop for Shm {
    fn drop(&mut self) {
        // Other owners may keep the file descriptor open for longer.
        self.release_restart_lock();
    }
}

/// Changes the open file description lock on some bytes. Returns false if another lock conflicts.
#[cfg(target_os = "linux")]
pub(crate) fn lock_description(file: &File, kind: i32, at: i64, bytes: i64) -> io::Result<bool> {
    let lock = libc::flock { l_start: at, l_len: bytes, ..byte(kind, 0) };
    match fcntl(file, FcntlArg::F_OFD_SETLK(&lock)) {
        Ok(_) => Ok(true),
        // Some sandboxes have no open file description locks.
        Err(Errno::EACCES | Errno::EAGAIN | Errno::EINVAL) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

/// Changes the open file description lock on one byte of the wal-index.
#[cfg(target_os = "linux")]
fn lock_byte(file: &File, kind: i32, at: u64) -> io::Result<bool> {
    lock_description(file, kind, byte(kind, at).l_start, 1)
}

#[cfg(not(target_os = "linux"))]
fn lock_byte(_: &File, _: i32, _: u64) -> io::Result<bool> {
    Ok(false)
}

/// Changes the open file description lock on the last read mark.
fn lock_last_mark(file: &File, kind: i32) -> io::Result<bool> {
    lock_byte(file, kind, lock::read(READ_MARKS - 1))
}

/// Whether another process has the database open: every connection that has read from it holds a shared lock on this
/// byte, SQLite's dead-man's-switch lock. Counts as open if `F_GETLK` fails.
pub(crate) fn is_open_elsewhere(file: &File) -> bool {
    holder(file, lock::CONNECTED) != Ok(None)
}

/// The other processes whose read transactions prevent a restart of the log.
pub(crate) fn readers(file: &File) -> Vec<i32> {
    let mut readers = Vec::new();
    for mark in 1..READ_MARKS {
        // The restart lock of ours belongs to no process.
        if let Ok(Some(process)) = holder(file, lock::read(mark))
            && process > 0
            && !readers.contains(&process)
        {
            readers.push(process);
        }
    }
    readers
}

/// Whether another process may be writing into the log: it has the write lock, or `F_GETLK` fails.
pub(crate) fn is_write_locked(file: &File) -> bool {
    holder(file, lock::WRITE) != Ok(None)
}

/// The other process that has a lock on one byte of `file`; not above 0 for an open file description lock.
fn holder(file: &File, at: u64) -> nix::Result<Option<i32>> {
    let mut probe = byte(libc::F_WRLCK, at);
    fcntl(file, FcntlArg::F_GETLK(&mut probe))?;
    Ok((i32::from(probe.l_type) != libc::F_UNLCK).then_some(probe.l_pid))
}

/// Takes the checkpoint lock of the wal-index in `file` for this process. Returns false if another process has it.
pub(crate) fn try_checkpoint_lock(file: &File) -> io::Result<bool> {
    match fcntl(file, FcntlArg::F_SETLK(&byte(libc::F_WRLCK, lock::CHECKPOINT))) {
        Ok(_) => Ok(true),
        Err(Errno::EACCES | Errno::EAGAIN) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

/// Reads the wal-index in `file` once.
pub(crate) fn peek(file: &File) -> io::Result<Result<Index, IndexError>> {
    let mut bytes = [0; INDEX_BYTES];
    let read = read_up_to(file, &mut bytes, 0)?;
    Ok(Index::parse(&bytes[..read]))
}

/// A lock of `kind` on one byte.
fn byte(kind: i32, at: u64) -> libc::flock {
    libc::flock {
        l_type: i16::try_from(kind).expect("lock types are small"),
        l_whence: i16::try_from(libc::SEEK_SET).expect("SEEK_SET is 0"),
        l_start: i64::try_from(at).expect("the lock bytes are below 129"),
        l_len: 1,
        l_pid: 0,
    }
}
