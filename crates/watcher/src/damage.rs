//! A wal-index that cannot be right: it says that more frames were copied into the database than the log has.
//!
//! The WAL-reset bug of SQLite before 3.51.3 leaves that behind, and so does a process that dies in the midst of
//! beginning the log anew (`walRestartHdr` names the new generation before it forgets how far the old one was copied).
//! The next frames up to that number then count as copied and never are: SQLite loses them with the log. What is
//! captured is right all the same, because it comes from the log.
//!
//! It shows only until the log has that many frames. Whoever names a new generation passes through the same state for a
//! moment, so only one that lasts is believed.
//!
//! The other way round a log may lack what the wal-index says is in it, because somebody cut the file while it was in use.
//! That is damage at once: SQLite names the new generation in the wal-index before it shortens the file.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ebbtide_wal::{Index, Salts};

use crate::error::Error;
use crate::follower::Follower;

/// Between two steps of a process that has a processor there is less.
const LASTS: Duration = Duration::from_secs(2);

/// What was seen of it.
#[derive(Debug, Default)]
pub(crate) struct Damage {
    since: Option<(Salts, Instant)>,
    told: Arc<AtomicBool>,
}

impl Damage {
    /// Becomes true once the wal-index was found to be damaged, and stays so: the log may grow beyond it, and its frames
    /// are missing in the database all the same.
    pub(crate) fn told(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.told)
    }

    /// Takes a look into account; whether it is the first that tells of damage.
    pub(crate) fn look(&mut self, index: &Index, now: Instant) -> bool {
        if index.backfilled <= index.frames {
            self.since = None;
            return false;
        }
        let since = match self.since {
            Some((salts, since)) if salts == index.salts => since,
            _ => now,
        };
        self.since = Some((index.salts, since));
        now - since >= LASTS && self.tell()
    }

    /// The log was cut; whether that is the first that tells of damage.
    pub(crate) fn tell(&self) -> bool {
        !self.told.swap(true, Ordering::Relaxed)
    }
}

impl Follower {
    /// Tells of what SQLite has lost or will lose, though the replica has it.
    pub(crate) fn look_for_damage(&mut self) -> Result<(), Error> {
        let Ok(index) = self.shm.peek(&self.paths)? else { return Ok(()) };
        let database = self.paths.database.display();
        if self.damage.look(&index, Instant::now()) {
            tracing::error!(
                %database,
                frames = index.frames,
                backfilled = index.backfilled,
                "the wal-index says that more frames were copied into the database than the log has, so the next ones \
                 will never be: SQLite loses them with the log; see \"A damaged wal-index\" in docs/operations.md"
            );
        }
        if !self.tail.is_truncated(&self.paths, &index)? {
            return Ok(());
        }
        // The log may have been restarted, and its file shortened, since the wal-index was read.
        let is_same = self.shm.peek(&self.paths)?.is_ok_and(|again| again.salts == index.salts);
        if is_same && self.damage.tell() {
            tracing::error!(
                %database,
                frames = index.frames,
                backfilled = index.backfilled,
                "somebody cut the log while it was in use: commits that were not yet copied into the database are lost \
                 to the application, though not to the replica; see \"A log that was cut\" in docs/operations.md"
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(salts: u8, frames: u32, backfilled: u32) -> Index {
        Index { salts: Salts([salts; 8]), frames, backfilled, ..Index::default() }
    }

    #[test]
    fn only_what_lasts_in_one_generation_is_damage_and_it_is_told_once() {
        let (mut damage, began) = (Damage::default(), Instant::now());
        let mut at = |seconds, index| damage.look(&index, began + Duration::from_secs(seconds));
        assert!(!at(0, index(1, 5, 5)));
        assert!(!at(10, index(1, 0, 5)), "in the midst of beginning anew");
        assert!(!at(11, index(2, 0, 5)), "another generation");
        assert!(!at(12, index(2, 0, 0)));
        assert!(!at(20, index(3, 0, 5)));
        assert!(at(22, index(3, 1, 5)), "it lasts");
        assert!(!at(30, index(3, 2, 5)), "it was told");
        assert!(!at(31, index(3, 9, 5)));
        assert!(damage.told().load(Ordering::Relaxed), "what is lost stays lost");
    }
}
