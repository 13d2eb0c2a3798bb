//! State that the databases of one process share: watches, buffers, limits, the process's identity.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use ebbtide_shipper::Owner;
use ebbtide_store::{Pace, RequestDurations};
use ebbtide_watcher::{Scratch, Wake};
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

use super::starts::Starts;
use crate::hooks::Hooks;

/// The number of buffers that are retained for the next use. More are in use only while more threads capture.
const SCRATCHES_KEPT: usize = 4;

/// The number of databases that are read whole at a time, for a first snapshot or a comparison. It bounds the memory of
/// a process that starts with a thousand databases.
const WHOLE_READS: usize = 8;

/// The number of mirrors to which a whole replica is copied at a time. It bounds the memory of a process that has many.
const MIRRORS: usize = 4;

/// State of one process. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Shared {
    /// The watches on logs. Nothing where the kernel has none to give: then tasks poll.
    pub wake: Option<Arc<Wake>>,
    /// The identity of the process, as its claims have it.
    pub owner: Arc<Owner>,
    /// What the program around does beside.
    pub(crate) hooks: Hooks,
    /// When the process began.
    pub(crate) began: Instant,
    /// The starts of the databases.
    pub(crate) starts: Arc<Starts>,
    /// How long requests to stores took.
    pub(crate) durations: Arc<RequestDurations>,
    /// How fast objects are sent, by all databases together.
    pub(crate) pace: Arc<Pace>,
    scratches: Arc<Mutex<Vec<Scratch>>>,
    whole_reads: Arc<Semaphore>,
    prunes: Arc<Semaphore>,
    mirrors: Arc<Semaphore>,
}

impl Shared {
    /// For the databases of this process.
    #[must_use]
    pub fn new(owner: Owner, hooks: Hooks) -> Shared {
        let wake = match Wake::new() {
            Ok(wake) => Some(Arc::new(wake)),
            Err(error) => {
                tracing::warn!(%error, "cannot watch files; polling instead");
                None
            }
        };
        Shared {
            wake,
            owner: Arc::new(owner),
            began: Instant::now(),
            starts: Arc::new(Starts::new(hooks.started)),
            pace: Arc::new(Pace::new(hooks.bytes_per_second)),
            hooks,
            durations: Arc::default(),
            scratches: Arc::default(),
            whole_reads: Arc::new(Semaphore::new(WHOLE_READS)),
            prunes: Arc::new(Semaphore::new(1)),
            mirrors: Arc::new(Semaphore::new(MIRRORS)),
        }
    }

    /// A permit to read a database, or most of it, if one is free.
    pub(crate) fn try_turn(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.whole_reads).try_acquire_owned().ok()
    }

    /// Waits for a permit to read a whole database. The permit lasts as long as the returned value.
    pub(crate) async fn turn(&self) -> Result<OwnedSemaphorePermit, AcquireError> {
        Arc::clone(&self.whole_reads).acquire_owned().await
    }

    /// Waits for a permit to prune a replica: one at a time, because nobody waits for it.
    pub(crate) async fn prune_turn(&self) -> Result<OwnedSemaphorePermit, AcquireError> {
        Arc::clone(&self.prunes).acquire_owned().await
    }

    /// Waits for a permit to copy a whole replica to a mirror.
    pub(crate) async fn mirror_turn(&self) -> Result<OwnedSemaphorePermit, AcquireError> {
        Arc::clone(&self.mirrors).acquire_owned().await
    }

    /// Lends a buffer to `work`.
    pub(crate) fn with_scratch<T>(&self, work: impl FnOnce(&mut Scratch) -> T) -> T {
        let kept = self.scratches.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut scratch = kept.unwrap_or_default();
        let result = work(&mut scratch);
        let mut scratches = self.scratches.lock().unwrap_or_else(PoisonError::into_inner);
        if scratches.len() < SCRATCHES_KEPT {
            scratches.push(scratch);
        }
        result
    }
}
