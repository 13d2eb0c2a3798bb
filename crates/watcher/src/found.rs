//! What a start, a rewind or the end of a rest finds in the log: frames from before the present hold began. Only these
//! can be lost, because a later hold replaces another one only once all frames before it are captured. So the restart
//! lock keeps the log until they are captured.

use crate::error::Error;
use crate::files::Paths;
use crate::lock_bytes::SharedLock;
use crate::shm::Shm;
use crate::tail::{Mark, Tail};

/// The log's end when the present hold began, and the lock that keeps the log up to there.
#[derive(Debug)]
pub(crate) struct Found {
    until: Mark,
    /// `None` once everything up to `until` is captured, and where the lock cannot be had. Then a restart of the log
    /// is noticed by its salts.
    restart_lock: Option<SharedLock>,
}

impl Found {
    /// With the restart lock, if it was taken.
    pub(crate) fn new(until: Mark, restart_lock: Option<SharedLock>) -> Found {
        Found { until, restart_lock }
    }

    /// Takes the restart lock, unless it is taken.
    pub(crate) fn take_restart_lock(&mut self, shm: &Shm, paths: &Paths) -> Result<(), Error> {
        if self.restart_lock.is_none() {
            self.restart_lock = shm.take_restart_lock(paths)?;
        }
        Ok(())
    }

    /// The log's end is another one.
    pub(crate) fn until(&mut self, until: Mark) {
        self.until = until;
    }

    /// Whether everything that was found is captured.
    pub(crate) fn is_captured(&self, tail: &Tail) -> bool {
        tail.covers(self.until)
    }

    /// Releases the restart lock once everything that was found is captured: from then on the holds keep the log.
    pub(crate) fn release_if_captured(&mut self, tail: &Tail) {
        if self.is_captured(tail) {
            self.restart_lock = None;
        }
    }
}
