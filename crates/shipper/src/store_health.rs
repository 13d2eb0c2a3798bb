//! The health of the store and the fill level of the spool, shared with the status report.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ebbtide_store::{Store, StoreError};

/// How often a continuing outage is logged again.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// A store that was back for less is away as before, for the log: one that refuses every third request is one outage.
const BACK_MIN: Duration = Duration::from_secs(10);

/// Whether requests to the store fail, and how much is spooled.
#[derive(Debug, Default)]
pub struct StoreHealth(Mutex<HealthState>);

#[derive(Debug, Default)]
struct HealthState {
    outage: Option<StoreOutage>,
    /// When an outage was last logged.
    logged: Option<Instant>,
    /// Whether the present one was.
    is_logged: bool,
    /// When the last one ended.
    back: Option<Instant>,
    outages_ended: u64,
    spooled: Spooled,
}

/// An outage: requests to the store fail.
#[derive(Debug, Clone)]
pub struct StoreOutage {
    /// The time of the first failure.
    pub since: Instant,
    /// The latest error with its causes.
    pub error: String,
    /// Whether retries cannot help, as with missing permissions.
    pub is_permanent: bool,
}

/// The fill level of the spool.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spooled {
    /// The number of segments.
    pub segments: u64,
    /// Their total size.
    pub bytes: u64,
}

impl StoreHealth {
    /// The current outage, if there is one.
    #[must_use]
    pub fn outage(&self) -> Option<StoreOutage> {
        self.state().outage.clone()
    }

    /// The fill level of the spool.
    #[must_use]
    pub fn spooled(&self) -> Spooled {
        self.state().spooled
    }

    pub(crate) fn note_failure(&self, store: &dyn Store, error: &StoreError) {
        let mut state = self.state();
        let now = Instant::now();
        let since = state.outage.as_ref().map_or(now, |outage| outage.since);
        if state.outage.is_none() && state.back.is_none_or(|back| now - back >= BACK_MIN) {
            state.logged = None;
        }
        if state.logged.is_none_or(|logged| now - logged >= LOG_INTERVAL) {
            (state.logged, state.is_logged) = (Some(now), true);
            let (store, failing) = (store.describe(), since.elapsed().as_secs());
            if error.is_permanent() {
                tracing::error!(%store, ?error, failing_seconds = failing, "cannot ship; the log waits");
            } else {
                tracing::warn!(%store, ?error, failing_seconds = failing, "the store is away; the log waits");
            }
        }
        let (error, is_permanent) = (error.with_causes(), error.is_permanent());
        state.outage = Some(StoreOutage { since, error, is_permanent });
    }

    pub(crate) fn note_success(&self, store: &dyn Store) {
        let mut state = self.state();
        if let Some(outage) = state.outage.take() {
            state.outages_ended += 1;
            state.back = Some(Instant::now());
            let (store, seconds) = (store.describe(), outage.since.elapsed().as_secs());
            if std::mem::take(&mut state.is_logged) {
                tracing::info!(%store, seconds, "the store is back");
            }
        }
    }

    /// The number of outages that have ended.
    pub(crate) fn outages_ended(&self) -> u64 {
        self.state().outages_ended
    }

    pub(crate) fn note_spooled(&self, spooled: Spooled) {
        self.state().spooled = spooled;
    }

    fn state(&self) -> MutexGuard<'_, HealthState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
