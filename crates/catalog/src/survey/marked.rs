//! States that somebody has marked. A mark may claim a state back that the newest horizon has condemned; until the next
//! horizon keeps it, the one before the newest says what it is made from.

use ebbtide_replica::{Chain, Txid};

use super::Survey;
use crate::horizon::horizon_before;
use crate::known::Known;
use crate::listing::list;
use crate::plan::Plan;
use crate::plan_error::{Nothing, PlanError, Result};

impl Survey {
    /// The way to the state after `txid`, which has this chain.
    pub(super) async fn plan_marked(&mut self, txid: Txid, chain: Chain) -> Result<Plan> {
        let plan = match self.plan_txid(txid).await {
            Err(refused @ PlanError::Nothing(Nothing::Kept { .. })) => {
                match self.plan_given_up(txid, chain).await? {
                    Some(plan) => plan,
                    // The neighbours are those that the newest horizon keeps.
                    None => return Err(refused),
                }
            }
            planned => planned?,
        };
        let found = plan.stop.state.chain;
        if found != chain {
            let why =
                format!("the mark states the chain {chain} after txid {txid}, and it is {found}");
            return Err(PlanError::Unexpected { why });
        }
        Ok(plan)
    }

    /// The way to a state that the newest horizon does not keep: as the one before it kept it, or else by its chain alone.
    async fn plan_given_up(&mut self, txid: Txid, chain: Chain) -> Result<Option<Plan>> {
        self.step_back().await?;
        for _ in 0..2 {
            match self.plan_txid(txid).await {
                Err(PlanError::Nothing(_) | PlanError::Damaged { .. }) => {}
                planned => return planned.map(Some),
            }
            self.known.add_mark(txid, chain);
        }
        Ok(None)
    }

    /// From here on, plans by the horizon before the one that counts, or by the log alone if that was the first. Whether
    /// there was any. What was excluded stays so.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn step_back(&mut self) -> Result<bool> {
        let Some(horizon) = self.known.horizon() else { return Ok(false) };
        let number = horizon.number;
        let before = horizon_before(&*self.store, self.manifest(), number).await?;
        let known = Known::new(list(&*self.store).await?).with_horizon(before);
        let faults = std::mem::replace(&mut self.known, known).into_faults();
        for (key, why) in faults {
            self.known.exclude(key, why);
        }
        self.complete_from = None;
        self.interest.txids.extend(self.known.listing().states());
        Ok(true)
    }
}
