//! Why somebody should look, in words: what the report has of it.

use super::health::HealthIssue;
use super::report::Report;

impl HealthIssue {
    /// What the report has to say of it, with sizes as `size` writes them; nothing where the trouble itself says it.
    #[must_use]
    pub fn explain(self, report: &Report, size: impl Fn(u64) -> String) -> Option<String> {
        match self {
            HealthIssue::NotFollowed | HealthIssue::Failing | HealthIssue::Store => None,
            HealthIssue::Failed => {
                let failure = report.last_failure.as_ref()?;
                Some(format!("followed again after trouble at {}: {}", failure.since, failure.error))
            }
            HealthIssue::Starting => {
                Some(format!("still starting since {}", report.since.as_deref().unwrap_or("long ago")))
            }
            HealthIssue::Lag => Some("commits wait for longer than puts-per-second explains".to_owned()),
            HealthIssue::Disk => Some(format!(
                "{} are left on the disk of the database or of its local state: make room, or commits fail",
                size(report.disk_free_bytes.unwrap_or(0))
            )),
            HealthIssue::OtherName => {
                report.other_names.as_ref().map(|names| format!("the file has other names: {names}"))
            }
            HealthIssue::WalIndex => Some(
                "the wal-index is damaged or the log was truncated: the database will lack pages that its replica has"
                    .to_owned(),
            ),
            HealthIssue::Clock => Some(format!(
                "commits are dated up to {}, which is yet to come, because a clock was ahead: choose among them by txid, a \
                 restore by time does without them",
                report.durable_time.as_deref().unwrap_or("a later time")
            )),
            HealthIssue::Snapshot => {
                let trouble = report.snapshot_trouble.as_ref()?;
                Some(format!("no snapshot since {}: {}", trouble.since, trouble.error))
            }
            HealthIssue::Manifest => {
                let trouble = report.manifest_trouble.as_ref()?;
                Some(format!("at {}: {}", trouble.since, trouble.error))
            }
            // Each says it itself.
            HealthIssue::Mirror => None,
            HealthIssue::Prune => {
                let trouble = report.prune_trouble.as_ref()?;
                Some(format!("not pruned since {}: {}", trouble.since, trouble.error))
            }
            HealthIssue::Drill => {
                let trouble = report.drill_trouble.as_ref()?;
                Some(format!("the drill at {} failed: {}", trouble.since, trouble.error))
            }
        }
    }
}
