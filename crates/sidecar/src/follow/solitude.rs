//! When a database that nobody else has open goes to rest: a function of what was seen; time is an argument.
//!
//! An application that is started for each request, or a loop of commands, opens and closes the database all the time.
//! Emptying the log behind each of them would cost more than it is worth, and could be in the way of the next. So the
//! rest waits until nothing was opened or closed for a moment, which is shorter than any hand that moves a file.

use std::time::{Duration, Instant};

/// For how long nobody has come.
const QUIET: Duration = Duration::from_millis(30);

/// After an attempt that something was in the way of: twice as long each time, up to this.
const RETRY: Duration = Duration::from_millis(8);
const RETRY_MAX: Duration = Duration::from_secs(1);

/// Who waits for a sync waits for so many attempts, too: the next thing they do may be to move the file.
const PRESSED_ATTEMPTS: u32 = 4;

/// Since when nobody else has the database open.
#[derive(Debug, Default)]
pub(crate) struct Solitude {
    since: Option<Instant>,
    /// Attempts in a row that something was in the way of, and when the last of them was.
    failures: u32,
    failed: Option<Instant>,
    pressing: bool,
}

impl Solitude {
    /// A look showed whether another process has the database open, and whether one has opened or closed it, or
    /// committed, since the last look.
    pub(crate) fn looked(&mut self, is_open_elsewhere: bool, stirred: bool, now: Instant) {
        if is_open_elsewhere {
            *self = Solitude::default();
        } else if stirred || self.since.is_none() {
            *self = Solitude { since: Some(now), pressing: self.pressing, ..Solitude::default() };
        }
    }

    /// Somebody waits for the rest, if there is to be one.
    pub(crate) fn press(&mut self) {
        self.pressing = self.since.is_some();
    }

    /// Whether somebody still has to.
    pub(crate) fn is_pressing(&self) -> bool {
        self.pressing && self.failures < PRESSED_ATTEMPTS
    }

    /// How long until the next attempt is due; nothing while somebody else has the database open.
    pub(crate) fn due_in(&self, now: Instant) -> Option<Duration> {
        let quiet = if self.is_pressing() { Duration::ZERO } else { QUIET };
        let mut due = self.since? + quiet;
        if let Some(failed) = self.failed {
            let doubled = RETRY.saturating_mul(1 << self.failures.saturating_sub(1).min(16));
            due = due.max(failed + doubled.min(RETRY_MAX));
        }
        Some(due.saturating_duration_since(now))
    }

    /// Something was in the way of an attempt.
    pub(crate) fn failed(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        self.failed = Some(now);
    }

    /// The database is at rest, or was roused: the next look begins anew.
    pub(crate) fn reset(&mut self) {
        *self = Solitude::default();
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
        let mut solitude = Solitude::default();
        assert_eq!(solitude.due_in(start), None, "nobody has looked");
        solitude.looked(true, false, start);
        assert_eq!(solitude.due_in(start), None);
        solitude.looked(false, false, at(1));
        assert_eq!(solitude.due_in(at(1)), Some(QUIET));
        solitude.looked(false, true, at(20));
        assert_eq!(solitude.due_in(at(31)), Some(Duration::from_millis(19)), "somebody came by");
        solitude.looked(false, false, at(49));
        assert_eq!(solitude.due_in(at(50)), ZERO);
    }

    #[test]
    fn attempts_that_fail_become_rarer() {
        let start = Instant::now();
        let mut solitude = Solitude::default();
        solitude.looked(false, false, start);
        let now = start + QUIET;
        let mut waits = Vec::new();
        for _ in 0..12 {
            solitude.failed(now);
            waits.push(solitude.due_in(now).unwrap());
        }
        assert_eq!((waits[0], waits[1], waits[11]), (RETRY, RETRY * 2, RETRY_MAX));
    }

    #[test]
    fn who_waits_for_a_sync_does_not_wait_for_quiet_nor_for_ever() {
        let start = Instant::now();
        let mut solitude = Solitude::default();
        solitude.press();
        assert!(!solitude.is_pressing(), "somebody may have it open");
        solitude.looked(false, true, start);
        solitude.press();
        assert_eq!((solitude.is_pressing(), solitude.due_in(start)), (true, ZERO));
        for _ in 0..PRESSED_ATTEMPTS {
            assert!(solitude.is_pressing());
            solitude.failed(start);
        }
        assert!(!solitude.is_pressing());
    }
}
