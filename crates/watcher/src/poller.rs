//! The poller: a thread that polls the logs with many commits.
//!
//! Each commit causes two or three file events, and each event wakes a thread, which costs tens of microseconds of CPU
//! time. Polling every few milliseconds costs the same however often the log is written. One thread polls all
//! databases, and sleeps without a timer while there is none to poll.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::log_event::{Callback, Cause};
use crate::mutex::lock;

/// The poll interval, at least and at most. A commit timestamp is late by one interval at most.
const INTERVAL_MIN: Duration = Duration::from_micros(2_500);
const INTERVAL_MAX: Duration = Duration::from_millis(100);

/// If the busiest log has fewer new commits than this, the interval was too short.
const FINDS_MIN: u32 = 10;

/// If the busiest log has more new commits than this, the interval was too long: too many commits share a timestamp.
const FINDS_MAX: u32 = 20;

/// How often a log is polled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PollInterval {
    /// As often as its commits warrant: those of one interval share a commit timestamp.
    ByCommits,
    /// As often as possible.
    Shortest,
}

/// The thread, which ends when the `Poller` is dropped.
pub(crate) struct Poller(Arc<Shared>);

#[derive(Default)]
struct Shared {
    polled: Mutex<Polled>,
    changed: Condvar,
}

#[derive(Default)]
struct Polled {
    callbacks: HashMap<PathBuf, (PollInterval, Callback)>,
    ended: bool,
}

impl Poller {
    /// Starts the thread, with nothing to poll yet.
    pub(crate) fn begin() -> io::Result<Poller> {
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        thread::Builder::new().name("poller".to_owned()).spawn(move || theirs.run())?;
        Ok(Poller(shared))
    }

    /// Changes how often the file at `path` is polled. Returns whether it is polled.
    pub(crate) fn change(&self, path: &Path, interval: PollInterval) -> bool {
        let mut polled = lock(&self.0.polled);
        let known = polled.callbacks.get_mut(path);
        known.is_some_and(|(present, _)| {
            *present = interval;
            true
        })
    }

    /// Calls `callback` at each poll.
    pub(crate) fn add(&self, path: PathBuf, interval: PollInterval, callback: Callback) {
        lock(&self.0.polled).callbacks.insert(path, (interval, callback));
        self.0.changed.notify_one();
    }

    /// Stops polling a file. When this returns, its callback is not running either.
    pub(crate) fn remove(&self, path: &Path) {
        lock(&self.0.polled).callbacks.remove(path);
    }
}

impl Drop for Poller {
    fn drop(&mut self) {
        lock(&self.0.polled).ended = true;
        self.0.changed.notify_one();
    }
}

impl Shared {
    fn run(&self) {
        let mut interval = INTERVAL_MIN;
        loop {
            let mut polled = lock(&self.polled);
            while polled.callbacks.is_empty() && !polled.ended {
                polled = self.changed.wait(polled).unwrap_or_else(PoisonError::into_inner);
            }
            if polled.ended {
                return;
            }
            let next = polled.poll(interval);
            drop(polled);
            interval = next;
            thread::sleep(interval);
        }
    }
}

impl Polled {
    /// Polls all logs. Returns the next interval, which is the shortest that one of them needs.
    fn poll(&self, interval: Duration) -> Duration {
        let each = self.callbacks.values().map(|(wanted, callback)| {
            let found = callback(Cause::Poll);
            match wanted {
                PollInterval::ByCommits => next(interval, found),
                PollInterval::Shortest => INTERVAL_MIN,
            }
        });
        // `next` decreases with the number of commits, so the busiest log decides.
        each.min().unwrap_or(INTERVAL_MAX)
    }
}

/// The next poll interval, after a poll that found `found` commits in the busiest log.
fn next(interval: Duration, found: u32) -> Duration {
    let next = match found {
        ..FINDS_MIN => interval * 2,
        FINDS_MIN..=FINDS_MAX => interval,
        // In one step, because writers that were stopped resume all at once.
        _ => interval * FINDS_MAX / found,
    };
    next.clamp(INTERVAL_MIN, INTERVAL_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn polls_are_as_frequent_as_commits_warrant() {
        let pace = |commits_a_second: u32| {
            (0..20).fold(INTERVAL_MIN, |interval, _| {
                next(interval, (interval * commits_a_second).as_secs().try_into().unwrap())
            })
        };
        assert_eq!(pace(50), INTERVAL_MAX);
        assert_eq!(pace(1_000), Duration::from_millis(10));
        assert_eq!(pace(70_000), INTERVAL_MIN);
        assert_eq!(next(INTERVAL_MAX, 6_000), INTERVAL_MIN, "they come back all at once");
    }
}
