//! How a task learns of commits: by file events while commits are few, by polling while they are many.
//!
//! Each commit causes two or three events, which take more CPU time than its shipping, and the application wants the
//! CPU. So a busy log is not watched; the polling thread reads its wal-index every few milliseconds, takes the commit
//! timestamps, and wakes the task if the commits are not to wait. The decision is a function of the counted events and
//! commits; time is an argument.
//!
//! An event comes when frames are written, and a commit is published only after that: with `synchronous = FULL` after
//! the disk has answered, and by a write to shared memory, which makes no event. So a wake-up that finds nothing is
//! followed by looks at short distances, which grow.

use std::time::{Duration, Instant};

/// The count per second from which on polling is cheaper than events.
const OFTEN: Count = Count { writes: 1000, commits: 50 };

/// The count per second below which events are cheaper again.
const SELDOM: Count = Count { writes: 300, commits: 30 };

/// The least time over which events are counted.
const WINDOW: Duration = Duration::from_millis(250);

/// Polls after a wake-up that found no commit: until this long after it, at this interval.
const ALERTS: [(Duration, Duration); 3] = [
    (Duration::from_millis(30), Duration::from_millis(1)),
    (Duration::from_millis(250), Duration::from_millis(4)),
    (Duration::from_secs(2), Duration::from_millis(20)),
];

/// If the next put is further off than this, commits are only dated as they come, and captured together before it.
pub(crate) const HELD_BACK_MIN: Duration = Duration::from_millis(100);

/// The poll interval of the task after the writers of a busy log were stopped, and for how long: the polling thread
/// found no commit during the stop, so its next poll may be late.
const STOPPED_INTERVAL: Duration = Duration::from_millis(3);
const STOPPED: Duration = Duration::from_millis(150);

/// The poll interval of an idle log, which finds commits whose events were lost.
const IDLE_INTERVAL: Duration = Duration::from_secs(1);

/// The poll interval once the log has been idle for a while: a thousand such databases should cost next to nothing.
pub(crate) const DORMANT_INTERVAL: Duration = Duration::from_secs(5);
const DORMANT_AFTER: Duration = Duration::from_secs(10);

/// The poll interval where there are no events.
const BLIND_INTERVAL: Duration = Duration::from_millis(20);

/// How a task learns of commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// At file events.
    Events,
    /// By polling, so that commits of one interval share a timestamp.
    Polling,
    /// By polling at the least interval: few commits write so many frames that there would be too many events.
    ClosePolling,
}

/// How busy a log was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Count {
    /// Events, or frames that polls have found.
    pub(crate) writes: u32,
    pub(crate) commits: u32,
}

/// Chooses the mode.
#[derive(Debug)]
pub(crate) struct Pace {
    mode: Mode,
    /// Whether there are events.
    has_events: bool,
    window: Instant,
    /// What was counted since then.
    count: Count,
    /// When a commit was last found.
    found: Instant,
    /// When a wake-up came for which no commit has been found yet.
    alert: Option<Instant>,
    /// When writers were last stopped.
    stopped: Option<Instant>,
}

impl Pace {
    pub(crate) fn new(has_events: bool, now: Instant) -> Pace {
        Pace {
            mode: Mode::Events,
            has_events,
            window: now,
            count: Count::default(),
            found: now,
            alert: None,
            stopped: None,
        }
    }

    /// How long to wait for an event before looking anyway.
    pub(crate) fn interval(&self, now: Instant) -> Duration {
        let alert = self.alert.map(|since| now.saturating_duration_since(since));
        let soon = alert.and_then(|age| ALERTS.iter().find(|&&(until, _)| age < until));
        let stopped =
            self.stopped.is_some_and(|then| now.saturating_duration_since(then) < STOPPED);
        match (self.mode, self.has_events, soon) {
            (Mode::Polling | Mode::ClosePolling, ..) if stopped => STOPPED_INTERVAL,
            (Mode::Polling | Mode::ClosePolling, ..) => IDLE_INTERVAL,
            (Mode::Events, _, Some(&(_, interval))) => interval,
            (Mode::Events, true, None) if self.idle(now) < DORMANT_AFTER => IDLE_INTERVAL,
            (Mode::Events, true, None) => DORMANT_INTERVAL,
            (Mode::Events, false, None) => BLIND_INTERVAL,
        }
    }

    /// Whether the log is polled, and not watched.
    pub(crate) fn is_polling(&self) -> bool {
        self.mode != Mode::Events
    }

    /// For how long no commit was found.
    pub(crate) fn idle(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.found)
    }

    /// The log was written.
    pub(crate) fn woken(&mut self, now: Instant) {
        self.alert = Some(now);
    }

    /// Writers were stopped for a moment, and come back all at once.
    pub(crate) fn stopped(&mut self, now: Instant) {
        self.stopped = Some(now);
    }

    /// Whether a commit may be under way that the log's last write was for.
    pub(crate) fn is_alert(&self) -> bool {
        self.alert.is_some()
    }

    /// There is no such commit.
    pub(crate) fn calm(&mut self) {
        self.alert = None;
    }

    /// Takes note of a scan of the log and of the events since the last one. Returns the new mode, if it changes.
    pub(crate) fn looked(&mut self, found: bool, count: Count, now: Instant) -> Option<Mode> {
        if found {
            (self.alert, self.found) = (None, now);
        }
        self.count.writes = self.count.writes.saturating_add(count.writes);
        self.count.commits = self.count.commits.saturating_add(count.commits);
        let elapsed = now.saturating_duration_since(self.window);
        if elapsed < WINDOW {
            return None;
        }
        let in_elapsed = |per_second: u32| f64::from(per_second) * elapsed.as_secs_f64();
        let commits = |limit: Count| f64::from(self.count.commits) > in_elapsed(limit.commits);
        let writes = |limit: Count| f64::from(self.count.writes) > in_elapsed(limit.writes);
        let many = commits(if self.mode == Mode::Polling { SELDOM } else { OFTEN });
        let heavy = writes(if self.mode == Mode::Events { OFTEN } else { SELDOM });
        let mode = match (many, heavy) {
            _ if !self.has_events => self.mode,
            (true, _) => Mode::Polling,
            (false, true) => Mode::ClosePolling,
            (false, false) => Mode::Events,
        };
        (self.window, self.count) = (now, Count::default());
        let changed = mode != self.mode;
        self.mode = mode;
        changed.then_some(mode)
    }
}

/// How long to wait instead of `interval`, so that idle databases of a process that `began` then look at the same
/// moments: what idling costs is waking up, and a thousand of them wake up once.
pub(crate) fn together(interval: Duration, began: Instant, now: Instant) -> Duration {
    if interval < IDLE_INTERVAL {
        return interval;
    }
    let past = now.saturating_duration_since(began).as_secs_f64() % interval.as_secs_f64();
    interval.saturating_sub(Duration::from_secs_f64(past))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Count = Count { writes: 1, commits: 1 };

    #[test]
    fn a_busy_log_is_polled_until_it_is_quiet_again() {
        let start = Instant::now();
        let mut pace = Pace::new(true, start);
        let after = |millis| start + Duration::from_millis(millis);
        let commits = |commits| Count { writes: 2 * commits, commits };
        assert_eq!(pace.looked(true, commits(100), after(100)), None, "it may be a burst");
        assert_eq!(pace.looked(true, commits(100), after(1000)), Some(Mode::Polling));
        assert_eq!(pace.interval(after(1000)), IDLE_INTERVAL);
        assert_eq!(pace.looked(true, commits(40), after(2000)), None);
        assert_eq!(pace.looked(false, commits(0), after(2100)), None, "more may come");
        assert_eq!(pace.looked(true, commits(20), after(3000)), Some(Mode::Events));
    }

    #[test]
    fn after_writers_were_stopped_the_task_does_not_wait_for_the_next_poll() {
        let start = Instant::now();
        let mut pace = Pace::new(true, start);
        let after = |millis| start + Duration::from_millis(millis);
        let many = Count { writes: 2000, commits: 1000 };
        assert_eq!(pace.looked(true, many, after(1000)), Some(Mode::Polling));
        pace.stopped(after(2000));
        assert_eq!(pace.interval(after(2000)), STOPPED_INTERVAL);
        assert_eq!(pace.interval(after(2149)), STOPPED_INTERVAL);
        assert_eq!(pace.interval(after(2150)), IDLE_INTERVAL);
    }

    #[test]
    fn few_large_commits_are_dated_closely() {
        let start = Instant::now();
        let mut pace = Pace::new(true, start);
        let after = |seconds| start + Duration::from_secs(seconds);
        let large = Count { writes: 2000, commits: 20 };
        assert_eq!(pace.looked(true, large, after(1)), Some(Mode::ClosePolling));
        assert_eq!(pace.looked(true, large, after(2)), None);
        let many = Count { commits: 200, ..large };
        assert_eq!(pace.looked(true, many, after(3)), Some(Mode::Polling));
        assert_eq!(pace.looked(true, large, after(4)), Some(Mode::ClosePolling));
        assert_eq!(pace.looked(false, Count::default(), after(5)), Some(Mode::Events));
    }

    #[test]
    fn idle_databases_look_together() {
        let began = Instant::now();
        let at = |millis| began + Duration::from_millis(millis);
        for (now, looks) in [(0, 5000), (1, 5000), (4750, 5000), (5000, 10_000), (9000, 10_000)] {
            let wait = together(DORMANT_INTERVAL, began, at(now));
            assert_eq!(wait.as_millis(), u128::from(looks - now));
        }
        assert_eq!(together(BLIND_INTERVAL, began, at(7)), BLIND_INTERVAL);
    }

    #[test]
    fn a_commit_that_is_published_after_its_event_is_looked_for_until_it_is_there() {
        let start = Instant::now();
        let mut pace = Pace::new(true, start);
        assert_eq!(pace.interval(start), IDLE_INTERVAL);
        pace.woken(start);
        assert_eq!(pace.looked(false, ONE, start), None);
        let after = |millis| start + Duration::from_millis(millis);
        assert_eq!(pace.interval(after(10)), Duration::from_millis(1));
        assert_eq!(pace.interval(after(100)), Duration::from_millis(4));
        assert_eq!(pace.interval(after(3000)), IDLE_INTERVAL);
        pace.woken(after(3000));
        assert_eq!(pace.looked(true, ONE, after(3005)), None);
        assert_eq!(pace.interval(after(3005)), IDLE_INTERVAL);
    }

    #[test]
    fn twenty_commits_a_second_are_followed_by_events() {
        let start = Instant::now();
        let mut pace = Pace::new(true, start);
        for commit in 0..2000 {
            let now = start + Duration::from_millis(50) * commit;
            let count = Count { writes: 40, commits: 1 };
            assert_eq!(pace.looked(true, count, now), None, "commit {commit}");
        }
    }
}
