//! The keys that open an object's index, and the rule that a replica is encrypted as a whole or not at all.

use std::sync::Arc;

use ebbtide_replica::container::Header;
use ebbtide_replica::{Error, Key, Manifest};
use ebbtide_seal::{KeyUse, Keys};
use ebbtide_store::{KeyError, Store, keys_at_hand, open_key};

use crate::CatalogError;

/// The keys with which the object `key` is opened, whose first bytes are `head`: none if it is a plain one, else those at
/// hand, with its index key among them.
///
/// # Errors
/// If it is encrypted and the replica is not, or the reverse, or it belongs to another replica, or its key is not to be
/// had. That is said of the object if there are keys at hand, so that it is an exception; otherwise of the replica.
pub async fn index_keys(
    store: &dyn Store,
    manifest: &Manifest,
    key: Key,
    head: &[u8],
) -> Result<Arc<Keys>, CatalogError> {
    let damaged = CatalogError::object(key);
    let (header, envelope) = Header::parse_any(head).map_err(&damaged)?;
    let mixed = |why: &str| Err(damaged(Error::damaged("the object", why)));
    let envelope = match (envelope, manifest.encryption) {
        (None, None) => return Ok(Arc::default()),
        (None, Some(_)) => {
            return mixed("it is not encrypted, and ebbtide.json says that the replica is");
        }
        (Some(_), None) => {
            return mixed("it is encrypted, and ebbtide.json says that the replica is not");
        }
        (Some(envelope), Some(_)) => envelope,
    };
    check_replica(manifest, &header).map_err(&damaged)?;
    match open_key(store, manifest.replica, envelope.index, KeyUse::Index).await {
        Ok(()) => Ok(keys_at_hand(store)),
        Err(error @ (KeyError::Store(_) | KeyError::Identity(_))) => Err(error.into()),
        Err(error) if keys_at_hand(store).is_empty() => Err(error.into()),
        Err(error) => Err(damaged(Error::damaged("the object", error.to_string()))),
    }
}

/// Refuses an object of another replica.
pub(crate) fn check_replica(manifest: &Manifest, header: &Header) -> Result<(), Error> {
    if header.replica == manifest.replica {
        return Ok(());
    }
    let (theirs, ours) = (header.replica, manifest.replica);
    let why = format!("it belongs to the replica {theirs}, and ebbtide.json says {ours}");
    Err(Error::damaged("the object", why))
}
