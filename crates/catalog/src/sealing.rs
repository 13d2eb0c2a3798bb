//! How somebody who adds a document to a replica encrypts it.

use ebbtide_replica::Manifest;
use ebbtide_replica::container::Sealing;
use ebbtide_seal::KeyUse;
use ebbtide_store::{Store, take_key};

use super::CatalogError;

/// What horizons and marks of the replica that says `manifest` of itself are encrypted with: its index key. Nothing if the
/// replica is a plain one.
///
/// # Errors
/// When the index key is not to be had.
pub async fn sealing(
    store: &dyn Store,
    manifest: &Manifest,
) -> Result<Option<Sealing>, CatalogError> {
    let Some(encryption) = manifest.encryption else { return Ok(None) };
    let index = take_key(store, manifest.replica, encryption.index, KeyUse::Index).await?;
    Ok(Some(Sealing { pages: None, index }))
}
