//! What there is to be seen of a process: its databases and its counts, for whoever serves them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Acquire};

use ebbtide_count::Counter;
use ebbtide_store::RequestDurations;

use crate::hooks::LostLines;
use crate::sidecar::{Sidecar, Statuses};

/// All that a process shows of itself. Cheap to clone.
#[derive(Debug, Clone)]
pub struct View {
    /// The databases that are followed.
    pub statuses: Statuses,
    /// How long requests to stores took.
    pub durations: Arc<RequestDurations>,
    /// How many databases are not followed any more because of an error.
    pub stopped: Arc<Counter>,
    /// Whether the databases that are configured, and those that patterns name, were added, so that those of `statuses` are all
    /// of them.
    pub(crate) begun: Arc<AtomicBool>,
    /// Lines that could not be logged.
    pub(crate) unlogged: Option<fn() -> Option<LostLines>>,
}

impl View {
    /// All that there is to be seen of a sidecar.
    #[must_use]
    pub fn of(sidecar: &Sidecar) -> View {
        View {
            statuses: sidecar.statuses(),
            durations: Arc::clone(sidecar.durations()),
            stopped: Arc::clone(sidecar.stopped()),
            begun: Arc::clone(sidecar.begun()),
            unlogged: sidecar.hooks().unlogged,
        }
    }

    /// Of a process that follows nothing.
    #[must_use]
    pub fn nothing() -> View {
        let (statuses, durations, stopped) = Default::default();
        let begun = Arc::new(AtomicBool::new(true));
        View { statuses, durations, stopped, begun, unlogged: None }
    }

    /// Whether all databases were added that are configured one by one, or that patterns named at the beginning.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.begun.load(Acquire)
    }

    /// Lines that could not be logged, if there are any.
    #[must_use]
    pub fn unlogged(&self) -> Option<LostLines> {
        self.unlogged.and_then(|unlogged| unlogged())
    }
}
