//! A token bucket that limits the rate of puts, and so the bill.
//!
//! While few commits come, tokens are available and each commit is put immediately. Under load the bucket is empty,
//! puts happen at the configured rate, and each put carries more commits. Time is an argument.

use std::time::{Duration, Instant};

/// The allowed rate of puts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// The sustained rate. Above 0.
    pub per_second: f64,
    /// The capacity of the token bucket. At least 1.
    pub burst: f64,
}

impl Rate {
    /// The time between two puts at the sustained rate.
    #[must_use]
    pub fn interval(&self) -> Duration {
        Duration::try_from_secs_f64(1.0 / self.per_second).unwrap_or(Duration::MAX)
    }
}

/// A token bucket. Each put takes one token.
#[derive(Debug, Clone)]
pub struct RateLimiter {
    rate: Rate,
    tokens: f64,
    counted: Instant,
}

impl RateLimiter {
    /// A rate limiter with all its tokens.
    #[must_use]
    pub fn new(rate: Rate, now: Instant) -> RateLimiter {
        RateLimiter { rate, tokens: rate.burst, counted: now }
    }

    /// Takes a token, if there is one. Returns whether there was.
    pub fn take(&mut self, now: Instant) -> bool {
        self.count(now);
        let is_there = self.tokens >= 1.0;
        if is_there {
            self.tokens -= 1.0;
        }
        is_there
    }

    /// Takes a token even if there is none, for a put that must not wait. The debt is at most one token, so after many
    /// full segments the next commit waits for at most two tokens.
    pub fn overdraw(&mut self, now: Instant) {
        self.count(now);
        self.tokens = (self.tokens - 1.0).max(-1.0);
    }

    /// The time between two puts at the sustained rate.
    #[must_use]
    pub fn interval(&self) -> Duration {
        self.rate.interval()
    }

    /// The time until there is a token.
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
    fn an_idle_limiter_saves_up_one_burst_and_no_more() {
        let start = Instant::now();
        let mut rate_limiter = RateLimiter::new(Rate { per_second: 1.0, burst: 3.0 }, start);
        let taken =
            |rate_limiter: &mut RateLimiter, at| (0..10).filter(|_| rate_limiter.take(at)).count();
        assert_eq!(taken(&mut rate_limiter, start), 3);
        assert_eq!(rate_limiter.wait(start), Duration::from_secs(1));
        assert_eq!(taken(&mut rate_limiter, start + Duration::from_millis(2500)), 2);
        assert_eq!(taken(&mut rate_limiter, start + Duration::from_secs(3600)), 3);
    }

    #[test]
    fn an_overdraft_delays_the_next_put() {
        let start = Instant::now();
        let mut rate_limiter = RateLimiter::new(Rate { per_second: 2.0, burst: 1.0 }, start);
        (0..100).for_each(|_| rate_limiter.overdraw(start));
        assert!(!rate_limiter.take(start));
        assert_eq!(rate_limiter.wait(start), Duration::from_secs(1));
    }
}
