//! Entries that are dated later than now. A clock was ahead when they were made, and as times never decrease along a
//! history, all that came after them have that time, too: a state that is chosen by its time is one from before the clock
//! jumped, for as long as it takes until the time comes.

use ebbtide_replica::{Key, Point, Timestamp, Txid};

use super::Survey;
use crate::known::last_of;
use crate::piece::IndexState;
use crate::plan::{Plan, Refusal};
use crate::plan_error::Result;
use crate::target::{Notice, Target};

/// How far the clocks of two hosts that are both right are apart at most, in µs: what is dated less far ahead is no fault.
pub const CLOCKS_APART_MICROS_MAX: i64 = 5_000_000;

impl Survey {
    /// The plan, with a notice if the replica's newest entries are dated after now. `now` was when the survey began; what came
    /// while a slow store was looked at is dated later, and rightly.
    pub(super) async fn with_ahead(
        &mut self,
        mut plan: Plan,
        target: Target,
        now: Timestamp,
    ) -> Result<Plan> {
        self.head().await?;
        let Some(IndexState { state, .. }) = self.newest() else { return Ok(plan) };
        let Point { txid: newest, time: until } = state.point;
        let elapsed = i64::try_from(self.begun.elapsed().as_micros()).unwrap_or(i64::MAX);
        let by_now = now.as_micros().saturating_add(elapsed);
        if until.as_micros().saturating_sub(by_now) <= CLOCKS_APART_MICROS_MAX {
            return Ok(plan);
        }
        let first = match self.seek(now).await? {
            Ok((last, _)) => last.next(),
            Err(Refusal::Before) => self.known.oldest_entry().unwrap_or(Txid::FIRST),
            Err(_) => return Ok(plan),
        };
        let is_without = matches!(target, Target::Time(_)) && plan.stop.state.txid() < first;
        plan.notices.insert(0, Notice::Ahead { first, newest, until, is_without });
        Ok(plan)
    }

    /// The newest entry, if its object was read and can be.
    pub fn newest(&self) -> Option<IndexState> {
        let listing = self.known.listing();
        let packs = listing.packs.iter().map(|object| object.key);
        let pack = packs.max_by_key(|&key| last_of(key));
        let segment = listing.log.last().map(|object| object.key);
        let point = |key: Option<Key>| self.known.piece(key?)?.end().copied();
        point(segment).into_iter().chain(point(pack)).max_by_key(|point| point.state.txid())
    }
}
