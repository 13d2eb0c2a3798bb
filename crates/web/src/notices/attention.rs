//! Changes of what needs attention.

use std::collections::BTreeMap;
use std::path::PathBuf;

use ebbtide_replica::Timestamp;
use ebbtide_sidecar::control::{HealthIssue, health_issues};
use ebbtide_sidecar::follow::Status;

/// What needs attention of each database, as it was told last.
#[derive(Debug, Default)]
pub(super) struct Attention(BTreeMap<PathBuf, (Status, Vec<HealthIssue>)>);

/// One change.
#[derive(Debug)]
pub(super) struct Change {
    /// The database.
    pub(super) status: Status,
    /// What needs attention now.
    pub(super) now: Vec<HealthIssue>,
    /// What of it did not before.
    pub(super) began: Vec<HealthIssue>,
    /// What did before.
    pub(super) ended: Vec<HealthIssue>,
}

impl Attention {
    /// What has changed, of the databases that are followed and of those that were until now.
    pub(super) fn look(&mut self, followed: Vec<Status>, now: Timestamp) -> Vec<Change> {
        let mut changes = Vec::new();
        let mut gone = std::mem::take(&mut self.0);
        for status in followed {
            let known = status.get();
            let issues = health_issues(&known, now);
            let before = gone.remove(&known.database).map(|(_, issues)| issues);
            changes.extend(change(&status, before.unwrap_or_default(), &issues));
            self.0.insert(known.database, (status, issues));
        }
        // What is not followed any more says why by its last status: given up, or let go in good order.
        for (status, before) in gone.into_values() {
            let issues = health_issues(&status.get(), now);
            changes.extend(change(&status, before, &issues));
        }
        changes
    }
}

fn change(status: &Status, before: Vec<HealthIssue>, now: &[HealthIssue]) -> Option<Change> {
    let began: Vec<HealthIssue> = now.iter().copied().filter(|it| !before.contains(it)).collect();
    let ended: Vec<HealthIssue> = before.into_iter().filter(|it| !now.contains(it)).collect();
    let has_changed = !began.is_empty() || !ended.is_empty();
    has_changed.then(|| Change { status: status.clone(), now: now.to_vec(), began, ended })
}
