//! Detects a stale database: one that is in an earlier state of its replica. Such a database is an older copy or was
//! set back, and not one that was changed while ebbtide did not run.

use std::pin::pin;

use ebbtide_replica::{EntryKind, Manifest, Txid};
use ebbtide_store::Store;
use futures::TryStreamExt as _;

use crate::comparison::Difference;
use crate::error::Error;
use crate::newest::newest_objects;

/// The newest entry among the newest `objects_max` objects of a replica whose state equals the database's, as `found`
/// describes it. The caller has excluded that the database is in the state of the last entry.
///
/// # Errors
/// When the replica cannot be read.
pub async fn find_stale(
    store: &dyn Store,
    manifest: &Manifest,
    found: &Difference,
    objects_max: usize,
) -> Result<Option<Txid>, Error> {
    let newest_first = newest_objects(store, objects_max).await?;
    let mut indexes = pin!(ebbtide_catalog::read_indexes(store, manifest, newest_first));
    loop {
        let fetched = match indexes.try_next().await {
            Ok(Some((_, fetched))) => fetched,
            Ok(None) => return Ok(None),
            // An unreadable object has no state that could be restored.
            Err(error) if error.is_about_object() => continue,
            Err(error) => return Err(error.into()),
        };
        let same = fetched.index.entries().iter().rev().find(|entry| {
            entry.kind != EntryKind::Claim
                && entry.digest == found.digest
                && entry.database_pages == found.database_pages
        });
        if let Some(entry) = same {
            return Ok(Some(entry.txid));
        }
    }
}
