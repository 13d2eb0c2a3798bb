//! Deletes once a day what the policy of a database does not keep, beside the following of it, and finds out how far the
//! history reaches back. Where another machine prunes, it only looks.

use std::sync::Arc;
use std::time::Duration;

use ebbtide_catalog::{Progress, Survey};
use ebbtide_config::Database;
use ebbtide_replica::Timestamp;
use ebbtide_retention::{Extent, Pass, PruneError, prune};
use ebbtide_store::error_chain;
use tokio::task::JoinHandle;

use super::kept_history::KeptHistory;
use super::keyed::open_store;
use super::phase::Phase;
use super::prune_summary::PruneSummary;
use super::shared::Shared;
use super::status::Status;
use crate::clock;

/// How long after the start the first pass is done: a process that ends soon need not begin.
const FIRST: Duration = Duration::from_secs(30);

/// How long after one pass the next one of the process is begun: a process with many databases does not ask the store about
/// all of them at once. So 10,000 have their turns within 14 hours.
const APART: Duration = Duration::from_secs(5);

/// How often a pass is done.
const INTERVAL: Duration = Duration::from_secs(24 * 3600);

/// How long to wait after a pass that failed.
const RETRY: Duration = Duration::from_secs(3600);

const BY: &str = concat!("ebbtide ", env!("CARGO_PKG_VERSION"));

/// The passes over the replica of one database. They end when this is dropped: what a pass leaves undone, the next one
/// does.
#[derive(Debug)]
pub(crate) struct Pruning(JoinHandle<()>);

impl Pruning {
    /// Begins the passes.
    pub(crate) fn begin(database: &Database, shared: &Shared, status: &Status) -> Pruning {
        let (database, shared, status) = (database.clone(), shared.clone(), status.clone());
        Pruning(tokio::spawn(passes(database, shared, status)))
    }
}

impl Drop for Pruning {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn passes(database: Database, shared: Shared, status: Status) {
    let mut pause = FIRST;
    loop {
        if database.prunes {
            status.prune_due(after(pause));
        }
        tokio::time::sleep(pause).await;
        // Only who owns the replica decides what it keeps.
        if status.noted(|noted| noted.phase) != Phase::Following {
            pause = FIRST;
            continue;
        }
        let Ok(turn) = shared.prune_turn().await else { return };
        status.prune_begins();
        pause = INTERVAL;
        let ended = match database.prunes {
            true => pass(&database, &status).await,
            false => look(&database, &status).await,
        };
        if let Err(error) = ended {
            tell(&database, &status, error);
            pause = RETRY;
        }
        tokio::time::sleep(APART).await;
        drop(turn);
    }
}

fn after(pause: Duration) -> Timestamp {
    let micros = i64::try_from(pause.as_micros()).unwrap_or(i64::MAX);
    let at = clock::now().as_micros().saturating_add(micros);
    Timestamp::from_micros(at).unwrap_or(Timestamp::MAX)
}

fn tell(database: &Database, status: &Status, error: PruneError) {
    let (path, error) = (database.path.display(), error_chain(&error));
    if database.prunes {
        tracing::warn!(database = %path, %error, "nothing was deleted from the replica");
        status.prune_failed(error);
    } else {
        tracing::debug!(database = %path, %error, "how far the history reaches back is not known");
    }
}

/// Finds out how far the history reaches back.
async fn look(database: &Database, status: &Status) -> Result<(), PruneError> {
    let store = status.metered(open_store(database).await?);
    let mut survey = Survey::new(store, Arc::new(Progress::default())).await?;
    if let Some(extent) = Extent::of(&mut survey).await? {
        status.reaches_back(KeptHistory::of(extent));
    }
    Ok(())
}

async fn pass(database: &Database, status: &Status) -> Result<(), PruneError> {
    let store = status.metered(open_store(database).await?);
    let pass =
        Pass { keep: database.keep, confirm_shrink: false, thorough: false, by: BY.to_owned() };
    let pruned = match prune(store, &pass).await {
        // Another one prunes, too: what is to be done is done by it.
        Err(PruneError::Overtaken) => return Ok(()),
        pruned => pruned?,
    };
    if let Some(extent) = pruned.extent {
        status.reaches_back(KeptHistory::of(extent));
    }
    let pruned = PruneSummary::of(&pruned);
    let path = database.path.display();
    let PruneSummary { deleted_objects, condemned_objects, retained_objects, .. } = pruned;
    if deleted_objects + condemned_objects + retained_objects > 0 {
        tracing::info!(
            database = %path, deleted_objects, condemned_objects, retained_objects, "pruned the replica"
        );
    }
    status.pruned(pruned);
    Ok(())
}
