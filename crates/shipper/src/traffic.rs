//! How many commits come in a second. Time is an argument.

use std::time::{Duration, Instant};

const SLICES: usize = 4;
const SLICE: Duration = Duration::from_millis(250);

/// Counts the commits of the last second, in quarters.
#[derive(Debug, Clone)]
pub(crate) struct Traffic {
    slices: [u32; SLICES],
    at: usize,
    began: Instant,
}

impl Traffic {
    pub(crate) fn new(now: Instant) -> Traffic {
        Traffic { slices: [0; SLICES], at: 0, began: now }
    }

    /// A commit came.
    pub(crate) fn count(&mut self, now: Instant) {
        self.turn(now);
        self.slices[self.at] = self.slices[self.at].saturating_add(1);
    }

    /// How many came in the last second.
    pub(crate) fn per_second(&mut self, now: Instant) -> u32 {
        self.turn(now);
        self.slices.iter().fold(0, |sum, &slice| sum.saturating_add(slice))
    }

    fn turn(&mut self, now: Instant) {
        for _ in 0..SLICES {
            if now.saturating_duration_since(self.began) < SLICE {
                return;
            }
            self.at = (self.at + 1) % SLICES;
            self.slices[self.at] = 0;
            self.began += SLICE;
        }
        // More than a second passed at once: nothing of it counts any more.
        self.began = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_second_counts() {
        let start = Instant::now();
        let mut traffic = Traffic::new(start);
        for commit in 0..200 {
            traffic.count(start + Duration::from_millis(5) * commit);
        }
        let after = start + Duration::from_secs(1);
        assert!((150..=200).contains(&traffic.per_second(after)));
        assert!(traffic.per_second(after + Duration::from_millis(600)) < 100);
        assert_eq!(traffic.per_second(after + Duration::from_secs(60)), 0);
    }
}
