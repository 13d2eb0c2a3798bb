//! The newest objects of a replica, and the newest claim in them.

use std::pin::pin;

use ebbtide_replica::{Claim, Key, Manifest};
use ebbtide_store::{Object, Store};
use futures::TryStreamExt as _;

use crate::error::Error;
use crate::owner::last_claim;

/// The number of newest objects that are searched for a claim.
const OBJECTS_SEARCHED: usize = 4096;

/// The newest claim of a replica, if there is one among its newest objects.
pub(crate) async fn newest_claim(
    store: &dyn Store,
    manifest: &Manifest,
) -> Result<Option<Claim>, Error> {
    let newest_first = newest_objects(store, OBJECTS_SEARCHED).await?;
    let mut indexes = pin!(ebbtide_catalog::read_indexes(store, manifest, newest_first));
    loop {
        match indexes.try_next().await {
            Ok(Some((_, fetched))) => {
                if let Some(claim) = last_claim(&fetched.index) {
                    return Ok(Some(claim));
                }
            }
            Ok(None) => return Ok(None),
            // An unreadable object is no reason to stop here: a restore or verify reports it.
            Err(error) if error.is_about_object() => {}
            Err(error) => return Err(error.into()),
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
