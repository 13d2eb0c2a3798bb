//! A handle through which any thread reads the status of the log that a [`Follower`](crate::Follower) follows: its
//! length, its readers, the age of the oldest commit that was not captured.

use std::fs::File;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use ebbtide_time::Timestamp;

use crate::damage::Damage;
use crate::files::Paths;
use crate::lock_bytes::readers;
use crate::mutex::lock;
use crate::names::other_names;
use crate::observed::Observed;
use crate::shm::{Shm, peek};

/// Reads the status of a log, as long as its [`Follower`](crate::Follower) exists.
///
/// The handle reads the wal-index through the follower's own file descriptor, which must not be closed after the
/// follower is gone: POSIX would drop the locks that the next follower of the same database in this process has by
/// then. So the file descriptor is in one place, which the follower empties when it is dropped, and no handle clones
/// it.
#[derive(Debug, Clone)]
pub struct LogStatusHandle(Arc<Mutex<Option<Sources>>>);

#[derive(Debug)]
struct Sources {
    shm: Arc<File>,
    paths: Paths,
    observed: Arc<Mutex<Observed>>,
    damaged: Arc<AtomicBool>,
}

/// The status of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogStatus {
    /// How many frames the log has; `None` if the wal-index was being changed.
    pub frames: Option<u32>,
    /// The size of the log's file.
    pub file_bytes: u64,
    /// Other processes whose read transactions keep the log from being restarted; at most one for each read mark.
    pub readers: Vec<i32>,
    /// The commit timestamp of the oldest commit that was not captured yet.
    pub oldest_uncaptured: Option<Timestamp>,
    /// Whether the wal-index was found to be damaged.
    pub is_damaged: bool,
    /// A sentence about other names of the database's file: a process that opens one of them writes another log.
    pub other_names: Option<String>,
}

impl LogStatusHandle {
    /// Reads the status; `None` once the follower is gone. A few system calls, which do not block.
    #[must_use]
    pub fn read(&self) -> Option<LogStatus> {
        let sources = lock(&self.0);
        let Sources { shm, paths, observed, damaged } = sources.as_ref()?;
        let index = peek(shm).ok().and_then(Result::ok);
        Some(LogStatus {
            frames: index.map(|index| index.frames),
            file_bytes: std::fs::metadata(&paths.wal).map_or(0, |metadata| metadata.len()),
            readers: readers(shm),
            oldest_uncaptured: lock(observed).oldest(),
            is_damaged: damaged.load(Ordering::Relaxed),
            other_names: other_names(&paths.database),
        })
    }
}

/// Owned by the follower; its drop ends all handles.
#[derive(Debug)]
pub(crate) struct LogStatusOwner(LogStatusHandle);

impl LogStatusOwner {
    pub(crate) fn new(
        shm: &Shm,
        paths: &Paths,
        observed: &Arc<Mutex<Observed>>,
        damage: &Damage,
    ) -> LogStatusOwner {
        let (shm, paths, observed) = (shm.file(), paths.clone(), Arc::clone(observed));
        let sources = Sources { shm, paths, observed, damaged: damage.reported() };
        LogStatusOwner(LogStatusHandle(Arc::new(Mutex::new(Some(sources)))))
    }

    pub(crate) fn handle(&self) -> LogStatusHandle {
        self.0.clone()
    }
}

impl Drop for LogStatusOwner {
    fn drop(&mut self) {
        // Waits for a read that is in progress, which is short.
        *lock(&self.0.0) = None;
    }
}
