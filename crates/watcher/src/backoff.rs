//! The backoff after a checkpoint that failed, was busy or made no progress, and the pause after a brake.

use std::time::{Duration, Instant};

use crate::connection::Progress;

/// When the last checkpoints failed, and when writers were last throttled.
#[derive(Debug, Default)]
pub(crate) struct CheckpointBackoff {
    exclusive: Option<Instant>,
    brake: Option<Instant>,
    /// When the last checkpoint without progress ended, and how many there were in a row.
    without_progress: Option<(Instant, u32)>,
    busy_checkpoint: Option<Instant>,
}

impl CheckpointBackoff {
    /// A brake has ended.
    pub(crate) fn braked(&mut self, now: Instant) {
        self.brake = Some(now);
    }

    /// An exclusive checkpoint has ended; `all_copied` if it completed.
    pub(crate) fn exclusive_ended(&mut self, all_copied: bool, now: Instant) {
        self.exclusive = (!all_copied).then_some(now);
        if all_copied {
            // The readers that kept earlier checkpoints from progress are gone.
            self.without_progress = None;
        }
    }

    /// A passive checkpoint has ended; `backfilled` frames were in the database before it.
    pub(crate) fn checkpoint_ended(&mut self, ran: Progress, backfilled: u32, now: Instant) {
        let no_progress = match ran {
            Progress::Busy => false,
            Progress::NoRoom => true,
            Progress::Ran { backfilled: after, .. } => after <= backfilled,
        };
        let in_a_row = self.without_progress().saturating_add(1);
        self.without_progress = no_progress.then_some((now, in_a_row));
        self.busy_checkpoint = (ran == Progress::Busy).then_some(now);
    }

    /// How long ago the last exclusive checkpoint failed, if it failed.
    pub(crate) fn since_failed_exclusive(&self) -> Option<Duration> {
        since(self.exclusive)
    }

    /// How long ago the last brake ended, if there was one.
    pub(crate) fn since_brake(&self) -> Option<Duration> {
        since(self.brake)
    }

    /// How long ago the last checkpoint made no progress, if it made none.
    pub(crate) fn since_no_progress(&self) -> Option<Duration> {
        since(self.without_progress.map(|(last, _)| last))
    }

    /// How many checkpoints in a row made no progress.
    pub(crate) fn without_progress(&self) -> u32 {
        self.without_progress.map_or(0, |(_, in_a_row)| in_a_row)
    }

    /// How long ago the last checkpoint ended with `SQLITE_BUSY`, if it did.
    pub(crate) fn since_busy_checkpoint(&self) -> Option<Duration> {
        since(self.busy_checkpoint)
    }
}

fn since(then: Option<Instant>) -> Option<Duration> {
    then.map(|then| then.elapsed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checkpoints_without_progress_are_counted_until_one_makes_progress() {
        let mut backoff = CheckpointBackoff::default();
        let now = Instant::now();
        let ran = |backfilled| Progress::Ran { frames: 10, backfilled };
        for (count, progress) in [(1, ran(5)), (2, Progress::NoRoom), (0, ran(6)), (1, ran(4))] {
            backoff.checkpoint_ended(progress, 5, now);
            assert_eq!(backoff.without_progress(), count);
            assert_eq!(backoff.since_no_progress().is_some(), count > 0);
            assert_eq!(backoff.since_busy_checkpoint(), None);
        }
        backoff.exclusive_ended(false, now);
        assert_eq!(backoff.without_progress(), 1);
        assert!(backoff.since_failed_exclusive().is_some());
        backoff.exclusive_ended(true, now);
        assert_eq!((backoff.without_progress(), backoff.since_failed_exclusive()), (0, None));
        backoff.checkpoint_ended(Progress::Busy, 5, now);
        assert_eq!(backoff.without_progress(), 0);
        assert!(backoff.since_busy_checkpoint().is_some());
    }
}
