//! Wrapped keys as the store has them: their names, and those that are fetched before anybody asks.

use std::sync::Arc;

use bytes::Bytes;
use ebbtide_replica::{Key, KeyDocument, KeyPrefix, Timestamp};
use futures::future::join_all;

use super::api::Store;
use super::error::StoreError;
use super::keyring::{Keyring, WrappedNames};

/// How many wrapped keys are fetched before anybody asks for them.
const FORESEEN_MAX: usize = 8;

/// Fetches the wrapped keys in `store` that will probably be needed, if they can be opened: the newest form of the first key
/// that was made, which mostly is the index key, and of the last ones. Beside this, [`open_key`](super::open_key) may be
/// called; it waits for what is on its way.
///
/// What fails here fails again for whoever needs it, and is told there.
pub async fn foresee_keys(store: &dyn Store) {
    let Some(keyring) = store.keyring().filter(|keyring| keyring.has_identity()) else { return };
    let mut foreseen = keyring.foreseen.lock().await;
    let Ok((names, _)) = keyring.names(store, None).await else { return };
    let newest = names.iter().filter_map(|(&id, forms)| {
        let &(number, wrapped) = forms.last()?;
        Some((wrapped, Key::Wrapped { id, number }))
    });
    let mut newest: Vec<_> = newest.collect();
    newest.sort_unstable();
    if newest.len() > FORESEEN_MAX {
        newest.drain(1..=newest.len() - FORESEEN_MAX);
    }
    let fetched = newest.into_iter().map(|(_, key)| async move {
        let body = store.get(&key, KeyDocument::WRAPPED_MAX as u64).await.ok()?;
        Some((key, body))
    });
    foreseen.extend(join_all(fetched).await.into_iter().flatten());
}

impl Keyring {
    /// The names of the wrapped keys, out of another listing than `other`; and whether it was made just now.
    pub(super) async fn names(
        &self,
        store: &dyn Store,
        other: Option<&Arc<WrappedNames>>,
    ) -> Result<(Arc<WrappedNames>, bool), StoreError> {
        let mut listed = self.listed.lock().await;
        if let Some(names) = &*listed
            && other.is_none_or(|other| !Arc::ptr_eq(other, names))
        {
            return Ok((Arc::clone(names), false));
        }
        let mut names = WrappedNames::new();
        for object in store.list(KeyPrefix::Wrapped, None).await? {
            if let Key::Wrapped { id, number } = object.key {
                let modified = (object.modified != Timestamp::MAX).then_some(object.modified);
                names.entry(id).or_default().push((number, modified));
            }
        }
        let names = Arc::new(names);
        *listed = Some(Arc::clone(&names));
        Ok((names, true))
    }

    /// A wrapped key, which is fetched if it was not foreseen. A second time it is fetched in any case.
    pub(super) async fn wrapped(&self, store: &dyn Store, key: &Key) -> Result<Bytes, StoreError> {
        match self.foreseen.lock().await.remove(key) {
            Some(body) => Ok(body),
            None => store.get(key, KeyDocument::WRAPPED_MAX as u64).await,
        }
    }
}
