//! Which states can be had: asked of the planner that restores, so that both say the same.

use ebbtide_replica::Txid;

use super::Survey;
use crate::known::first_of;
use crate::piece::IndexState;
use crate::plan::{Goal, Refusal, plan_by_history};
use crate::plan_error::Result;

/// So many ranges are looked for at most, the newest first. Each costs as much as the plan of a restore.
const RANGES_MAX: usize = 64;

/// So many plans are tried at most. A replica that needs more is damaged all over.
const PLANS_MAX: usize = 512;

/// Entries of which each can be restored: the first and the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// The first state.
    pub first: IndexState,
    /// The last state.
    pub last: IndexState,
}

impl Survey {
    /// All ranges of entries that can be restored, the oldest first, as far as the objects that were excluded tell.
    pub async fn ranges(&mut self) -> Result<Vec<Range>> {
        let mut ranges: Vec<Range> = Vec::new();
        let mut goal = Goal::Head;
        for _ in 0..PLANS_MAX {
            if ranges.len() >= RANGES_MAX {
                break;
            }
            // With deltas a plan is for fewer states.
            let planned = match self.drive_by(goal, plan_by_history).await? {
                Ok(plan) => Ok(plan),
                Err(_) => self.drive(goal).await?,
            };
            let next = match planned {
                Ok(plan) => {
                    // What comes after the base is in the same objects, each entry of it a plan of its own.
                    let stop = plan.stop.state.txid();
                    // Before the window each state stands alone, and the last of them is what the window begins from.
                    let oldest = match self.known.window() {
                        window if stop < window => stop,
                        window => window.previous().unwrap_or(window),
                    };
                    let base = plan.serves_from.min(stop).max(oldest);
                    let first = match self.drive(Goal::Txid(base)).await? {
                        Ok(plan) => plan.stop,
                        // The base itself is not kept as a state, but the ones after it are.
                        Err(_) => plan.stop,
                    };
                    match ranges.last_mut() {
                        Some(newer)
                            if plan.stop.state.txid().precedes(newer.first.state.txid()) =>
                        {
                            newer.first = first;
                        }
                        _ => ranges.push(Range { first, last: plan.stop }),
                    }
                    self.before_range(first.state.txid())
                }
                Err(Refusal::Damaged { first, .. }) => match goal {
                    Goal::Txid(txid) => first.min(txid).previous(),
                    Goal::Head => first.previous(),
                },
                Err(Refusal::Beyond { head }) => match goal {
                    Goal::Txid(txid) if head >= txid => None,
                    _ => Some(head),
                },
                Err(Refusal::NotKept) => match goal {
                    Goal::Txid(txid) if txid < self.known.window() => {
                        self.known.kept_before(txid).map(|kept| kept.txid)
                    }
                    Goal::Txid(txid) => {
                        let snapshot = self.known.listing().snapshot_before(txid);
                        snapshot.and_then(|object| first_of(object.key)).filter(|&kept| kept < txid)
                    }
                    Goal::Head => None,
                },
                Err(Refusal::Empty | Refusal::Before) => None,
            };
            let Some(next) = next else { break };
            goal = Goal::Txid(next);
        }
        ranges.reverse();
        Ok(ranges)
    }

    /// The state to ask for after one range, which begins with `first`. Before the window each state stands alone.
    fn before_range(&self, first: Txid) -> Option<Txid> {
        let previous = first.previous()?;
        if previous < self.known.window() {
            return self.known.kept_before(first).map(|kept| kept.txid);
        }
        Some(previous)
    }
}
