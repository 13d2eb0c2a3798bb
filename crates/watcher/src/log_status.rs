//! What somebody who does not follow a database may look at meanwhile, from another thread: how long its log is, who
//! keeps it from ending, how old the oldest commit in it is that nobody has read.

use std::fs::File;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::files::Paths;
use crate::names::other_names;
use crate::observed::Observed;
use crate::shm::{peek, readers};

/// A view of a database that is being followed; of nothing once its [`Follower`](crate::Follower) is gone.
///
/// The wal-index is looked at through the follower's own descriptor, which must not be closed after the follower is
/// gone: POSIX would drop the locks that this process's next follower of the same database has by then. So the
/// descriptor lies in one place that the follower empties when it goes, and is never taken out of it.
#[derive(Debug, Clone)]
pub struct LogStatusHandle(Arc<Mutex<Option<Sources>>>);

#[derive(Debug)]
struct Sources {
    shm: Arc<File>,
    paths: Paths,
    observed: Arc<Mutex<Observed>>,
    damaged: Arc<AtomicBool>,
}

/// What a look shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogStatus {
    /// How many frames the log has. Nothing when somebody was in the midst of changing the wal-index.
    pub frames: Option<u32>,
    /// The size of the log's file.
    pub file_bytes: u64,
    /// Other processes whose read transactions keep the log from being begun anew; at most one for each read mark.
    pub readers: Vec<i32>,
    /// When the oldest commit was seen that is in the log and was not captured yet, in µs since the epoch.
    pub oldest_uncaptured: Option<i64>,
    /// Whether the wal-index was found to be damaged.
    pub is_damaged: bool,
    /// In words, by which other names somebody may have the file open, and write another log.
    pub other_names: Option<String>,
}

impl LogStatusHandle {
    /// Looks, unless the follower is gone. A few system calls; waits for nothing.
    #[must_use]
    pub fn read(&self) -> Option<LogStatus> {
        let sources = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Sources { shm, paths, observed, damaged } = sources.as_ref()?;
        let index = peek(shm).ok().and_then(Result::ok);
        Some(LogStatus {
            frames: index.map(|index| index.frames),
            file_bytes: std::fs::metadata(&paths.wal).map_or(0, |metadata| metadata.len()),
            readers: readers(shm),
            oldest_uncaptured: observed.lock().unwrap_or_else(PoisonError::into_inner).oldest(),
            is_damaged: damaged.load(Ordering::Relaxed),
            other_names: other_names(&paths.database),
        })
    }
}

/// The follower's end of its gauge.
#[derive(Debug)]
pub(crate) struct LogStatusOwner(LogStatusHandle);

impl LogStatusOwner {
    pub(crate) fn new(
        shm: Arc<File>,
        paths: Paths,
        observed: Arc<Mutex<Observed>>,
        damaged: Arc<AtomicBool>,
    ) -> LogStatusOwner {
        LogStatusOwner(LogStatusHandle(Arc::new(Mutex::new(Some(Sources {
            shm,
            paths,
            observed,
            damaged,
        })))))
    }

    pub(crate) fn handle(&self) -> LogStatusHandle {
        self.0.clone()
    }
}

impl Drop for LogStatusOwner {
    fn drop(&mut self) {
        // Waits for a look that is under way, which is short.
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}
