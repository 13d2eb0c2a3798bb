//! The mark of a database whose file was deleted or moved away beside us: its replica stays, and says that it is not to come
//! back by itself ([0065](../../../../docs/decisions/0065-restore-patterns-on-an-empty-disk.md)).

use std::time::Duration;

use ebbtide_catalog::Target;
use ebbtide_retention::{Marking, Period, REMOVED, mark};

use super::job::{Job, Order};
use super::keyed::open_store;
use super::last_commits::is_missing;
use crate::clock::now;

/// How long the store may take for it.
const PATIENCE: Duration = Duration::from_secs(10);

/// Marks the last state of a database that was let go, if it would be restored otherwise.
pub(super) async fn mark_removed(job: &Job) {
    let is_let_go = *job.order.borrow() == Order::LetGo && is_missing(&job.database.path);
    let has_state = job.status.noted(|noted| noted.durable.is_some());
    if !job.database.restore_if_missing || !is_let_go || !has_state {
        return;
    }
    let why = match tokio::time::timeout(PATIENCE, put(job)).await {
        Ok(Ok(())) => return,
        Ok(Err(why)) => why,
        Err(elapsed) => elapsed.to_string(),
    };
    tracing::warn!(
        database = %job.database.path.display(),
        replica = %job.database.location,
        why,
        "the database is gone, and its replica cannot be marked as {REMOVED}: it would be restored on an empty disk"
    );
}

async fn put(job: &Job) -> Result<(), String> {
    let store = open_store(&job.database).await.map_err(|error| error.to_string())?;
    let random = getrandom::u64().map_err(|error| error.to_string())?;
    let marking = Marking {
        name: REMOVED.to_owned(),
        lasts: Period::Forever,
        target: Target::Latest,
        random,
        now: now(),
    };
    let made = mark(job.status.metered(store), marking).await;
    made.map(|_| ()).map_err(|error| error.to_string())
}
