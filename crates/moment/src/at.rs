//! Which moment is meant: planned for as a restore plans, and mapped.

use ebbtide_catalog::{Outline, Target, hold_to};
use ebbtide_replica::Timestamp;

use crate::build::build;
use crate::error::Result;
use crate::moment::Moment;
use crate::proof::Proof;
use crate::replica::{Replica, turn_down};

impl Replica {
    /// The state that `target` names. `now` is the time, by which the future is told from the past.
    ///
    /// # Errors
    /// When there is no such state, or it cannot be read.
    pub async fn at(&self, target: Target, now: Timestamp, proof: Proof) -> Result<Moment> {
        let mut survey = self.survey().await;
        loop {
            let plan = survey.plan_to_read(target, now).await?;
            if let Some(anchor) = self.expect() {
                hold_to(&mut survey, &plan, anchor).await?;
            }
            let stop = plan.stop.state.txid();
            let head = survey.head().await?.unwrap_or(stop).max(stop);
            match build(&survey, &plan, proof, self.blocks()).await {
                Ok(map) => {
                    let outline = Outline::of(&survey, &plan, head);
                    // Whatever else comes, this moment is of this entry.
                    let again = match target {
                        Target::Marked { .. } => target,
                        _ => Target::Txid(stop),
                    };
                    drop(survey);
                    return Ok(Moment::new(self.clone(), outline, proof, (again, now), map));
                }
                Err(stopped) => turn_down(&mut survey, stopped).await?,
            }
        }
    }
}
