//! The two ends of a rest: emptying the log and closing our connections once nobody else has the database open, and
//! taking hold again when somebody comes.

use std::time::{Duration, Instant};

use ebbtide_shipper::{Safety, Shipper};
use tokio::task::block_in_place;

use super::error::FollowError;
use super::pace::{Mode, Pace};
use super::session::Session;
use super::start::Started;
use crate::clock::now;

impl Session<'_> {
    /// Goes to rest, if nobody else has the database open and nothing needs the log. `found` says whether the last look
    /// found commits, `more` whether it left any.
    pub(super) fn rest(
        &mut self,
        found: bool,
        more: bool,
        now: Instant,
    ) -> Result<(), FollowError> {
        let stirred = self.held.take_touched() || found;
        self.rest_timer.observe(self.held.follower.is_open_elsewhere(), stirred, now);
        if self.rest_timer.due_in(now) != Some(Duration::ZERO) {
            return Ok(());
        }
        let rests = !more && self.can_do_without_log()? && self.try_rest()?;
        if !rests {
            self.rest_timer.failed(now);
            return Ok(());
        }
        self.rest_timer.reset();
        self.held.update_attention(false);
        if self.pace.is_polling() {
            // Nobody polls what nobody writes.
            self.pace = Pace::new(self.held.has_events && self.held.change(Mode::Events), now);
            self.held.woken.notify_one();
        }
        self.started.shipper.close_files();
        self.job.status.rests(true);
        tracing::debug!(database = %self.job.database.path.display(), "at rest: nobody has the database open");
        Ok(())
    }

    fn try_rest(&mut self) -> Result<bool, FollowError> {
        let follower = &mut self.held.follower;
        block_in_place(|| Ok(follower.empty_log()? && follower.rest(now())?))
    }

    /// How long until the database may go to rest; nothing while it may not, or rests.
    pub(super) fn rest_in(&self, now: Instant) -> Option<Duration> {
        if self.held.follower.is_resting() { None } else { self.rest_timer.due_in(now) }
    }

    /// Whether nothing needs the log: what was captured is durable or will be, or else it is in the spool. While the
    /// store answers, that it is about to be put is enough, as it is for a checkpoint.
    fn can_do_without_log(&mut self) -> Result<bool, FollowError> {
        let Started { shipper, snapshots } = &mut self.started;
        if self.checkpoint.is_some()
            || snapshots.hold_the_log()
            || shipper.safety() == Safety::NeedsLog
        {
            return Ok(false);
        }
        let is_safe =
            |shipper: &Shipper| matches!(shipper.safety(), Safety::Durable | Safety::Spooled);
        if is_safe(shipper) || shipper.presence().store_health().outage().is_none() {
            return Ok(true);
        }
        shipper.start_spooling();
        shipper.flush()?;
        Ok(is_safe(shipper))
    }

    /// Takes hold of a database at rest again, if somebody has come or a snapshot is due; whether it did.
    pub(super) fn rouse(&mut self) -> Result<bool, FollowError> {
        // What the store did not take before the log was emptied goes into the spool now.
        self.can_do_without_log()?;
        let Started { shipper, snapshots } = &self.started;
        let is_due = snapshots.is_due(shipper);
        let follower = &mut self.held.follower;
        if !follower.stirs()? && !is_due {
            return Ok(false);
        }
        block_in_place(|| follower.rouse())?;
        self.held.update_attention(false);
        self.job.status.rests(false);
        tracing::debug!(database = %self.job.database.path.display(), "roused: somebody has opened the database");
        Ok(true)
    }
}
