//! The wal-index as we use it: read through a descriptor of our own, and locks on two of its bytes.
//!
//! POSIX drops all of a process's locks on a file when any of its descriptors is closed, SQLite's included. So a
//! [`Shm`] must outlive every connection to its database; [`Follower`](crate::Follower) declares it after them.
//!
//! The *guard* is a shared lock on the last read mark. Whoever begins the log anew needs all marks but mark 0 to itself,
//! so it keeps everybody from that, also where a hold has got mark 0 because the log was in the database. It belongs to
//! the descriptor and not to the process, so that no connection of ours that uses the same mark drops it, or loses its
//! own lock with it.

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

/// How long a wal-index may be in the midst of a change before that is an error: a recovery of a large log takes
/// seconds.
const SETTLE: Duration = Duration::from_secs(30);

/// How long a commit may be in the midst of its publication, which is two copies of 48 bytes: a process that is not dead
/// has been given a processor by then.
const PUBLICATION_MAX: Duration = Duration::from_millis(100);

/// How long a mark may be taken by somebody who sets it or begins the log anew, both of which take microseconds.
const RESTART_LOCK_PATIENCE: Duration = Duration::from_millis(100);

/// The wal-index of a database that a connection of ours has open.
#[derive(Debug)]
pub(crate) struct Shm {
    file: Arc<File>,
    identity: Identity,
    checkpoint_lock: bool,
    guard: bool,
}

impl Shm {
    /// Opens the wal-index, which a connection of ours has set up before.
    pub(crate) fn open(paths: &Paths) -> Result<Shm, Error> {
        let opened = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(&paths.shm)
            .and_then(|file| Ok((Identity::of(&file)?, file)));
        let (identity, file) =
            opened.map_err(|error| paths.refuse(Refusal::Locks(error.to_string())))?;
        Ok(Shm { file: Arc::new(file), identity, checkpoint_lock: false, guard: false })
    }

    /// Which file this is.
    pub(crate) fn identity(&self) -> Identity {
        self.identity
    }

    /// What the wal-index says now, if it says anything: one read, no waiting.
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

    /// The same file for another thread to look at. It is closed when both are gone.
    pub(crate) fn file(&self) -> Arc<File> {
        Arc::clone(&self.file)
    }

    /// Whether the wal-index has been in the midst of one publication for so long that whoever began it must be dead.
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

    /// What the wal-index says, once nobody is in the midst of changing it.
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
            // A commit is published within microseconds; a recovery takes as long as the log is.
            match reason {
                IndexError::Torn => std::hint::spin_loop(),
                _ => std::thread::sleep(Duration::from_millis(1)),
            }
        }
    }

    /// Whether the checkpoint lock is ours: nobody else can then copy frames back, or be in the midst of it.
    pub(crate) fn has_checkpoint_lock(&self) -> bool {
        self.checkpoint_lock
    }

    /// Takes the checkpoint lock if nobody else has it. It belongs to the process, so our own connections may still
    /// checkpoint; each that does drops it, see [`Shm::set_checkpoint_lock`].
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

    /// A connection of ours has ended a checkpoint, and with it this process's lock; `has_lock` says whether it was
    /// taken again since.
    pub(crate) fn set_checkpoint_lock(&mut self, has_lock: bool) {
        self.checkpoint_lock = has_lock;
    }

    /// Takes the guard: from here on nobody can begin the log anew. It is not to be had where somebody stopped in the
    /// midst of beginning the log anew, or the system has no such locks.
    pub(crate) fn take_restart_lock(&mut self, paths: &Paths) -> Result<(), Error> {
        let began = Instant::now();
        while !self.guard && began.elapsed() <= RESTART_LOCK_PATIENCE {
            self.guard = lock_mark(&self.file, libc::F_RDLCK).map_err(|source| Error::Io {
                doing: "lock",
                path: paths.shm.clone(),
                source,
            })?;
            if !self.guard {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        Ok(())
    }

    /// Gives the guard back, if it was taken.
    pub(crate) fn release_restart_lock(&mut self) {
        if std::mem::take(&mut self.guard)
            && let Err(error) = lock_mark(&self.file, libc::F_UNLCK)
        {
            tracing::warn!(%error, "cannot unlock the wal-index; the log cannot begin anew until this process ends");
        }
    }

    /// Whether another process has the database open.
    pub(crate) fn is_open_elsewhere(&self) -> bool {
        is_open_elsewhere(&self.file)
    }

    /// Keeps everybody from copying frames into the database until [`Shm::release_backfill_lock`], and with that from
    /// restarting a log that has any; whether nobody is copying just now. The lock is that of a reader who ignores the
    /// log, but belongs to the open file description, so that it outlasts every connection of ours.
    ///
    /// Old versions of SQLite need this byte for building a wal-index, and try again for some seconds until they have it.
    pub(crate) fn take_backfill_lock(&self) -> bool {
        lock_byte(&self.file, libc::F_RDLCK, lock::read(0)).unwrap_or(false)
    }

    /// Lets frames be copied into the database again.
    pub(crate) fn release_backfill_lock(&self) {
        if let Err(error) = lock_byte(&self.file, libc::F_UNLCK, lock::read(0)) {
            tracing::warn!(%error, "cannot unlock the wal-index; the log grows until this process ends");
        }
    }

    /// Keeps the wal-index as it is until [`Shm::release_index`]: whoever opens the database next does not build it
    /// anew, also if everybody who has it open now is gone by then. Only where it is known to be right.
    pub(crate) fn keep_index(&self) -> bool {
        lock_byte(&self.file, libc::F_RDLCK, lock::CONNECTED).unwrap_or(false)
    }

    /// Lets the wal-index go with the last who has the database open.
    pub(crate) fn release_index(&self) {
        if let Err(error) = lock_byte(&self.file, libc::F_UNLCK, lock::CONNECTED) {
            tracing::warn!(%error, "cannot unlock the wal-index; it is kept until this process ends");
        }
    }

    /// Whether nobody can begin the log anew because of the guard.
    pub(crate) fn has_restart_lock(&self) -> bool {
        self.guard
    }
}

impl Drop for Shm {
    fn drop(&mut self) {
        // Others may keep the descriptor open for longer.
        self.release_restart_lock();
    }
}

/// Changes the lock that the open file description, not the process, has on some bytes; whether nobody was in the way.
#[cfg(target_os = "linux")]
pub(crate) fn lock_description(file: &File, kind: i32, at: i64, bytes: i64) -> io::Result<bool> {
    let lock = libc::flock { l_start: at, l_len: bytes, ..byte(kind, 0) };
    match fcntl(file, FcntlArg::F_OFD_SETLK(&lock)) {
        Ok(_) => Ok(true),
        // Some sandboxes have no locks of an open file description.
        Err(Errno::EACCES | Errno::EAGAIN | Errno::EINVAL) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

/// Changes the lock that the open file description has on one byte of the wal-index.
#[cfg(target_os = "linux")]
fn lock_byte(file: &File, kind: i32, at: u64) -> io::Result<bool> {
    lock_description(file, kind, byte(kind, at).l_start, 1)
}

#[cfg(not(target_os = "linux"))]
fn lock_byte(_: &File, _: i32, _: u64) -> io::Result<bool> {
    Ok(false)
}

/// The last read mark.
fn lock_mark(file: &File, kind: i32) -> io::Result<bool> {
    lock_byte(file, kind, lock::read(READ_MARKS - 1))
}

/// Whether another process has the database open: every connection that has read from it holds a shared lock on this
/// byte, SQLite's dead man's switch. What cannot be learned counts as open.
pub(crate) fn is_open_elsewhere(file: &File) -> bool {
    holder(file, lock::CONNECTED) != Ok(None)
}

/// The processes other than this one that keep the log of the wal-index in `file` from being restarted by reading from
/// it.
pub(crate) fn readers(file: &File) -> Vec<i32> {
    let mut readers = Vec::new();
    for mark in 1..READ_MARKS {
        // Our own guard has no process.
        if let Ok(Some(process)) = holder(file, lock::read(mark))
            && process > 0
            && !readers.contains(&process)
        {
            readers.push(process);
        }
    }
    readers
}

/// Whether another process may be writing into the log of the wal-index in `file`: it has the write lock, or that is not
/// to be learned.
pub(crate) fn is_write_locked(file: &File) -> bool {
    holder(file, lock::WRITE) != Ok(None)
}

/// The process other than this one that has a lock on one byte of `file`; not above 0 if the lock is a descriptor's.
fn holder(file: &File, at: u64) -> nix::Result<Option<i32>> {
    let mut probe = byte(libc::F_WRLCK, at);
    fcntl(file, FcntlArg::F_GETLK(&mut probe))?;
    Ok((i32::from(probe.l_type) != libc::F_UNLCK).then_some(probe.l_pid))
}

/// Takes the checkpoint lock of the wal-index in `file` for this process; whether nobody else has it.
pub(crate) fn try_checkpoint_lock(file: &File) -> io::Result<bool> {
    match fcntl(file, FcntlArg::F_SETLK(&byte(libc::F_WRLCK, lock::CHECKPOINT))) {
        Ok(_) => Ok(true),
        Err(Errno::EACCES | Errno::EAGAIN) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

/// What the wal-index in `file` says now.
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
