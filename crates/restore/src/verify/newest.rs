//! Whether the newest state can be restored.

use ebbtide_catalog::{Culprit, Notice, PlanError, Survey, Target};
use ebbtide_replica::{Key, Point, Timestamp};

use super::finding::{Finding, Severity};
use crate::error::Result;

/// The newest state, and what a restore of it would say that is not found yet: it goes by the same plan.
pub(super) async fn restorable(
    survey: &mut Survey,
    found: &[Finding],
) -> Result<(Option<Point>, Vec<Finding>)> {
    let finding = |key: Key, severity, what| Finding { key, severity, what };
    match survey.plan(Target::Latest, Timestamp::EPOCH).await {
        Ok(plan) => {
            let notices = plan.notices.into_iter().filter_map(|notice| match notice {
                Notice::DigestOnly { key } => Some((key, notice)),
                _ => None,
            });
            let notes =
                notices.map(|(key, notice)| finding(key, Severity::Note, notice.to_string()));
            Ok((Some(plan.stop.state.point), notes.collect()))
        }
        Err(PlanError::Damaged { culprits, .. }) => {
            let news = |culprit: &Culprit| {
                found.iter().all(|one| one.key != culprit.key || one.severity < Severity::Damage)
            };
            let culprits = culprits.into_iter().filter(news);
            let what = |why| format!("the newest state cannot be restored: {why}");
            let finding = |Culprit { key, why }| finding(key, Severity::Damage, what(why));
            Ok((None, culprits.map(finding).collect()))
        }
        Err(PlanError::Nothing(_)) => Ok((None, Vec::new())),
        Err(error) => Err(error.into()),
    }
}
