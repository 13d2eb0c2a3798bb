//! The databases of a pattern on a machine whose disk is empty: all that have replicas are restored.
//!
//! Where one of them is there, those that are not were deleted on purpose, for all that can be known, and nothing is restored
//! ([0065](../../../../docs/decisions/0065-restore-patterns-on-an-empty-disk.md)). A file marks a disk that was empty when
//! restoring began, until all is there.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use ebbtide_catalog::{CatalogError, Identity, Progress, head, identify, read_marks};
use ebbtide_config::{Database, Pattern};
use ebbtide_fleet::find;
use ebbtide_retention::REMOVED;
use ebbtide_sidecar::present;
use ebbtide_store::{Location, Store};
use futures::{StreamExt as _, stream};
use tokio::task::block_in_place;

use super::lost_database::{free_place, open, restore_into};
use crate::commands::unreadable;
use crate::exit::{Code, Failure};
use crate::progress_bar::{Counted, bar, watch_on};

/// In the directory of the pattern, while not all is restored.
const UNFINISHED: &str = ".ebbtide-restoring";

/// How many databases are restored at once.
const RESTORES_AT_ONCE: usize = 4;

/// Restores the databases of a pattern if none of them is there.
///
/// # Errors
/// When the replicas cannot be listed, or one cannot be restored. All others are restored before that is told.
pub(super) async fn restore_pattern(pattern: &Pattern) -> Result<(), Failure> {
    let unfinished = pattern.root().join(UNFINISHED);
    if !unfinished.exists() && block_in_place(|| has_databases(pattern))? {
        return Ok(());
    }
    let above = pattern.above_replicas().map_err(|why| Failure::new(Code::Usage, why))?;
    let places = find(&above, |_| ()).await;
    let places = places.map_err(|error| Failure::new(Code::Failed, error))?;
    let missing = missing(pattern, &places);
    if missing.is_empty() {
        let (pattern, above) = (pattern.text(), above.to_string());
        tracing::info!(
            pattern,
            replicas = above,
            "no database of the pattern is missing: nothing to restore"
        );
    } else {
        let begun = fs::create_dir_all(pattern.root()).and_then(|()| fs::write(&unfinished, ""));
        begun.map_err(|error| on_disk(&unfinished, &error))?;
        restore_all(&missing).await?;
    }
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(on_disk(&unfinished, &error)),
        _ => Ok(()),
    }
}

/// Whether any of them is there. A directory that cannot be read may have one.
fn has_databases(pattern: &Pattern) -> Result<bool, Failure> {
    let present = present(pattern);
    match present.unreadable.first() {
        Some((directory, error)) => Err(on_disk(directory, error)),
        None => Ok(!present.databases.is_empty()),
    }
}

/// The databases of these replicas that are not there.
fn missing(pattern: &Pattern, places: &[Location]) -> Vec<Database> {
    let (mut missing, mut foreign) = (Vec::new(), Vec::new());
    for place in places {
        match pattern.database_of(place) {
            Some(database) if database.path.exists() => {}
            Some(database) => missing.push(database),
            None => foreign.push(place.to_string()),
        }
    }
    if let Some(first) = foreign.first() {
        let (pattern, count) = (pattern.text(), foreign.len());
        tracing::warn!(
            pattern,
            count,
            first,
            "replicas whose addresses name no database of the pattern stay where they are"
        );
    }
    missing
}

async fn restore_all(missing: &[Database]) -> Result<(), Failure> {
    let overall = Progress::default();
    overall.start(missing.len() as u64);
    let restores = stream::iter(missing).map(|database| async {
        let directory = database.path.parent().unwrap_or(&database.path);
        let restored = match fs::create_dir_all(directory) {
            Ok(()) => restore_unless_removed(database).await,
            Err(error) => Err(on_disk(directory, &error)),
        };
        overall.add_done(1);
        let failure = restored.err()?;
        tracing::error!(database = %database.path.display(), error = %failure, "it cannot be restored");
        Some(failure.code())
    });
    let failed = restores.buffer_unordered(RESTORES_AT_ONCE).filter_map(std::future::ready);
    let failed = failed.collect::<Vec<Code>>();
    let failed = watch_on(&bar("restore", false), Counted::Number, false, &overall, failed).await;
    let (count, all) = (failed.len(), missing.len());
    match failed.into_iter().max() {
        None => Ok(()),
        Some(code) => {
            let why = format!("{count} of {all} databases cannot be restored, so nothing begins");
            Err(Failure::new(code, why))
        }
    }
}

/// Restores a database, unless its last state is marked as that of one that was removed.
async fn restore_unless_removed(database: &Database) -> Result<(), Failure> {
    let store = open(database).await?;
    if is_removed(&*store).await.map_err(unreadable)? {
        let (database, replica) = (database.path.display(), &database.location);
        tracing::info!(%database, %replica, "it was removed, as the mark `{REMOVED}` says: not restored");
        return Ok(());
    }
    restore_into(database, free_place(database)?, store, &Arc::default()).await
}

/// Whether nothing came after a state that is marked as the last one of a database that was removed.
async fn is_removed(store: &dyn Store) -> Result<bool, CatalogError> {
    let Some(Identity { manifest, .. }) = identify(store, None).await? else { return Ok(false) };
    let marks = read_marks(store, &manifest).await?.marks;
    let removed = marks.iter().filter(|stored| stored.mark.contents.name == REMOVED);
    let Some(last) = removed.map(|stored| stored.mark.txid).max() else { return Ok(false) };
    let head = head(store, &manifest).await?;
    Ok(head.is_none_or(|head| head.state.txid() <= last))
}

fn on_disk(path: &Path, error: &io::Error) -> Failure {
    Failure::new(Code::Failed, format!("{}: {error}", path.display()))
}
