//! When a session may end, and when it may say that everything is durable: not before a look at the replica has found it
//! where it was, with a base to restore from.

use ebbtide_shipper::Shipper;

use super::error::FollowError;
use super::look::{Care, Look, Seen};
use super::snapshots::Snapshots;

/// What is left to do before the end.
#[derive(Debug)]
pub(crate) struct End {
    /// Whether it was asked from the beginning to end: then a snapshot that is due is made, and the newest state must be
    /// restorable.
    pub(crate) is_once: bool,
    pub(crate) look: Look,
    /// The newest request for a sync that is met once a look has ended…
    owed: Option<u64>,
    /// …and the one that the look under way answers.
    looks_for: Option<u64>,
    is_seen: bool,
    /// A snapshot was made because the newest state could not be restored.
    has_tried_again: bool,
}

impl End {
    pub(crate) fn new(is_once: bool) -> End {
        End {
            is_once,
            look: Look::default(),
            owed: None,
            looks_for: None,
            is_seen: false,
            has_tried_again: false,
        }
    }

    /// Everything up to the request `met` is in the replica: it is answered once a look has found that there.
    pub(crate) fn owes(&mut self, met: u64) {
        self.owed = Some(met);
    }

    /// Looks for those who wait for an answer. What lies in a replica without a base is not durable.
    pub(crate) fn answer(&mut self, shipper: &Shipper) {
        if self.owed.is_some() && !shipper.presence().lacks_base() {
            self.look(shipper, if self.is_once { Care::Prove } else { Care::Look });
        }
    }

    fn look(&mut self, shipper: &Shipper, care: Care) {
        if self.look.begin(shipper, care) {
            // A glance finds out nothing where the store does not answer.
            self.looks_for = self.owed.filter(|_| care != Care::Glance);
        }
    }

    /// Whether the session may end, now that everything is in the replica. If not, what is missing has been begun.
    pub(crate) fn is_reached(
        &mut self,
        shipper: &Shipper,
        snapshots: &Snapshots,
    ) -> Result<bool, FollowError> {
        let lacks_base = shipper.presence().lacks_base();
        if snapshots.hold_the_log() && (self.is_once || lacks_base) {
            return Ok(false);
        }
        if lacks_base {
            return match snapshots.failure() {
                Some(why) => Err(FollowError::Unrestorable(why)),
                None => Ok(false),
            };
        }
        if !self.is_seen {
            self.look(shipper, if self.is_once { Care::Prove } else { Care::Glance });
        }
        Ok(self.is_seen)
    }

    /// A look has ended; which request it answers.
    pub(crate) fn seen(
        &mut self,
        seen: Seen,
        finishing: bool,
        shipper: &Shipper,
        snapshots: &mut Snapshots,
    ) -> Result<Option<u64>, FollowError> {
        match seen {
            // The base is gone, and another one is made first.
            Seen::There if shipper.presence().lacks_base() => Ok(None),
            Seen::There => {
                self.is_seen = finishing;
                let answered = self.looks_for.take();
                // Who has asked since waits for another look.
                self.owed = self.owed.filter(|&owed| Some(owed) > answered);
                Ok(answered)
            }
            Seen::Unrestorable(why) if self.has_tried_again => Err(FollowError::Unrestorable(why)),
            Seen::Unrestorable(why) => {
                tracing::error!(why, "the newest state cannot be restored; making a snapshot");
                self.has_tried_again = true;
                snapshots.demand();
                Ok(None)
            }
        }
    }
}
