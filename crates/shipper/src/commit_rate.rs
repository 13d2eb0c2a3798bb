//! The number of commits in the last second. Time is an argument.

use std::time::{Duration, Instant};

const SLICES: usize = 4;
const SLICE: Duration = Duration::from_millis(250);

/// Counts the commits of the last second in four slices.
#[derive(Debug, Clone)]
pub(crate) struct CommitRate {
    slices: [u32; SLICES],
    at: usize,
    began: Instant,
}

impl CommitRate {
    pub(crate) fn new(now: Instant) -> CommitRate {
        CommitRate { slices: [0; SLICES], at: 0, began: now }
    }

    /// Counts a commit.
    pub(crate) fn count(&mut self, now: Instant) {
        self.turn(now);
        self.slices[self.at] = self.slices[self.at].saturating_add(1);
    }

    /// The number of commits in the last second.
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
        // More than a second passed: all slices are empty.
        self.began = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_second_counts() {
        let start = Instant::now();
        let mut commit_rate = CommitRate::new(start);
        for commit in 0..200 {
            commit_rate.count(start + Duration::from_millis(5) * commit);
        }
        let after = start + Duration::from_secs(1);
        assert!((150..=200).contains(&commit_rate.per_second(after)));
        assert!(commit_rate.per_second(after + Duration::from_millis(600)) < 100);
        assert_eq!(commit_rate.per_second(after + Duration::from_secs(60)), 0);
    }
}
