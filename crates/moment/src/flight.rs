//! One fetch that many may wait for.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use tokio::sync::Notify;

use crate::error::Stopped;

/// The raw bytes of a block, or why there are none.
pub(crate) type Landed = Result<Arc<Vec<u8>>, Stopped>;

/// A block on its way.
#[derive(Debug, Default)]
pub(crate) struct Flight {
    outcome: OnceLock<Landed>,
    landed: Notify,
    /// How many wait for it, not counting guesses.
    waiting: AtomicUsize,
    abandoned: Notify,
}

/// One who waits, until it is dropped.
struct Waiting<'a>(&'a Flight);

impl Flight {
    /// Waits for it.
    pub(crate) async fn wait(&self) -> Landed {
        let _waiting = Waiting::new(self);
        loop {
            let landed = self.landed.notified();
            let mut landed = std::pin::pin!(landed);
            // Before the look, so that whoever lands in between is heard.
            landed.as_mut().enable();
            if let Some(outcome) = self.outcome.get() {
                return outcome.clone();
            }
            landed.await;
        }
    }

    /// Waits until nobody waits for it any more.
    pub(crate) async fn abandoned(&self) {
        self.abandoned.notified().await;
    }

    /// Ends it; the first time counts.
    pub(crate) fn land(&self, outcome: Landed) {
        self.outcome.get_or_init(|| outcome);
        self.landed.notify_waiters();
    }
}

impl<'a> Waiting<'a> {
    fn new(flight: &'a Flight) -> Waiting<'a> {
        flight.waiting.fetch_add(1, Ordering::AcqRel);
        Waiting(flight)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.0.waiting.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.abandoned.notify_one();
        }
    }
}
