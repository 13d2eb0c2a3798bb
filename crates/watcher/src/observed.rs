//! Commit timestamps. A commit's pages may be captured later; its timestamp is taken when the commit is first observed.

use std::collections::VecDeque;
use std::fs::File;
use std::sync::{Arc, Mutex};

use ebbtide_time::Timestamp;
use ebbtide_wal::{Index, Position, Salts};

use crate::lock_bytes::{is_open_elsewhere, is_write_locked};
use crate::mutex::lock;
use crate::shm::peek;

/// The maximum number of observations. Beyond it the oldest commits that are not captured share a later timestamp.
const OBSERVATIONS_MAX: usize = 65_536;

/// The log's end at a time.
#[derive(Debug, Clone, Copy)]
struct Observation {
    salts: Salts,
    frames: u32,
    time: Timestamp,
}

/// Takes commit timestamps on the thread that receives the file events of the log. That thread does nothing else, so
/// the timestamps are right even while the database's own thread captures frames or waits for the disk.
#[derive(Debug, Clone)]
pub struct Observer {
    shm: Arc<File>,
    observed: Arc<Mutex<Observed>>,
}

impl Observer {
    pub(crate) fn new(shm: Arc<File>, observed: Arc<Mutex<Observed>>) -> Observer {
        Observer { shm, observed }
    }

    /// Records `time` as the timestamp of new commits. If the wal-index cannot be read now, the
    /// next observation finds them.
    #[must_use]
    pub fn see(&self, time: Timestamp) -> Seen {
        // Reading under the mutex keeps two threads from recording an older end of the log after a newer one.
        let mut observed = lock(&self.observed);
        let Ok(Ok(index)) = peek(&self.shm) else { return Seen::default() };
        observed.see(&index, time)
    }

    /// Whether another process has the database open.
    #[must_use]
    pub fn is_open_elsewhere(&self) -> bool {
        is_open_elsewhere(&self.shm)
    }

    /// As [`Observer::see`], after a write into the log; `None` while its transaction has not ended.
    ///
    /// A writer has the write lock until its commit is published. So a frame that was written before a moment at which
    /// the write lock is free is committed or rolled back at that moment.
    #[must_use]
    pub fn see_written(&self, time: Timestamp) -> Option<Seen> {
        let seen = self.see(time);
        if seen.frames > 0 {
            return Some(seen);
        }
        (!is_write_locked(&self.shm)).then(|| self.see(time))
    }
}

/// What one observation found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Seen {
    /// The number of new commits since the last observation, by the wal-index's change counter.
    pub commits: u32,
    /// The number of new committed frames since the last observation.
    pub frames: u32,
    /// The number of committed frames that are not captured.
    pub uncaptured: u32,
}

/// The observed ends of the log that are not captured, oldest first.
#[derive(Debug)]
pub(crate) struct Observed {
    observations: VecDeque<Observation>,
    latest: Timestamp,
    /// The wal-index's change counter at the last observation.
    changes: u32,
    captured: Position,
}

impl Observed {
    /// No observation, for a history whose last commit timestamp is `latest` and whose last
    /// position is `captured`.
    pub(crate) fn after(latest: Timestamp, captured: Position) -> Observed {
        Observed { observations: VecDeque::new(), latest, changes: 0, captured }
    }

    /// All frames up to `position` were captured.
    pub(crate) fn captured(&mut self, position: Position) {
        self.captured = position;
        while self
            .observations
            .front()
            .is_some_and(|first| self.has_captured(first.salts, first.frames))
        {
            self.observations.pop_front();
        }
    }

    /// The timestamp of the oldest commit that was not captured.
    pub(crate) fn oldest(&self) -> Option<Timestamp> {
        self.observations.front().map(|first| first.time)
    }

    /// How many committed frames of `index` were not captured.
    fn uncaptured(&self, index: &Index) -> u32 {
        let captured = if index.salts == self.captured.salts { self.captured.frame } else { 0 };
        index.frames.saturating_sub(captured)
    }

    /// Whether all frames were captured. A log without frames has nothing to capture in any WAL generation.
    fn has_captured(&self, salts: Salts, frames: u32) -> bool {
        frames == 0 || salts == self.captured.salts && frames <= self.captured.frame
    }

    /// Records the log's end as of `index` at `time`. Timestamps do not decrease when the clock is set back.
    pub(crate) fn see(&mut self, index: &Index, time: Timestamp) -> Seen {
        let time = time.max(self.latest);
        let uncaptured = self.uncaptured(index);
        if self.has_captured(index.salts, index.frames) {
            return Seen { uncaptured, ..Seen::default() };
        }
        let known = self.observations.back().filter(|last| last.salts == index.salts);
        let frames = known.map_or(uncaptured, |last| index.frames.saturating_sub(last.frames));
        if frames == 0 {
            return Seen { uncaptured, ..Seen::default() };
        }
        let counted = index.changes.wrapping_sub(self.changes);
        (self.latest, self.changes) = (time, index.changes);
        if self.observations.len() == OBSERVATIONS_MAX {
            self.observations.pop_front();
        }
        self.observations.push_back(Observation { salts: index.salts, frames: index.frames, time });
        // A commit has at least one frame, and the change counter starts at any value.
        Seen { commits: counted.clamp(1, frames), frames, uncaptured }
    }

    /// The timestamp of the commit that ends at `frame` of the WAL generation `salts`: that of the first observation
    /// that covers it. Drops the observations before that one.
    pub(crate) fn time_of(&mut self, salts: Salts, frame: u32) -> Timestamp {
        while let Some(first) = self.observations.front() {
            if first.salts == salts && first.frames >= frame {
                return first.time;
            }
            self.observations.pop_front();
        }
        self.latest
    }
}

#[cfg(test)]
mod tests {
    use ebbtide_wal::Checksum;

    use super::*;

    fn at(micros: i64) -> Timestamp {
        Timestamp::from_micros(micros).unwrap()
    }

    fn position(salt: u8, frame: u32) -> Position {
        Position { salts: Salts([salt; 8]), frame, checksum: Checksum::default() }
    }

    fn index(salt: u8, frames: u32) -> Index {
        Index { salts: Salts([salt; 8]), frames, ..Index::default() }
    }

    #[test]
    fn each_commit_has_the_time_of_the_first_observation_that_covers_it() {
        let mut observed = Observed::after(at(5), position(0, 0));
        observed.see(&index(1, 3), at(10));
        observed.see(&index(1, 3), at(11));
        observed.see(&index(1, 9), at(20));
        observed.see(&index(2, 2), at(30));
        let times = [(1, 1), (1, 3), (1, 4), (1, 9), (2, 2)]
            .map(|(salt, frame)| observed.time_of(Salts([salt; 8]), frame));
        assert_eq!(times, [10, 10, 20, 20, 30].map(at));
    }

    #[test]
    fn commits_are_counted_once() {
        let mut observed = Observed::after(at(0), position(1, 2));
        let new = |frames, changes| Index { changes, ..index(1, frames) };
        let seen = |commits, frames, uncaptured| Seen { commits, frames, uncaptured };
        assert_eq!(observed.see(&new(2, 7), at(1)), seen(0, 0, 0));
        assert_eq!(observed.see(&new(5, 8), at(2)), seen(3, 3, 3), "the count begins anywhere");
        assert_eq!(observed.see(&new(9, 10), at(3)), seen(2, 4, 7));
        assert_eq!(observed.see(&new(9, 10), at(4)), seen(0, 0, 7));
        observed.captured(position(1, 9));
        assert_eq!(observed.see(&new(10, 11), at(5)), seen(1, 1, 1));
    }

    #[test]
    fn times_never_run_backwards() {
        let mut observed = Observed::after(at(100), position(0, 0));
        observed.see(&index(1, 1), at(50));
        observed.see(&index(1, 2), at(120));
        observed.see(&index(1, 3), at(110));
        let times = [1, 2, 3].map(|frame| observed.time_of(Salts([1; 8]), frame));
        assert_eq!(times, [100, 120, 120].map(at));
    }

    #[test]
    fn the_oldest_is_what_was_seen_and_not_captured_however_often_it_is_seen() {
        let mut observed = Observed::after(at(0), position(1, 2));
        observed.see(&index(1, 2), at(5));
        assert_eq!(observed.oldest(), None);
        observed.see(&index(1, 4), at(10));
        observed.see(&index(1, 6), at(20));
        assert_eq!(observed.oldest(), Some(at(10)));
        observed.captured(position(1, 4));
        assert_eq!(observed.oldest(), Some(at(20)));
        observed.captured(position(1, 6));
        // The thread that receives the events may be late.
        observed.see(&index(1, 6), at(30));
        observed.see(&index(2, 0), at(40));
        assert_eq!(observed.oldest(), None);
        observed.see(&index(2, 1), at(50));
        assert_eq!(observed.oldest(), Some(at(50)));
    }
}
