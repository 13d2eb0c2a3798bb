//! Ends what a connection is doing, also while it waits for the store.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::InterruptHandle;
use tokio::sync::Notify;

/// Whether what is being done is to end. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Cancel {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    is_cancelled: AtomicBool,
    noticed: Notify,
}

impl Cancel {
    /// Whether it is.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.shared.is_cancelled.load(Ordering::Acquire)
    }

    /// From now on it is.
    pub fn cancel(&self) {
        self.shared.is_cancelled.store(true, Ordering::Release);
        self.shared.noticed.notify_waiters();
    }

    /// From now on it is not, so that the connection can be used again.
    pub fn reset(&self) {
        self.shared.is_cancelled.store(false, Ordering::Release);
    }

    /// Waits until it is.
    pub(crate) async fn cancelled(&self) {
        loop {
            let noticed = self.shared.noticed.notified();
            let mut noticed = std::pin::pin!(noticed);
            noticed.as_mut().enable();
            if self.is_cancelled() {
                return;
            }
            noticed.await;
        }
    }
}

/// Ends what a connection is doing, from another thread: what SQLite computes and what waits for the store.
pub struct Canceller {
    pub(crate) cancel: Cancel,
    pub(crate) interrupt: InterruptHandle,
}

impl Canceller {
    /// Ends it. The statement fails, and [`Past::explain`](crate::Past::explain) says why; the connection does nothing more
    /// before [`Cancel::reset`].
    pub fn cancel(&self) {
        // First what a read looks at, because SQLite asks for no page after an interrupt, and may before.
        self.cancel.cancel();
        self.interrupt.interrupt();
    }
}

impl fmt::Debug for Canceller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Canceller").field(&self.cancel).finish()
    }
}
