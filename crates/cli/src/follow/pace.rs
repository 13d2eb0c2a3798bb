//! How a task learns that there is something to do: by events while commits are few, by polling while they are many.
//!
//! An event a commit costs more than the commit's own shipping once there are thousands of them a second, and it costs
//! it on a processor that the application wants. So a busy log is not watched, and looked at every few milliseconds
//! instead; each look then finds many commits. The decision is a function of what was counted; time is an argument.
//!
//! An event comes when frames are written, and a commit is published only after that: with `synchronous = FULL` after the
//! disk has answered, and by a write to shared memory, which makes no event. So a wake-up that finds nothing is followed
//! by looks at short distances, which grow.

use std::time::{Duration, Instant};

/// Above this many wake-ups in a [`WINDOW`], polling is cheaper.
const WAKES_MAX: u32 = 100;
const WINDOW: Duration = Duration::from_millis(100);

/// How often a busy log is looked at. Also the error of a commit's time then.
const BUSY_INTERVAL: Duration = Duration::from_millis(2);

/// After so many looks that found nothing the log is watched again.
const EMPTY_LOOKS_MAX: u32 = 50;

/// After a wake-up that found nothing: for so long, so often.
const ALERTS: [(Duration, Duration); 3] = [
    (Duration::from_millis(30), Duration::from_millis(1)),
    (Duration::from_millis(250), Duration::from_millis(4)),
    (Duration::from_secs(2), Duration::from_millis(20)),
];

/// How often a log is looked at whose next put is a while off anyway: its commits are only dated as they come.
pub(crate) const HELD_BACK_INTERVAL: Duration = Duration::from_millis(100);

/// How often an idle log is looked at: whatever events were lost, this finds.
const IDLE_INTERVAL: Duration = Duration::from_secs(1);

/// The same once it has been idle for long: a thousand such databases should cost next to nothing.
const DORMANT_INTERVAL: Duration = Duration::from_secs(5);
const DORMANT_AFTER: Duration = Duration::from_secs(60);

/// The same where there are no events at all.
const BLIND_INTERVAL: Duration = Duration::from_millis(20);

/// How the log is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// When it is written.
    Events,
    /// Every few milliseconds.
    Polling,
}

/// Chooses the mode.
#[derive(Debug)]
pub(crate) struct Pace {
    mode: Mode,
    /// Whether there are events.
    sighted: bool,
    window: Instant,
    wakes: u32,
    empty_looks: u32,
    /// When a commit was last found.
    found: Instant,
    /// When a wake-up came for which no commit has been found yet.
    alert: Option<Instant>,
}

impl Pace {
    pub(crate) fn new(sighted: bool, now: Instant) -> Pace {
        Pace {
            mode: Mode::Events,
            sighted,
            window: now,
            wakes: 0,
            empty_looks: 0,
            found: now,
            alert: None,
        }
    }

    /// How long to wait for an event before looking anyway.
    pub(crate) fn interval(&self, now: Instant) -> Duration {
        let alert = self.alert.map(|since| now.saturating_duration_since(since));
        let soon = alert.and_then(|age| ALERTS.iter().find(|&&(until, _)| age < until));
        match (self.mode, self.sighted, soon) {
            (Mode::Polling, ..) => BUSY_INTERVAL,
            (Mode::Events, _, Some(&(_, interval))) => interval,
            (Mode::Events, true, None) if self.idle(now) < DORMANT_AFTER => IDLE_INTERVAL,
            (Mode::Events, true, None) => DORMANT_INTERVAL,
            (Mode::Events, false, None) => BLIND_INTERVAL,
        }
    }

    /// For how long no commit was found.
    pub(crate) fn idle(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.found)
    }

    /// The log was written.
    pub(crate) fn woken(&mut self, now: Instant) {
        self.alert = Some(now);
    }

    /// A look found something or nothing, after so many events; the new mode, if it changed.
    pub(crate) fn looked(&mut self, found: bool, events: u32, now: Instant) -> Option<Mode> {
        if found {
            (self.alert, self.found) = (None, now);
        }
        match self.mode {
            Mode::Events => {
                if now.saturating_duration_since(self.window) >= WINDOW {
                    (self.window, self.wakes) = (now, 0);
                }
                self.wakes += u32::from(found).max(events);
                (self.sighted && self.wakes > WAKES_MAX).then(|| self.change(Mode::Polling, now))
            }
            Mode::Polling => {
                self.empty_looks = if found { 0 } else { self.empty_looks + 1 };
                (self.empty_looks > EMPTY_LOOKS_MAX).then(|| self.change(Mode::Events, now))
            }
        }
    }

    fn change(&mut self, mode: Mode, now: Instant) -> Mode {
        (self.mode, self.window, self.wakes, self.empty_looks) = (mode, now, 0, 0);
        mode
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_log_is_polled_until_it_is_quiet_again() {
        let start = Instant::now();
        let mut pace = Pace::new(true, start);
        let changed: Vec<Mode> =
            (0..=WAKES_MAX).filter_map(|_| pace.looked(true, 1, start)).collect();
        assert_eq!(changed, [Mode::Polling]);
        assert_eq!(pace.interval(start), BUSY_INTERVAL);
        let mut quiet = (0..=EMPTY_LOOKS_MAX).filter_map(|_| pace.looked(false, 0, start));
        assert_eq!(quiet.next(), Some(Mode::Events));
    }

    #[test]
    fn a_commit_that_is_published_after_its_event_is_looked_for_until_it_is_there() {
        let start = Instant::now();
        let mut pace = Pace::new(true, start);
        assert_eq!(pace.interval(start), IDLE_INTERVAL);
        pace.woken(start);
        assert_eq!(pace.looked(false, 1, start), None);
        let after = |millis| start + Duration::from_millis(millis);
        assert_eq!(pace.interval(after(10)), Duration::from_millis(1));
        assert_eq!(pace.interval(after(100)), Duration::from_millis(4));
        assert_eq!(pace.interval(after(3000)), IDLE_INTERVAL);
        pace.woken(after(3000));
        assert_eq!(pace.looked(true, 1, after(3005)), None);
        assert_eq!(pace.interval(after(3005)), IDLE_INTERVAL);
    }

    #[test]
    fn two_hundred_commits_a_second_are_followed_by_events() {
        let start = Instant::now();
        let mut pace = Pace::new(true, start);
        for commit in 0..2000 {
            let now = start + Duration::from_millis(5) * commit;
            assert_eq!(pace.looked(true, 2, now), None, "commit {commit}");
        }
    }
}
