//! Decides when a put may go. Time is an argument.

use std::time::{Duration, Instant};

use crate::commit_rate::CommitRate;
use crate::rate_limiter::{Rate, RateLimiter};

/// A database with more commits than this in the last second is held to the sustained rate of puts.
const BUSY_COMMITS: u32 = 10;

/// A put that takes longer may be an outage.
const SLOW_PUT: Duration = Duration::from_secs(1);

/// The puts that one database may make: the sustained rate and a burst, which only a database with few commits may use.
/// A busy database would use up its burst within seconds.
#[derive(Debug)]
pub(crate) struct PutBudget {
    rate_limiter: RateLimiter,
    commit_rate: CommitRate,
    last_put: Option<Instant>,
}

impl PutBudget {
    /// A budget with the whole burst.
    pub(crate) fn new(rate: Rate, now: Instant) -> PutBudget {
        PutBudget {
            rate_limiter: RateLimiter::new(rate, now),
            commit_rate: CommitRate::new(now),
            last_put: None,
        }
    }

    /// Counts a commit.
    pub(crate) fn count_commit(&mut self, now: Instant) {
        self.commit_rate.count(now);
    }

    /// Takes a put from the budget if one may go now.
    ///
    /// # Errors
    /// The time to wait, if none may.
    pub(crate) fn take(&mut self, now: Instant) -> Result<(), Duration> {
        if let Some(wait) = self.wait_when_busy(now) {
            return Err(wait);
        }
        match self.rate_limiter.take(now) {
            true => Ok(()),
            false => Err(self.rate_limiter.wait(now)),
        }
    }

    /// Takes a put from the budget that must not wait.
    pub(crate) fn overdraw(&mut self, now: Instant) {
        self.rate_limiter.overdraw(now);
    }

    /// Notes that a put begins.
    pub(crate) fn note_put(&mut self, now: Instant) {
        self.last_put = Some(now);
    }

    /// Whether the last put began so recently that it is probably no outage.
    pub(crate) fn has_recent_put(&self, now: Instant) -> bool {
        self.last_put.is_some_and(|put| now.saturating_duration_since(put) < SLOW_PUT)
    }

    fn wait_when_busy(&mut self, now: Instant) -> Option<Duration> {
        if self.commit_rate.per_second(now) <= BUSY_COMMITS {
            return None;
        }
        let due = self.last_put? + self.rate_limiter.interval();
        due.checked_duration_since(now).filter(|wait| !wait.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn budget(now: Instant) -> PutBudget {
        PutBudget::new(Rate { per_second: 1.0, burst: 3.0 }, now)
    }

    #[test]
    fn a_quiet_database_uses_its_burst() {
        let start = Instant::now();
        let mut budget = budget(start);
        for _ in 0..3 {
            budget.count_commit(start);
            assert_eq!(budget.take(start), Ok(()));
            budget.note_put(start);
        }
        assert_eq!(budget.take(start), Err(SECOND));
        assert_eq!(budget.take(start + SECOND), Ok(()));
    }

    #[test]
    fn a_busy_database_is_held_to_the_sustained_rate() {
        let start = Instant::now();
        let mut budget = budget(start);
        (0..=BUSY_COMMITS).for_each(|_| budget.count_commit(start));
        assert_eq!(budget.take(start), Ok(()), "nothing was put yet");
        budget.note_put(start);
        let half = SECOND / 2;
        assert_eq!(budget.take(start + half), Err(half));
        assert_eq!(budget.take(start + SECOND), Ok(()));
    }

    #[test]
    fn a_put_is_recent_until_it_may_be_an_outage() {
        let start = Instant::now();
        let mut budget = budget(start);
        assert!(!budget.has_recent_put(start));
        budget.note_put(start);
        assert!(budget.has_recent_put(start + SECOND / 2));
        assert!(!budget.has_recent_put(start + SECOND));
    }
}
