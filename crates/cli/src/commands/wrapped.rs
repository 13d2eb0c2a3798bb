//! The wrapped keys of a replica, as commands about keys see them.

use std::collections::BTreeMap;
use std::sync::Arc;

use ebbtide_catalog::identify;
use ebbtide_replica::{Key, KeyDocument, KeyPrefix, Manifest, Timestamp};
use ebbtide_seal::{KeyId, KeyUse};
use ebbtide_store::{KeyError, Store, take_key};

use super::unreadable;
use crate::exit::{Code, Failure};

/// The manifest of an encrypted replica, and the id of its index key.
///
/// # Errors
/// When there is no replica, or it is not encrypted.
pub(super) async fn encrypted(store: &Arc<dyn Store>) -> Result<(Manifest, KeyId), Failure> {
    let identity = identify(&**store, None).await.map_err(unreadable)?;
    let Some(identity) = identity else {
        let why = format!("there is no replica in {}: check the address", store.describe());
        return Err(Failure::new(Code::Nothing, why));
    };
    let Some(encryption) = identity.manifest.encryption else {
        let why = format!("the replica in {} is not encrypted: it has no keys", store.describe());
        return Err(Failure::new(Code::Usage, why));
    };
    Ok((identity.manifest, encryption.index))
}

/// Opens a key of the replica that says `manifest` of itself, and whose index key is `index`: every other one is a page key.
///
/// # Errors
/// When it is not to be had.
pub(super) async fn open(
    store: &Arc<dyn Store>,
    manifest: &Manifest,
    index: KeyId,
    id: KeyId,
) -> Result<KeyDocument, KeyError> {
    let (replica, key_use) = (manifest.replica, key_use(index, id));
    let key = take_key(&**store, replica, id, key_use).await?;
    Ok(KeyDocument { replica, key_use, key })
}

/// What a key is for.
pub(super) fn key_use(index: KeyId, id: KeyId) -> KeyUse {
    if id == index { KeyUse::Index } else { KeyUse::Pages }
}

/// What the store lists of them.
pub(super) struct WrappedKeys(BTreeMap<KeyId, Vec<(u32, Timestamp)>>);

impl WrappedKeys {
    /// Asks the store.
    ///
    /// # Errors
    /// When it does not answer.
    pub(super) async fn list(store: &Arc<dyn Store>) -> Result<WrappedKeys, Failure> {
        let listed = store.list(KeyPrefix::Wrapped, None).await;
        let mut keys: BTreeMap<KeyId, Vec<(u32, Timestamp)>> = BTreeMap::new();
        for object in listed.map_err(|error| Failure::new(Code::Failed, error))? {
            if let Key::Wrapped { id, number } = object.key {
                keys.entry(id).or_default().push((number, object.modified));
            }
        }
        Ok(WrappedKeys(keys))
    }

    /// The keys that are there.
    pub(super) fn ids(&self) -> impl Iterator<Item = KeyId> {
        self.0.keys().copied()
    }

    /// Of the keys but one, the one that was wrapped last.
    pub(super) fn newest_but(&self, other: KeyId) -> Option<KeyId> {
        self.ids().filter(|&id| id != other).max_by_key(|&id| self.wrapped(id))
    }

    /// When a key was wrapped last, by the store's clock, if that says so.
    pub(super) fn wrapped(&self, id: KeyId) -> Option<Timestamp> {
        let times = self.0.get(&id)?.iter().map(|&(_, modified)| modified);
        times.max().filter(|&modified| modified != Timestamp::MAX)
    }

    /// The objects of a key.
    pub(super) fn objects(&self, id: KeyId) -> impl Iterator<Item = Key> {
        let numbers = self.0.get(&id).into_iter().flatten();
        numbers.map(move |&(number, _)| Key::Wrapped { id, number })
    }
}
