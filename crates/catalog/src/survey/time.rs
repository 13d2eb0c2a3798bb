//! The state at a time: what is kept of it, the entry that was the last then, and what ought to be known of that.

use ebbtide_replica::{Key, Timestamp, Txid};

use super::Survey;
use crate::kept::KeptAt;
use crate::known::first_of;
use crate::plan::{Goal, Plan, Refusal};
use crate::plan_error::{Nothing, PlanError, Result};
use crate::seek::{Seek, seek};
use crate::target::Notice;

impl Survey {
    pub(super) async fn plan_time(&mut self, wanted: Timestamp, now: Timestamp) -> Result<Plan> {
        match self.known.kept_at(wanted) {
            Some(KeptAt::State(txid)) => return self.plan_txid(txid).await,
            Some(KeptAt::Between(nearest)) => {
                return Err(PlanError::Nothing(match nearest.before {
                    Some(_) => Nothing::At { wanted, nearest },
                    None => Nothing::Before { first: nearest.after },
                }));
            }
            None => {}
        }
        let (txid, mut notices) = match self.seek(wanted).await? {
            Ok(found) => found,
            Err(Refusal::NotKept) => {
                let snapshots = self.known.listing().snapshots.iter().rev();
                let begun = |key: Key| self.known.piece(key).map(|piece| piece.first_time);
                let before = snapshots.map(|object| object.key);
                let before = before.filter(|&key| begun(key).is_some_and(|time| time <= wanted));
                let before = before.filter_map(first_of).next().unwrap_or(Txid::FIRST);
                return Err(self.thinned(wanted, before).await?);
            }
            Err(refusal) => return Err(self.explain(None, refusal).await?),
        };
        let mut plan = match self.drive(Goal::Txid(txid)).await? {
            Ok(plan) => plan,
            // The history around it has no base.
            Err(Refusal::Before | Refusal::NotKept) => {
                return Err(self.thinned(wanted, txid).await?);
            }
            Err(refusal) => return Err(self.explain(Some(txid), refusal).await?),
        };
        let is_newest = self.head().await?.is_none_or(|head| head <= plan.stop.state.txid());
        if wanted > now && is_newest {
            notices.push(Notice::Future { wanted, newest: plan.stop.state.time() });
        }
        notices.append(&mut plan.notices);
        Ok(Plan { notices, ..plan })
    }

    /// The error for a time at which the state was that of `last` or of an entry after it, which are not kept.
    async fn thinned(&mut self, wanted: Timestamp, last: Txid) -> Result<PlanError> {
        let nearest = self.nearest(last.next(), last).await?;
        Ok(PlanError::Nothing(match nearest.before {
            Some(_) => Nothing::At { wanted, nearest },
            None => Nothing::Before { first: nearest.after },
        }))
    }

    /// The last entry at or before `wanted`, and what ought to be known of it.
    pub(super) async fn seek(
        &mut self,
        wanted: Timestamp,
    ) -> Result<Result<(Txid, Vec<Notice>), Refusal>> {
        if self.interest.time != Some(wanted) {
            // Pieces say which of their entries was the last at another time, or at none.
            self.known.forget_pieces();
        }
        self.interest.time = Some(wanted);
        self.reach_time(wanted).await?;
        loop {
            match seek(&self.known, wanted) {
                Seek::Read(objects) => self.read(objects, Vec::new()).await?,
                Seek::Found { txid, notices } => return Ok(Ok((txid, notices))),
                // No entry of the window is as old: it is the state before it.
                Seek::Refuse(Refusal::Before) if self.known.horizon().is_some() => {
                    let base = self.known.kept_before(self.known.window());
                    let base = base.filter(|base| base.time <= wanted).map(|base| base.txid);
                    return Ok(base.map(|txid| (txid, Vec::new())).ok_or(Refusal::Before));
                }
                Seek::Refuse(refusal) => return Ok(Err(refusal)),
            }
        }
    }

    /// Makes sure that the last entry at or before `wanted` is where the names are complete.
    async fn reach_time(&mut self, wanted: Timestamp) -> Result<()> {
        let Some(from) = self.complete_from else { return Ok(()) };
        let packs = self.known.listing().packs.iter();
        let begin = packs.rev().find(|object| first_of(object.key) == Some(from)).copied();
        if let Some(begin) = begin {
            if self.known.piece(begin.key).is_none() && self.known.is_usable(begin.key) {
                self.read(vec![begin], Vec::new()).await?;
            }
            if self.known.piece(begin.key).is_some_and(|piece| piece.first_time <= wanted) {
                return Ok(());
            }
        }
        self.list_all().await
    }
}
