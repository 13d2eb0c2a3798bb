//! What lately kept the log from becoming shorter, and when: the policy waits after it.

use std::time::{Duration, Instant};

use crate::connection::Progress;

/// The last failures of a follower's barriers and checkpoints, and when it last made writers wait.
#[derive(Debug, Default)]
pub(crate) struct CheckpointBackoff {
    exclusive: Option<Instant>,
    brake: Option<Instant>,
    /// The last of those in a row, and how many they are.
    without_progress: Option<(Instant, u32)>,
    busy_checkpoint: Option<Instant>,
}

impl CheckpointBackoff {
    /// Writers were made to wait for the capturing or a checkpoint.
    pub(crate) fn braked(&mut self, now: Instant) {
        self.brake = Some(now);
    }

    /// A barrier has ended.
    pub(crate) fn exclusive_ended(&mut self, all_copied: bool, now: Instant) {
        self.exclusive = (!all_copied).then_some(now);
        if all_copied {
            // Whatever was in the way of a checkpoint before is not any more.
            self.without_progress = None;
        }
    }

    /// A checkpoint has ended before which `backfilled` frames were in the database.
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

    /// Since a barrier failed, if the last one did.
    pub(crate) fn since_failed_exclusive(&self) -> Option<Duration> {
        since(self.exclusive)
    }

    /// Since writers were last made to wait, if they were.
    pub(crate) fn since_brake(&self) -> Option<Duration> {
        since(self.brake)
    }

    /// Since a checkpoint came no further than the one before it, if the last one did not.
    pub(crate) fn since_no_progress(&self) -> Option<Duration> {
        since(self.without_progress.map(|(last, _)| last))
    }

    /// How many such checkpoints there were in a row.
    pub(crate) fn without_progress(&self) -> u32 {
        self.without_progress.map_or(0, |(_, in_a_row)| in_a_row)
    }

    /// Since a checkpoint found a lock taken that is given back soon, if the last one did.
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
        for (vain, progress) in [(1, ran(5)), (2, Progress::NoRoom), (0, ran(6)), (1, ran(4))] {
            backoff.checkpoint_ended(progress, 5, now);
            assert_eq!(backoff.without_progress(), vain);
            assert_eq!(backoff.since_no_progress().is_some(), vain > 0);
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
