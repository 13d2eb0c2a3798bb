//! How far behind the replica is: the ages of commits that are captured and not durable.

use std::collections::VecDeque;

use ebbtide_replica::{Point, Timestamp, Txid};

/// The largest number of runs. Beyond it neighbours are merged, so the lag may be that of a commit which has just become
/// durable: too long, never too short.
const RUNS_MAX: usize = 256;

/// Consecutive commits, as one.
#[derive(Debug, Clone, Copy)]
struct Run {
    /// The time of the first.
    first: Timestamp,
    /// The last.
    last: Txid,
    count: u64,
}

/// Commits that are not durable, oldest first.
#[derive(Debug)]
pub(crate) struct Undurable {
    runs: VecDeque<Run>,
    /// How many commits a run takes. It doubles whenever there would be too many runs.
    count_max: u64,
}

impl Undurable {
    pub(crate) fn new() -> Undurable {
        Undurable { runs: VecDeque::new(), count_max: 1 }
    }

    /// Takes note of a captured commit.
    pub(crate) fn captured(&mut self, commit: Point) {
        if let Some(run) = self.runs.back_mut().filter(|run| run.count < self.count_max) {
            (run.last, run.count) = (commit.txid, run.count + 1);
            return;
        }
        if self.runs.len() == RUNS_MAX {
            self.count_max *= 2;
            let pairs = self.runs.make_contiguous().chunks(2);
            let join = |pair: &[Run]| {
                let (first, last) = pair.first().zip(pair.last())?;
                let count = pair.iter().map(|run| run.count).sum();
                Some(Run { first: first.first, last: last.last, count })
            };
            self.runs = pairs.filter_map(join).collect();
        }
        self.runs.push_back(Run { first: commit.time, last: commit.txid, count: 1 });
    }

    /// Takes note that every commit up to `txid` is durable.
    pub(crate) fn durable(&mut self, txid: Txid) {
        while self.runs.front().is_some_and(|run| run.last <= txid) {
            self.runs.pop_front();
        }
        if self.runs.is_empty() {
            self.count_max = 1;
        }
    }

    /// Forgets all commits: a new session captures again what was not durable.
    pub(crate) fn forget(&mut self) {
        *self = Undurable::new();
    }

    /// The time of the oldest commit that is not durable.
    pub(crate) fn oldest(&self) -> Option<Timestamp> {
        self.runs.front().map(|run| run.first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit(number: u64) -> Point {
        let time = Timestamp::from_micros(i64::try_from(number).unwrap() * 1000).unwrap();
        Point { txid: Txid::new(number).unwrap(), time }
    }

    fn oldest(undurable: &Undurable) -> Option<i64> {
        undurable.oldest().map(|time| time.as_micros() / 1000)
    }

    #[test]
    fn the_oldest_commit_that_is_not_durable_tells_the_lag() {
        let mut undurable = Undurable::new();
        assert_eq!(oldest(&undurable), None);
        for number in 1..=10 {
            undurable.captured(commit(number));
        }
        undurable.durable(commit(4).txid);
        assert_eq!(oldest(&undurable), Some(5));
        undurable.durable(commit(10).txid);
        assert_eq!(oldest(&undurable), None);
    }

    #[test]
    fn a_million_commits_take_bounded_room_and_the_lag_is_never_too_short() {
        let mut undurable = Undurable::new();
        for number in 1..=1_000_000 {
            undurable.captured(commit(number));
            assert!(undurable.runs.len() <= RUNS_MAX);
        }
        assert_eq!(oldest(&undurable), Some(1));
        undurable.durable(commit(600_000).txid);
        assert!(oldest(&undurable).unwrap() <= 600_001);
        assert!(oldest(&undurable).unwrap() > 580_000, "{:?}", oldest(&undurable));
        undurable.durable(commit(1_000_000).txid);
        assert_eq!(oldest(&undurable), None);
    }
}
