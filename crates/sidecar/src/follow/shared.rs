//! What the databases of one process share: wake-ups, buffers, who we are.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use ebbtide_shipper::Owner;
use ebbtide_watcher::{Scratch, Wake};
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

use super::starts::Starts;
use crate::hooks::Hooks;

/// So many buffers are kept for the next use; more are only in use at once when more threads capture at once.
const SCRATCHES_KEPT: usize = 4;

/// So many databases are read as a whole at once, for a first snapshot or a comparison. A process that starts with a
/// thousand databases would otherwise need the memory for all of them at the same moment.
const WHOLE_READS: usize = 8;

/// Shared by all tasks; cheap to clone.
#[derive(Debug, Clone)]
pub struct Shared {
    /// Wakes a task when its log is written; nothing where the system has no watches, so that tasks poll.
    pub wake: Option<Arc<Wake>>,
    /// Who claims the replicas.
    pub owner: Arc<Owner>,
    /// What the program around does beside.
    pub(crate) hooks: Hooks,
    /// When the process began.
    pub(crate) began: Instant,
    /// The starts of the databases.
    pub(crate) starts: Arc<Starts>,
    scratches: Arc<Mutex<Vec<Scratch>>>,
    whole_reads: Arc<Semaphore>,
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
            hooks,
            scratches: Arc::default(),
            whole_reads: Arc::new(Semaphore::new(WHOLE_READS)),
        }
    }

    /// Waits for its turn to read a whole database, which lasts as long as what is returned.
    pub(crate) async fn turn(&self) -> Result<OwnedSemaphorePermit, AcquireError> {
        Arc::clone(&self.whole_reads).acquire_owned().await
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
