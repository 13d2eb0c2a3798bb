//! When a state cannot be had: why, and which ones near it can.

use ebbtide_replica::{Point, Txid};

use super::Survey;
use crate::known::first_of;
use crate::piece::Carrier;
use crate::plan::{Goal, Refusal};
use crate::plan_error::{Nearest, Nothing, PlanError, Result};

/// How many states are tried in each direction before the search is given up.
const ATTEMPTS: usize = 8;

impl Survey {
    /// The error for a refusal to plan for `wanted`.
    pub(super) async fn explain(
        &mut self,
        wanted: Option<Txid>,
        refusal: Refusal,
    ) -> Result<PlanError> {
        Ok(match refusal {
            Refusal::Empty => PlanError::Nothing(Nothing::State { place: self.store.describe() }),
            Refusal::Before => {
                let first = self.after(None).await?;
                match (first, wanted) {
                    (None, None) => {
                        PlanError::Nothing(Nothing::State { place: self.store.describe() })
                    }
                    (first, _) => PlanError::Nothing(Nothing::Before { first }),
                }
            }
            Refusal::Beyond { head } => {
                PlanError::Nothing(Nothing::Beyond { wanted: wanted.unwrap_or(head), head })
            }
            Refusal::NotKept => {
                let wanted = wanted.unwrap_or(Txid::FIRST);
                let nearest = self.nearest(wanted, wanted).await?;
                PlanError::Nothing(Nothing::Kept { wanted, nearest })
            }
            Refusal::Damaged { culprits, first } => {
                let nearest = self.nearest(first, wanted.unwrap_or(first)).await?;
                PlanError::Damaged { wanted, culprits, nearest }
            }
        })
    }

    /// The nearest states before `first` and after `wanted` that can be planned for.
    pub(super) async fn nearest(&mut self, first: Txid, wanted: Txid) -> Result<Nearest> {
        let before = self.before(first).await?;
        let after = self.after(Some(wanted)).await?;
        Ok(Nearest { before, after })
    }

    async fn before(&mut self, first: Txid) -> Result<Option<Point>> {
        let mut next = first.previous();
        for _ in 0..ATTEMPTS {
            let Some(txid) = next else { break };
            next = match self.drive(Goal::Txid(txid)).await? {
                Ok(plan) => return Ok(Some(plan.stop.state.point)),
                Err(Refusal::Damaged { first, .. }) => first.min(txid).previous(),
                Err(Refusal::Beyond { head }) if head < txid => Some(head),
                Err(_) if txid < self.known.window() => {
                    self.known.kept_before(txid).map(|kept| kept.txid)
                }
                Err(_) => txid
                    .previous()
                    .and_then(|before| self.known.listing().snapshot_before(before))
                    .and_then(|object| first_of(object.key)),
            };
        }
        Ok(None)
    }

    /// The first base after `wanted`, or of all.
    async fn after(&mut self, wanted: Option<Txid>) -> Result<Option<Point>> {
        let listing = self.known.listing();
        let snapshots = listing.snapshots.iter().filter(|object| self.known.is_usable(object.key));
        let mut bases: Vec<Txid> = snapshots.filter_map(|object| first_of(object.key)).collect();
        let pieces = listing.log.iter().filter_map(|object| self.known.piece(object.key));
        let complete = pieces.flat_map(|piece| &piece.bases);
        bases.extend(
            complete.filter(|(_, carrier)| *carrier == Carrier::Entry).map(|(txid, _)| *txid),
        );
        let window = self.known.window();
        bases.retain(|&txid| txid >= window);
        bases.extend(self.known.kept_states().iter().map(|state| state.txid));
        bases.extend(self.known.horizon().map(|_| window));
        bases.retain(|&txid| Some(txid) > wanted);
        bases.sort_unstable();
        bases.dedup();
        for txid in bases.into_iter().take(ATTEMPTS) {
            if let Ok(plan) = self.drive(Goal::Txid(txid)).await? {
                return Ok(Some(plan.stop.state.point));
            }
        }
        Ok(None)
    }
}
