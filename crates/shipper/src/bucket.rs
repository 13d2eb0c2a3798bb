//! The token bucket that keeps the number of puts, and so the bill, bounded.
//!
//! A quiet database has a full bucket, so that each of its commits goes at once. A busy one empties it, and from then on
//! pays what the rate allows, with more commits in each put. Time is an argument.

use std::time::{Duration, Instant};

/// How many puts are allowed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// In the long run, each second. Above 0.
    pub per_second: f64,
    /// At once, after a rest. At least 1.
    pub burst: f64,
}

impl Rate {
    /// How long it alone would have one wait between two puts.
    #[must_use]
    pub fn interval(&self) -> Duration {
        Duration::try_from_secs_f64(1.0 / self.per_second).unwrap_or(Duration::MAX)
    }
}

/// Tokens, one for each put.
#[derive(Debug, Clone)]
pub struct Bucket {
    rate: Rate,
    tokens: f64,
    counted: Instant,
}

impl Bucket {
    /// A full bucket.
    #[must_use]
    pub fn new(rate: Rate, now: Instant) -> Bucket {
        Bucket { rate, tokens: rate.burst, counted: now }
    }

    /// Takes a token, if there is one.
    pub fn take(&mut self, now: Instant) -> bool {
        self.count(now);
        let is_there = self.tokens >= 1.0;
        if is_there {
            self.tokens -= 1.0;
        }
        is_there
    }

    /// Takes a token that may not be there yet: something could not wait. After a load of many full segments, a single
    /// commit waits for no more than two.
    pub fn overdraw(&mut self, now: Instant) {
        self.count(now);
        self.tokens = (self.tokens - 1.0).max(-1.0);
    }

    /// How long the rate alone would have one wait between two puts.
    #[must_use]
    pub fn interval(&self) -> Duration {
        self.rate.interval()
    }

    /// How long until there is a token.
    pub fn wait(&mut self, now: Instant) -> Duration {
        self.count(now);
        let missing = (1.0 - self.tokens).max(0.0);
        Duration::try_from_secs_f64(missing / self.rate.per_second).unwrap_or(Duration::MAX)
    }

    fn count(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.counted).as_secs_f64();
        self.tokens = (self.tokens + passed * self.rate.per_second).min(self.rate.burst);
        self.counted = self.counted.max(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rest_saves_up_a_burst_and_no_more() {
        let start = Instant::now();
        let mut bucket = Bucket::new(Rate { per_second: 1.0, burst: 3.0 }, start);
        let taken = |bucket: &mut Bucket, at| (0..10).filter(|_| bucket.take(at)).count();
        assert_eq!(taken(&mut bucket, start), 3);
        assert_eq!(bucket.wait(start), Duration::from_secs(1));
        assert_eq!(taken(&mut bucket, start + Duration::from_millis(2500)), 2);
        assert_eq!(taken(&mut bucket, start + Duration::from_secs(3600)), 3);
    }

    #[test]
    fn what_could_not_wait_is_paid_for_later() {
        let start = Instant::now();
        let mut bucket = Bucket::new(Rate { per_second: 2.0, burst: 1.0 }, start);
        (0..100).for_each(|_| bucket.overdraw(start));
        assert!(!bucket.take(start));
        assert_eq!(bucket.wait(start), Duration::from_secs(1));
    }
}
