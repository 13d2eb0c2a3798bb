//! What happened to a database since this process follows it, counted where it happens.

use std::sync::Arc;
use std::time::Instant;

use ebbtide_count::Counter;
use ebbtide_store::{Pace, RequestDurations, Traffic};
use ebbtide_watcher::LogCounts;

/// The counts of one database. They only grow, through all sessions.
#[derive(Debug)]
pub struct Counts {
    /// Commits that were captured.
    pub commits: Counter,
    /// Pages of these commits.
    pub pages: Counter,
    /// Bytes of these pages.
    pub bytes: Counter,
    /// Sessions that were begun: one at a start, and another one after each that failed.
    pub sessions: Counter,
    /// Sessions that failed.
    pub failures: Counter,
    /// Gaps that were recorded: history that was missed.
    pub gaps: Counter,
    /// Forks that were recorded: the database had lost what the replica has.
    pub forks: Counter,
    /// What was done to the log.
    pub log: Arc<LogCounts>,
    /// What went to the replica and its mirrors, and came from there.
    pub traffic: Arc<Traffic>,
    /// Since when all of this is counted.
    pub since: Instant,
}

impl Counts {
    /// Nothing has happened. How long requests take is counted in `durations`, and what is sent goes at `pace`.
    pub(crate) fn new(durations: Arc<RequestDurations>, pace: Arc<Pace>) -> Counts {
        let (commits, pages, bytes) = Default::default();
        let (sessions, failures, gaps, forks) = Default::default();
        let traffic = Arc::new(Traffic::new(durations, pace));
        let log = Arc::default();
        let since = Instant::now();
        Counts { commits, pages, bytes, sessions, failures, gaps, forks, log, traffic, since }
    }
}
