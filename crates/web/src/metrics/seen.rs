//! All that is shown, looked at once, so that a scrape is of one moment.

use std::sync::Arc;

use ebbtide_replica::Timestamp;
use ebbtide_sidecar::clock;
use ebbtide_sidecar::control::{HealthIssue, health_issues};
use ebbtide_sidecar::follow::{DatabaseStatus, Status};
use ebbtide_store::RequestDurations;

use super::process_look::ProcessLook;
use crate::site::Site;

/// A process and its databases.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) now: Timestamp,
    pub(super) databases: Vec<SeenDatabase>,
    pub(super) durations: Arc<RequestDurations>,
    pub(super) stopped: u64,
    pub(super) lines_lost: u64,
    pub(super) process: ProcessLook,
}

/// One of the databases.
#[derive(Debug)]
pub(super) struct SeenDatabase {
    pub(super) name: String,
    pub(super) status: DatabaseStatus,
    pub(super) issues: Vec<HealthIssue>,
    pub(super) cost: Option<f64>,
    /// Its counts are in it.
    pub(super) shared: Status,
}

impl Seen {
    /// Looks at everything.
    pub(super) fn look(site: &Site) -> Seen {
        let now = clock::now();
        let look = |shared: Status| {
            let status = shared.get();
            let traffic = &shared.counts().traffic;
            SeenDatabase {
                name: status.database.to_string_lossy().into_owned(),
                issues: health_issues(&status, now),
                cost: site.costs.month(&status.database, &status.replica, traffic),
                status,
                shared,
            }
        };
        // What was let go is no database of this process any more, and its series would never end.
        let databases: Vec<SeenDatabase> =
            site.view.statuses.present().into_iter().map(look).collect();
        site.costs.keep(|path| databases.iter().any(|it| it.status.database == path));
        Seen {
            now,
            databases,
            durations: Arc::clone(&site.view.durations),
            stopped: site.view.stopped.get(),
            lines_lost: site.view.unlogged().map_or(0, |lost| lost.lines),
            process: ProcessLook::now(),
        }
    }
}
