//! Detects a stale database: one that is in an earlier state of its replica. Such a database is an older copy or was
//! set back, and not one that was changed while ebbtide did not run.

use std::pin::pin;

use ebbtide_replica::{EntryKind, Key, Manifest, Txid};
use ebbtide_store::{Object, Store};
use futures::TryStreamExt as _;

use crate::error::Error;
use crate::image::Difference;
use crate::shipper::Shipper;

impl Shipper {
    /// The newest entry among the last `segments_max` segments whose state equals the database's, as `found` describes
    /// it. The caller has excluded that the database is in the state of the last entry.
    ///
    /// # Errors
    /// When the replica cannot be read.
    pub async fn find_stale(
        &self,
        found: &Difference,
        segments_max: usize,
    ) -> Result<Option<Txid>, Error> {
        find_stale(
            &*self.presence.destination().store,
            self.presence.manifest(),
            found,
            segments_max,
        )
        .await
    }
}

/// [`Shipper::find_stale`] among the newest `objects_max` objects of a replica.
pub(crate) async fn find_stale(
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

/// The newest segments and packs of the replica, newest first.
pub(crate) async fn newest_objects(
    store: &dyn Store,
    objects_max: usize,
) -> Result<Vec<Object>, Error> {
    let (listing, _) = ebbtide_catalog::list_recent(store).await?;
    let mut objects: Vec<Object> = listing.packs.iter().chain(&listing.log).copied().collect();
    objects.sort_by_key(|object| match object.key {
        Key::Log(first) => Some(first),
        Key::Pack { last, .. } => Some(last),
        _ => None,
    });
    Ok(objects.into_iter().rev().take(objects_max).collect())
}
