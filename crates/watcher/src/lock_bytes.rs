//! Locks on single bytes of the wal-index and of the database, by fcntl(2).
//!
//! SQLite's own locks belong to the process. Ours are of two kinds. The checkpoint lock belongs to the process as
//! well, so that our own connections can checkpoint. The others are *open file description locks* (`F_OFD_SETLK`): a
//! connection of ours that unlocks the same byte does not drop them, nor the other way round.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use ebbtide_wal::{READ_MARKS, lock};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

/// A shared open file description lock. Dropping it releases the lock.
#[derive(Debug)]
pub(crate) struct SharedLock {
    file: Arc<File>,
    bytes: Range<u64>,
    /// What it means if the lock cannot be released.
    failure: &'static str,
}

impl SharedLock {
    /// Takes the lock on `bytes` of `file`. `None` if another lock conflicts, or the kernel has no such locks.
    /// `failure` is logged if the lock cannot be released.
    pub(crate) fn take(
        file: &Arc<File>,
        bytes: Range<u64>,
        failure: &'static str,
    ) -> io::Result<Option<SharedLock>> {
        let taken = set_description_lock(file, libc::F_RDLCK, &bytes)?;
        Ok(taken.then(|| SharedLock { file: Arc::clone(file), bytes, failure }))
    }
}

impl Drop for SharedLock {
    fn drop(&mut self) {
        // Other owners may keep the file descriptor open for longer.
        if let Err(error) = set_description_lock(&self.file, libc::F_UNLCK, &self.bytes) {
            tracing::warn!(%error, "{}", self.failure);
        }
    }
}

/// Changes the open file description lock on some bytes. Returns false if another lock conflicts.
#[cfg(target_os = "linux")]
fn set_description_lock(file: &File, kind: i32, bytes: &Range<u64>) -> io::Result<bool> {
    match fcntl(file, FcntlArg::F_OFD_SETLK(&flock(kind, bytes))) {
        Ok(_) => Ok(true),
        // Some sandboxes have no open file description locks.
        Err(Errno::EACCES | Errno::EAGAIN | Errno::EINVAL) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(not(target_os = "linux"))]
fn set_description_lock(_: &File, _: i32, _: &Range<u64>) -> io::Result<bool> {
    Ok(false)
}

/// Takes the checkpoint lock of the wal-index in `file` for this process. Returns false if another process has it.
pub(crate) fn try_checkpoint_lock(file: &File) -> io::Result<bool> {
    match fcntl(file, FcntlArg::F_SETLK(&flock(libc::F_WRLCK, &one(lock::CHECKPOINT)))) {
        Ok(_) => Ok(true),
        Err(Errno::EACCES | Errno::EAGAIN) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

/// Whether another process has the database open: every connection that has read from it holds a shared lock on this
/// byte, SQLite's dead-man's-switch lock. Counts as open if `F_GETLK` fails.
pub(crate) fn is_open_elsewhere(file: &File) -> bool {
    holder(file, lock::CONNECTED) != Ok(None)
}

/// Whether another process may be writing into the log: it has the write lock, or `F_GETLK` fails.
pub(crate) fn is_write_locked(file: &File) -> bool {
    holder(file, lock::WRITE) != Ok(None)
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

/// The other process that has one byte of `file` to itself; not above 0 for an open file description lock.
pub(crate) fn exclusive_holder(file: &File, at: u64) -> nix::Result<Option<i32>> {
    holder_against(libc::F_RDLCK, file, at)
}

/// The other process that has a lock on one byte of `file`; not above 0 for an open file description lock.
fn holder(file: &File, at: u64) -> nix::Result<Option<i32>> {
    holder_against(libc::F_WRLCK, file, at)
}

/// The other process whose lock on one byte of `file` keeps one of `kind` away.
fn holder_against(kind: i32, file: &File, at: u64) -> nix::Result<Option<i32>> {
    let mut probe = flock(kind, &one(at));
    fcntl(file, FcntlArg::F_GETLK(&mut probe))?;
    Ok((i32::from(probe.l_type) != libc::F_UNLCK).then_some(probe.l_pid))
}

/// One byte as a range.
pub(crate) fn one(at: u64) -> Range<u64> {
    at..at + 1
}

/// A lock of `kind` on some bytes.
fn flock(kind: i32, bytes: &Range<u64>) -> libc::flock {
    let offset = |at: u64| i64::try_from(at).expect("SQLite's lock bytes are below 2^31");
    libc::flock {
        l_type: i16::try_from(kind).expect("lock types are small"),
        l_whence: i16::try_from(libc::SEEK_SET).expect("SEEK_SET is 0"),
        l_start: offset(bytes.start),
        l_len: offset(bytes.end - bytes.start),
        l_pid: 0,
    }
}
