//! How long something took, how often.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How long something took each time, counted by bounds.
#[derive(Debug)]
pub struct Durations {
    bounds: &'static [Duration],
    /// How often it took as long as a bound or less, and longer than the bound before; the last one has no bound.
    counts: Box<[AtomicU64]>,
    nanos: AtomicU64,
}

/// What was counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Distribution {
    /// How long all of it took together.
    pub sum: Duration,
    /// For each bound how often it took no longer than that, and longer than the bound before; the last one has no bound.
    pub counts: Vec<(Option<Duration>, u64)>,
}

impl Durations {
    /// Nothing has happened. `bounds` ascend.
    #[must_use]
    pub fn new(bounds: &'static [Duration]) -> Durations {
        debug_assert!(bounds.is_sorted(), "the bounds ascend");
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Durations { bounds, counts, nanos: AtomicU64::new(0) }
    }

    /// It has happened, and took so long.
    pub fn add(&self, took: Duration) {
        let at = self.bounds.partition_point(|bound| *bound < took);
        self.counts[at].fetch_add(1, Ordering::Relaxed);
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    /// What was counted. Its parts may be a moment apart.
    #[must_use]
    pub fn read(&self) -> Distribution {
        let bounds = self.bounds.iter().copied().map(Some).chain([None]);
        let counts = self.counts.iter().map(|count| count.load(Ordering::Relaxed));
        let sum = Duration::from_nanos(self.nanos.load(Ordering::Relaxed));
        Distribution { sum, counts: bounds.zip(counts).collect() }
    }
}

impl Distribution {
    /// How often it has happened.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().map(|(_, count)| count).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_took_as_long_as_a_bound_counts_below_it() {
        const MILLIS: [Duration; 2] = [Duration::from_millis(1), Duration::from_millis(5)];
        let durations = Durations::new(&MILLIS);
        for micros in [0, 999, 1000, 1001, 5000, 5001, 9_000_000] {
            durations.add(Duration::from_micros(micros));
        }
        let read = durations.read();
        let expected = vec![(Some(MILLIS[0]), 3), (Some(MILLIS[1]), 2), (None, 2)];
        assert_eq!(read.counts, expected);
        assert_eq!((read.count(), read.sum), (7, Duration::from_micros(9_013_001)));
    }
}
