//! What lately kept the log from becoming shorter, and when: the policy waits after it.

use std::time::{Duration, Instant};

use crate::connection::Progress;

/// The last failures of a follower's barriers and checkpoints, and when it last made writers wait.
#[derive(Debug, Default)]
pub(crate) struct Setbacks {
    barrier: Option<Instant>,
    brake: Option<Instant>,
    /// The last of those in a row, and how many they are.
    vain_checkpoints: Option<(Instant, u32)>,
    busy_checkpoint: Option<Instant>,
}

impl Setbacks {
    /// Writers were made to wait for the capturing or a checkpoint.
    pub(crate) fn braked(&mut self, now: Instant) {
        self.brake = Some(now);
    }

    /// A barrier has ended.
    pub(crate) fn barrier_ended(&mut self, all_copied: bool, now: Instant) {
        self.barrier = (!all_copied).then_some(now);
        if all_copied {
            // Whatever was in the way of a checkpoint before is not any more.
            self.vain_checkpoints = None;
        }
    }

    /// A checkpoint has ended before which `backfilled` frames were in the database.
    pub(crate) fn checkpoint_ended(&mut self, ran: Progress, backfilled: u32, now: Instant) {
        let is_vain = match ran {
            Progress::Busy => false,
            Progress::NoRoom => true,
            Progress::Ran { backfilled: after, .. } => after <= backfilled,
        };
        let in_a_row = self.vain_checkpoints().saturating_add(1);
        self.vain_checkpoints = is_vain.then_some((now, in_a_row));
        self.busy_checkpoint = (ran == Progress::Busy).then_some(now);
    }

    /// Since a barrier failed, if the last one did.
    pub(crate) fn since_failed_barrier(&self) -> Option<Duration> {
        since(self.barrier)
    }

    /// Since writers were last made to wait, if they were.
    pub(crate) fn since_brake(&self) -> Option<Duration> {
        since(self.brake)
    }

    /// Since a checkpoint came no further than the one before it, if the last one did not.
    pub(crate) fn since_vain_checkpoint(&self) -> Option<Duration> {
        since(self.vain_checkpoints.map(|(last, _)| last))
    }

    /// How many such checkpoints there were in a row.
    pub(crate) fn vain_checkpoints(&self) -> u32 {
        self.vain_checkpoints.map_or(0, |(_, in_a_row)| in_a_row)
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
    fn vain_checkpoints_are_counted_until_one_comes_further() {
        let mut setbacks = Setbacks::default();
        let now = Instant::now();
        let ran = |backfilled| Progress::Ran { frames: 10, backfilled };
        for (vain, progress) in [(1, ran(5)), (2, Progress::NoRoom), (0, ran(6)), (1, ran(4))] {
            setbacks.checkpoint_ended(progress, 5, now);
            assert_eq!(setbacks.vain_checkpoints(), vain);
            assert_eq!(setbacks.since_vain_checkpoint().is_some(), vain > 0);
            assert_eq!(setbacks.since_busy_checkpoint(), None);
        }
        setbacks.barrier_ended(false, now);
        assert_eq!(setbacks.vain_checkpoints(), 1);
        assert!(setbacks.since_failed_barrier().is_some());
        setbacks.barrier_ended(true, now);
        assert_eq!((setbacks.vain_checkpoints(), setbacks.since_failed_barrier()), (0, None));
        setbacks.checkpoint_ended(Progress::Busy, 5, now);
        assert_eq!(setbacks.vain_checkpoints(), 0);
        assert!(setbacks.since_busy_checkpoint().is_some());
    }
}
