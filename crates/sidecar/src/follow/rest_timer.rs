//! When a database that no other process has open goes to rest. Time is an argument.
//!
//! An application that is started for each request, or a loop of commands, opens and closes the database all the time.
//! Truncating the log after each of them would cost more than it is worth, and could block the next one. So the rest
//! waits until nothing was opened or closed for 30 ms, which is shorter than it takes anybody to move a file.

use std::time::{Duration, Instant};

/// How long nothing was opened, closed or committed.
const QUIET: Duration = Duration::from_millis(30);

/// The pause after a failed attempt. It doubles with each one, up to the second constant.
const RETRY: Duration = Duration::from_millis(8);
const RETRY_MAX: Duration = Duration::from_secs(1);

/// How many attempts a client that waits for a sync waits for, too: it may move the file next.
const REQUESTED_ATTEMPTS: u32 = 4;

/// When the next attempt to rest is due.
#[derive(Debug, Default)]
pub(crate) struct RestTimer {
    /// Since when no other process has the database open and nothing happened.
    since: Option<Instant>,
    /// Failed attempts in a row, and the time of the last one.
    failures: u32,
    failed: Option<Instant>,
    is_requested: bool,
}

impl RestTimer {
    /// Takes note of whether another process has the database open, and whether anything was opened, closed or committed
    /// since the last call.
    pub(crate) fn observe(&mut self, is_open_elsewhere: bool, is_active: bool, now: Instant) {
        if is_open_elsewhere {
            *self = RestTimer::default();
        } else if is_active || self.since.is_none() {
            *self = RestTimer {
                since: Some(now),
                is_requested: self.is_requested,
                ..RestTimer::default()
            };
        }
    }

    /// A client waits for the rest, if no other process has the database open.
    pub(crate) fn request(&mut self) {
        self.is_requested = self.since.is_some();
    }

    /// Whether a client still waits for it.
    pub(crate) fn is_requested(&self) -> bool {
        self.is_requested && self.failures < REQUESTED_ATTEMPTS
    }

    /// How long until the next attempt is due. Nothing while another process has the database open.
    pub(crate) fn due_in(&self, now: Instant) -> Option<Duration> {
        let quiet = if self.is_requested() { Duration::ZERO } else { QUIET };
        let mut due = self.since? + quiet;
        if let Some(failed) = self.failed {
            let doubled = RETRY.saturating_mul(1 << self.failures.saturating_sub(1).min(16));
            due = due.max(failed + doubled.min(RETRY_MAX));
        }
        Some(due.saturating_duration_since(now))
    }

    /// An attempt failed.
    pub(crate) fn failed(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        self.failed = Some(now);
    }

    /// The database is at rest, or was roused.
    pub(crate) fn reset(&mut self) {
        *self = RestTimer::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ZERO: Option<Duration> = Some(Duration::ZERO);

    #[test]
    fn rest_is_due_once_nobody_has_come_for_a_moment() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut timer = RestTimer::default();
        assert_eq!(timer.due_in(start), None, "nobody has looked");
        timer.observe(true, false, start);
        assert_eq!(timer.due_in(start), None);
        timer.observe(false, false, at(1));
        assert_eq!(timer.due_in(at(1)), Some(QUIET));
        timer.observe(false, true, at(20));
        assert_eq!(timer.due_in(at(31)), Some(Duration::from_millis(19)), "somebody came by");
        timer.observe(false, false, at(49));
        assert_eq!(timer.due_in(at(50)), ZERO);
    }

    #[test]
    fn attempts_that_fail_become_rarer() {
        let start = Instant::now();
        let mut timer = RestTimer::default();
        timer.observe(false, false, start);
        let now = start + QUIET;
        let mut waits = Vec::new();
        for _ in 0..12 {
            timer.failed(now);
            waits.push(timer.due_in(now).unwrap());
        }
        assert_eq!((waits[0], waits[1], waits[11]), (RETRY, RETRY * 2, RETRY_MAX));
    }

    #[test]
    fn who_waits_for_a_sync_does_not_wait_for_quiet_nor_for_ever() {
        let start = Instant::now();
        let mut timer = RestTimer::default();
        timer.request();
        assert!(!timer.is_requested(), "somebody may have it open");
        timer.observe(false, true, start);
        timer.request();
        assert_eq!((timer.is_requested(), timer.due_in(start)), (true, ZERO));
        for _ in 0..REQUESTED_ATTEMPTS {
            assert!(timer.is_requested());
            timer.failed(start);
        }
        assert!(!timer.is_requested());
    }
}
