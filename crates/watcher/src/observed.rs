//! When commits were seen. Their pages may wait in the log; their times may not.

use std::collections::VecDeque;
use std::fs::File;
use std::sync::{Arc, Mutex, PoisonError};

use ebbtide_wal::{Index, Position, Salts};

use crate::shm::{is_open_elsewhere, is_write_locked, peek};

/// How many observations are kept: more than that and the oldest commits that still wait share a later time.
const OBSERVATIONS_MAX: usize = 65_536;

/// The log's end at a moment.
#[derive(Debug, Clone, Copy)]
struct Observation {
    salts: Salts,
    frames: u32,
    time: i64,
}

/// Sees commits from another thread: the one that is woken when the log is written. It has nothing else to do, so the
/// time that it notes is that of the commit even while the log's own thread copies frames or waits for the disk.
#[derive(Debug, Clone)]
pub struct Observer {
    shm: Arc<File>,
    observed: Arc<Mutex<Observed>>,
}

impl Observer {
    pub(crate) fn new(shm: Arc<File>, observed: Arc<Mutex<Observed>>) -> Observer {
        Observer { shm, observed }
    }

    /// Notes what is committed at `time`, in µs since the epoch. What cannot be read now will be seen by the next look.
    #[must_use]
    pub fn see(&self, time: i64) -> Seen {
        // Looking under the lock keeps two threads from noting an older end after a newer one.
        let mut observed = self.observed.lock().unwrap_or_else(PoisonError::into_inner);
        let Ok(Ok(index)) = peek(&self.shm) else { return Seen::default() };
        observed.see(&index, time)
    }

    /// Whether another process has the database open.
    #[must_use]
    pub fn is_open_elsewhere(&self) -> bool {
        is_open_elsewhere(&self.shm)
    }

    /// The same after a write into the log; nothing as long as its transaction is under way.
    ///
    /// Whoever writes has the write lock until the commit is published. So what was written before a moment at which
    /// nobody has it can be seen after that moment, or was rolled back.
    #[must_use]
    pub fn see_written(&self, time: i64) -> Option<Seen> {
        let seen = self.see(time);
        if seen.frames > 0 {
            return Some(seen);
        }
        (!is_write_locked(&self.shm)).then(|| self.see(time))
    }
}

/// What a look at the log's end showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Seen {
    /// How many commits no look has seen before, as far as the wal-index counts them.
    pub commits: u32,
    /// How many committed frames no look has seen before.
    pub frames: u32,
    /// How many committed frames wait to be captured.
    pub uncaptured: u32,
}

/// The ends of the log that were seen and not yet captured, oldest first.
#[derive(Debug)]
pub(crate) struct Observed {
    observations: VecDeque<Observation>,
    latest: i64,
    /// The wal-index's count of commits at the last observation.
    changes: u32,
    captured: Position,
}

impl Observed {
    /// Nothing yet, in a history whose last time was `latest`, in µs since the epoch, and that goes on behind `captured`.
    pub(crate) fn after(latest: i64, captured: Position) -> Observed {
        Observed { observations: VecDeque::new(), latest, changes: 0, captured }
    }

    /// Everything up to `position` was captured.
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

    /// When the oldest commit was seen that was not captured yet.
    pub(crate) fn oldest(&self) -> Option<i64> {
        self.observations.front().map(|first| first.time)
    }

    /// How many of the frames of `index` were not captured.
    fn uncaptured(&self, index: &Index) -> u32 {
        let captured = if index.salts == self.captured.salts { self.captured.frame } else { 0 };
        index.frames.saturating_sub(captured)
    }

    /// An empty log has nothing to capture, whatever generation it is of.
    fn has_captured(&self, salts: Salts, frames: u32) -> bool {
        frames == 0 || salts == self.captured.salts && frames <= self.captured.frame
    }

    /// The log ends as `index` says at `time`. A clock that runs backwards is taken to stand still.
    pub(crate) fn see(&mut self, index: &Index, time: i64) -> Seen {
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
        // A commit has a frame at least, and the first count of all begins anywhere.
        Seen { commits: counted.clamp(1, frames), frames, uncaptured }
    }

    /// When the commit that ends at `frame` of generation `salts` was seen: the first observation that covers it.
    /// Observation before it will not be asked for again.
    pub(crate) fn time_of(&mut self, salts: Salts, frame: u32) -> i64 {
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

    fn position(salt: u8, frame: u32) -> Position {
        Position { salts: Salts([salt; 8]), frame, checksum: Checksum::default() }
    }

    fn index(salt: u8, frames: u32) -> Index {
        Index { salts: Salts([salt; 8]), frames, ..Index::default() }
    }

    #[test]
    fn each_commit_has_the_time_of_the_first_sighting_that_covers_it() {
        let mut observed = Observed::after(5, position(0, 0));
        observed.see(&index(1, 3), 10);
        observed.see(&index(1, 3), 11);
        observed.see(&index(1, 9), 20);
        observed.see(&index(2, 2), 30);
        let times: Vec<i64> = [(1, 1), (1, 3), (1, 4), (1, 9), (2, 2)]
            .map(|(salt, frame)| observed.time_of(Salts([salt; 8]), frame))
            .to_vec();
        assert_eq!(times, [10, 10, 20, 20, 30]);
    }

    #[test]
    fn commits_are_counted_once() {
        let mut observed = Observed::after(0, position(1, 2));
        let at = |frames, changes| Index { changes, ..index(1, frames) };
        let seen = |commits, frames, uncaptured| Seen { commits, frames, uncaptured };
        assert_eq!(observed.see(&at(2, 7), 1), seen(0, 0, 0));
        assert_eq!(observed.see(&at(5, 8), 2), seen(3, 3, 3), "the count begins anywhere");
        assert_eq!(observed.see(&at(9, 10), 3), seen(2, 4, 7));
        assert_eq!(observed.see(&at(9, 10), 4), seen(0, 0, 7));
        observed.captured(position(1, 9));
        assert_eq!(observed.see(&at(10, 11), 5), seen(1, 1, 1));
    }

    #[test]
    fn times_never_run_backwards() {
        let mut observed = Observed::after(100, position(0, 0));
        observed.see(&index(1, 1), 50);
        observed.see(&index(1, 2), 120);
        observed.see(&index(1, 3), 110);
        let times = [1, 2, 3].map(|frame| observed.time_of(Salts([1; 8]), frame));
        assert_eq!(times, [100, 120, 120]);
    }

    #[test]
    fn the_oldest_is_what_was_seen_and_not_captured_however_often_it_is_seen() {
        let mut observed = Observed::after(0, position(1, 2));
        observed.see(&index(1, 2), 5);
        assert_eq!(observed.oldest(), None);
        observed.see(&index(1, 4), 10);
        observed.see(&index(1, 6), 20);
        assert_eq!(observed.oldest(), Some(10));
        observed.captured(position(1, 4));
        assert_eq!(observed.oldest(), Some(20));
        observed.captured(position(1, 6));
        // The thread that an event has woken may come late.
        observed.see(&index(1, 6), 30);
        observed.see(&index(2, 0), 40);
        assert_eq!(observed.oldest(), None);
        observed.see(&index(2, 1), 50);
        assert_eq!(observed.oldest(), Some(50));
    }
}
