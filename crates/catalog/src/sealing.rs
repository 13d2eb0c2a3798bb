//! How somebody who adds a document to a replica encrypts it.

use ebbtide_replica::Manifest;
use ebbtide_replica::container::Sealing;
use ebbtide_seal::KeyUse;
use ebbtide_store::{KeyError, Store, keys_at_hand, open_key};

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
    let (id, key_use) = (encryption.index, KeyUse::Index);
    match open_key(store, manifest.replica, id, key_use).await {
        Ok(()) => {}
        Err(KeyError::Store(error)) => return Err(error.into()),
        Err(error) => return Err(CatalogError::Key(error)),
    }
    let index = keys_at_hand(store).get(id).cloned();
    let index = index.ok_or(CatalogError::Key(KeyError::Missing { id, key_use }))?;
    Ok(Some(Sealing { pages: None, index }))
}
