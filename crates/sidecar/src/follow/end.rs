//! When a session may end, and when it may say that everything is durable: only after a check has found the replica
//! where it was, with a snapshot to restore from.

use ebbtide_shipper::Shipper;

use super::error::FollowError;
use super::replica_check::{CheckDepth, CheckResult, ReplicaCheck};
use super::snapshots::Snapshots;

/// What is left to do before the end.
#[derive(Debug)]
pub(crate) struct End {
    /// Whether the process was started to end once everything is durable: then a snapshot that is due is made, and the
    /// newest state must be restorable.
    pub(crate) is_once: bool,
    pub(crate) check: ReplicaCheck,
    /// The newest request for a sync that is met once a check has ended…
    unanswered: Option<u64>,
    /// …and the one that the running check answers.
    checks_for: Option<u64>,
    is_checked: bool,
    /// A snapshot was made because the newest state could not be restored.
    has_tried_again: bool,
}

impl End {
    pub(crate) fn new(is_once: bool) -> End {
        End {
            is_once,
            check: ReplicaCheck::default(),
            unanswered: None,
            checks_for: None,
            is_checked: false,
            has_tried_again: false,
        }
    }

    /// Everything up to the request `met` is in the replica: the request is answered once a check has found the replica.
    pub(crate) fn answer_after_check(&mut self, met: u64) {
        self.unanswered = Some(met);
    }

    /// Begins a check if a request waits for one. What lies in a replica without a snapshot is not durable.
    pub(crate) fn answer(&mut self, shipper: &Shipper) {
        if self.unanswered.is_some() && !shipper.presence().lacks_base() {
            self.begin_check(
                shipper,
                if self.is_once { CheckDepth::Restorable } else { CheckDepth::Presence },
            );
        }
    }

    fn begin_check(&mut self, shipper: &Shipper, depth: CheckDepth) {
        if self.check.begin(shipper, depth) {
            // A check that does not wait for the store finds out nothing if the store does not answer.
            self.checks_for = self.unanswered.filter(|_| depth != CheckDepth::IfAnswering);
        }
    }

    /// Whether the session may end, now that everything is in the replica. If not, what is missing for that was begun.
    pub(crate) fn is_reached(
        &mut self,
        shipper: &Shipper,
        snapshots: &Snapshots,
    ) -> Result<bool, FollowError> {
        let lacks_base = shipper.presence().lacks_base();
        if self.is_once && snapshots.is_busy() || lacks_base && snapshots.hold_the_log() {
            return Ok(false);
        }
        if lacks_base {
            return match snapshots.failure() {
                Some(why) => Err(FollowError::Unrestorable(why)),
                None => Ok(false),
            };
        }
        if !self.is_checked {
            self.begin_check(
                shipper,
                if self.is_once { CheckDepth::Restorable } else { CheckDepth::IfAnswering },
            );
        }
        Ok(self.is_checked)
    }

    /// A check has ended. Returns the request that it answers.
    pub(crate) fn seen(
        &mut self,
        seen: CheckResult,
        finishing: bool,
        shipper: &Shipper,
        snapshots: &mut Snapshots,
    ) -> Result<Option<u64>, FollowError> {
        match seen {
            // The snapshot is gone, and another one is made first.
            CheckResult::Present if shipper.presence().lacks_base() => Ok(None),
            CheckResult::Present => {
                self.is_checked = finishing;
                let answered = self.checks_for.take();
                // Requests since then wait for another check.
                self.unanswered = self.unanswered.filter(|&request| Some(request) > answered);
                Ok(answered)
            }
            CheckResult::Unrestorable(why) if self.has_tried_again => {
                Err(FollowError::Unrestorable(why))
            }
            CheckResult::Unrestorable(why) => {
                tracing::error!(why, "the newest state cannot be restored; making a snapshot");
                self.has_tried_again = true;
                snapshots.demand();
                Ok(None)
            }
        }
    }
}
