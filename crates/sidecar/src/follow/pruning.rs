//! Deletes once a day what the policy of a database does not keep, beside the following of it.

use std::time::Duration;

use ebbtide_config::Database;
use ebbtide_retention::{Pass, PruneError, prune};
use ebbtide_store::error_chain;
use tokio::task::JoinHandle;

use super::phase::Phase;
use super::prune_summary::PruneSummary;
use super::shared::Shared;
use super::status::Status;

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
    /// Begins the passes, if the database is to have any.
    pub(crate) fn begin(database: &Database, shared: &Shared, status: &Status) -> Option<Pruning> {
        let (database, shared, status) = (database.clone(), shared.clone(), status.clone());
        database.prunes.then(|| Pruning(tokio::spawn(passes(database, shared, status))))
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
        tokio::time::sleep(pause).await;
        // Only who owns the replica decides what it keeps.
        if status.noted(|noted| noted.phase) != Phase::Following {
            pause = FIRST;
            continue;
        }
        let Ok(turn) = shared.prune_turn().await else { return };
        pause = INTERVAL;
        if let Err(error) = pass(&database, &status).await {
            let path = database.path.display();
            let error = error_chain(&error);
            tracing::warn!(database = %path, %error, "nothing was deleted from the replica");
            status.prune_failed(error);
            pause = RETRY;
        }
        tokio::time::sleep(APART).await;
        drop(turn);
    }
}

async fn pass(database: &Database, status: &Status) -> Result<(), PruneError> {
    let store = database.location.open().await?;
    let pass =
        Pass { keep: database.keep, confirm_shrink: false, thorough: false, by: BY.to_owned() };
    let pruned = match prune(store, &pass).await {
        // Another one prunes, too: what is to be done is done by it.
        Err(PruneError::Overtaken) => return Ok(()),
        pruned => PruneSummary::of(&pruned?),
    };
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
