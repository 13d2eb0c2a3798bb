//! What is wrong with a store, and what waits for it: shared with whoever reports it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ebbtide_store::{Store, StoreError};

/// How often an outage that goes on is logged again.
const REMIND: Duration = Duration::from_secs(60);

/// Whether the store is away, and how much lies in the spool.
#[derive(Debug, Default)]
pub struct Outage(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    trouble: Option<Trouble>,
    reminded: Option<Instant>,
    /// How many outages have ended.
    ended: u64,
    spooled: Spooled,
}

/// Why requests to the store fail.
#[derive(Debug, Clone)]
pub struct Trouble {
    /// Since when.
    pub since: Instant,
    /// The newest reason, with what it was caused by.
    pub error: String,
    /// Whether only a person can mend it.
    pub is_permanent: bool,
}

/// What lies in the spool.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spooled {
    /// How many segments.
    pub segments: u64,
    /// How long they are together.
    pub bytes: u64,
}

impl Outage {
    /// What is wrong; nothing while all is well.
    #[must_use]
    pub fn current(&self) -> Option<Trouble> {
        self.known().trouble.clone()
    }

    /// What lies in the spool.
    #[must_use]
    pub fn spooled(&self) -> Spooled {
        self.known().spooled
    }

    pub(crate) fn note(&self, store: &dyn Store, error: &StoreError) {
        let mut known = self.known();
        let now = Instant::now();
        let since = known.trouble.as_ref().map_or(now, |trouble| trouble.since);
        if known.reminded.is_none_or(|reminded| now - reminded >= REMIND) {
            known.reminded = Some(now);
            let (store, failing) = (store.describe(), since.elapsed().as_secs());
            if error.is_permanent() {
                tracing::error!(%store, ?error, failing_seconds = failing, "cannot ship; the log waits");
            } else {
                tracing::warn!(%store, ?error, failing_seconds = failing, "the store is away; the log waits");
            }
        }
        let (error, is_permanent) = (error.with_causes(), error.is_permanent());
        known.trouble = Some(Trouble { since, error, is_permanent });
    }

    pub(crate) fn end(&self, store: &dyn Store) {
        let mut known = self.known();
        known.reminded = None;
        if let Some(trouble) = known.trouble.take() {
            known.ended += 1;
            let (store, seconds) = (store.describe(), trouble.since.elapsed().as_secs());
            tracing::info!(%store, seconds, "the store is back");
        }
    }

    /// How many outages have ended.
    pub(crate) fn ended(&self) -> u64 {
        self.known().ended
    }

    pub(crate) fn note_spooled(&self, spooled: Spooled) {
        self.known().spooled = spooled;
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
