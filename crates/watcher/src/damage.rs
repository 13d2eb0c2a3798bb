//! A damaged wal-index: its `backfilled` field is larger than the number of frames in the log.
//!
//! The WAL-reset bug of SQLite before 3.51.3 leaves that state, and so does a process that dies within a restart of the
//! log (`walRestartHdr` publishes the new salts before it sets `nBackfill` to 0). The next frames up to `backfilled`
//! count as checkpointed and never are: SQLite loses them with the log. The captured commits are right all the same,
//! because they come from the log.
//!
//! The damage is visible only until the log has that many frames. A normal restart passes through the same state for a
//! moment, so only a state that lasts counts as damage.
//!
//! A second kind of damage is a log that lacks committed frames of the wal-index, because another program truncated the
//! file while it was in use. That is damage at once: SQLite publishes new salts in the wal-index before it truncates
//! the file.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ebbtide_wal::{Index, Salts};

use crate::error::Error;
use crate::held_log::HeldLog;

/// A process that has a CPU takes less time between the two steps of a restart.
const LASTS: Duration = Duration::from_secs(2);

/// The damage that was observed, and whether it was reported.
#[derive(Debug, Default)]
pub(crate) struct Damage {
    since: Option<(Salts, Instant)>,
    reported: Arc<AtomicBool>,
}

impl Damage {
    /// A flag that is set once damage was found, and stays set: when the log grows beyond `backfilled` the damage is no
    /// longer visible, but the database still lacks the frames.
    pub(crate) fn reported(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.reported)
    }

    /// Logs an error if SQLite has lost or will lose commits, which the replica has.
    pub(crate) fn look(&mut self, log: &HeldLog) -> Result<(), Error> {
        let Ok(index) = log.peek()? else { return Ok(()) };
        let database = log.paths().database.display();
        if self.observe(&index, Instant::now()) {
            tracing::error!(
                %database,
                frames = index.frames,
                backfilled = index.backfilled,
                "the wal-index says that more frames were copied into the database than the log has, so the next ones \
                 will never be: SQLite loses them with the log; see \"A damaged wal-index\" in docs/operations.md"
            );
        }
        if !log.tail().is_truncated(log.paths(), &index)? {
            return Ok(());
        }
        // The log may have been restarted, and its file shortened, since the wal-index was read.
        let is_same = log.peek()?.is_ok_and(|again| again.salts == index.salts);
        if is_same && self.report() {
            tracing::error!(
                %database,
                frames = index.frames,
                backfilled = index.backfilled,
                "the log was truncated while it was in use: commits that were not yet checkpointed into the database are lost \
                 to the application, though not to the replica; see \"A truncated log\" in docs/operations.md"
            );
        }
        Ok(())
    }

    /// Records one observation. Returns whether it is the first that proves damage.
    fn observe(&mut self, index: &Index, now: Instant) -> bool {
        if index.backfilled <= index.frames {
            self.since = None;
            return false;
        }
        let since = match self.since {
            Some((salts, since)) if salts == index.salts => since,
            _ => now,
        };
        self.since = Some((index.salts, since));
        now - since >= LASTS && self.report()
    }

    /// Sets the flag. Returns whether it was not set before.
    fn report(&self) -> bool {
        !self.reported.swap(true, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(salts: u8, frames: u32, backfilled: u32) -> Index {
        Index { salts: Salts([salts; 8]), frames, backfilled, ..Index::default() }
    }

    #[test]
    fn only_a_state_that_lasts_in_one_generation_is_damage_and_it_is_reported_once() {
        let (mut damage, began) = (Damage::default(), Instant::now());
        let mut at = |seconds, index| damage.observe(&index, began + Duration::from_secs(seconds));
        assert!(!at(0, index(1, 5, 5)));
        assert!(!at(10, index(1, 0, 5)), "within a restart");
        assert!(!at(11, index(2, 0, 5)), "another WAL generation");
        assert!(!at(12, index(2, 0, 0)));
        assert!(!at(20, index(3, 0, 5)));
        assert!(at(22, index(3, 1, 5)), "it lasts");
        assert!(!at(30, index(3, 2, 5)), "it was reported");
        assert!(!at(31, index(3, 9, 5)));
        assert!(damage.reported().load(Ordering::Relaxed), "what is lost stays lost");
    }
}
