//! One database that is not there, and comes back from its replica.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ebbtide_catalog::{Nothing, PlanError, Progress, Target};
use ebbtide_config::Database;
use ebbtide_restore::{Error, LocalState, Options, restore};
use ebbtide_store::Store;
use ebbtide_wal::companion;

use crate::commands::failure;
use crate::destination::follow_links;
use crate::exit::{Code, Failure};

/// Restores a database that is not there; nothing is done if there is no replica of it either.
///
/// # Errors
/// When it cannot be restored.
pub(super) async fn restore_one(
    database: &Database,
    progress: &Arc<Progress>,
) -> Result<(), Failure> {
    let output = free_place(database)?;
    let store = open(database).await?;
    restore_into(database, output, store, progress).await
}

/// Opens the replica of a database.
///
/// # Errors
/// When there is no way to its store.
pub(super) async fn open(database: &Database) -> Result<Arc<dyn Store>, Failure> {
    let store = database.location.open().await;
    store.map_err(|error| Failure::new(Code::Failed, error))
}

/// Where the database will be.
///
/// # Errors
/// When a log lies there.
pub(super) fn free_place(database: &Database) -> Result<PathBuf, Failure> {
    let output = follow_links(&database.path)?;
    refuse_log(&output)?;
    Ok(output)
}

/// Restores a database to its place out of its replica, which is open.
///
/// # Errors
/// As [`restore_one`].
pub(super) async fn restore_into(
    database: &Database,
    output: PathBuf,
    store: Arc<dyn Store>,
    progress: &Arc<Progress>,
) -> Result<(), Failure> {
    let state = database.state.clone().unwrap_or_else(|| ebbtide_state::state_directory(&output));
    let location = database.location.to_string();
    let now = ebbtide_sidecar::clock::now();
    let state = Some(LocalState { directory: state, location: location.clone() });
    let options = Options { state, ..Options::new(Target::Latest, output.clone(), now) };
    match restore(store, &options, progress).await {
        Ok(report) => {
            let txid = report.outline.point.state.txid();
            tracing::info!(database = %output.display(), replica = location, %txid, "it was not there, and was restored");
            Ok(())
        }
        Err(Error::Plan(PlanError::Nothing(Nothing::Replica { .. }))) => {
            tracing::info!(database = %output.display(), replica = location, "neither it nor its replica is there: nothing to restore");
            Ok(())
        }
        // Another process that began at the same time has restored it.
        Err(_) if output.exists() => Ok(()),
        Err(error) => Err(failure(error)),
    }
}

/// SQLite plays a log that lies beside a new database, or deletes it, and it may have commits that no replica has.
fn refuse_log(database: &Path) -> Result<(), Failure> {
    for suffix in [companion::WAL, companion::JOURNAL] {
        let log = companion::path(database, suffix);
        if log.symlink_metadata().is_ok_and(|metadata| metadata.len() > 0) {
            let why = format!(
                "{} is not there, and {} is, which may have commits that the replica has not: bring the database back, or \
                 move that file aside",
                database.display(),
                log.display()
            );
            return Err(Failure::new(Code::Failed, why));
        }
    }
    Ok(())
}
