//! The store of a replica as its own host opens it beside the following: with the index keys, if it has any.

use std::path::Path;
use std::sync::Arc;

use ebbtide_config::Database;
use ebbtide_state::index_keys;
use ebbtide_store::{KeyedStore, Keyring, Store, StoreError};

/// Opens the store of a database's replica.
pub(crate) async fn open_store(database: &Database) -> Result<Arc<dyn Store>, StoreError> {
    Ok(with_keys(database, database.location.open().await?))
}

/// A store that has the replica of a database, or a mirror of it, with the index keys in the local state.
pub(crate) fn with_keys(database: &Database, store: Arc<dyn Store>) -> Arc<dyn Store> {
    with_index_keys(&database.state_directory(), store)
}

/// A store with the index keys in a directory of local state, if there are any.
#[must_use]
pub fn with_index_keys(state: &Path, store: Arc<dyn Store>) -> Arc<dyn Store> {
    match index_keys(state) {
        Ok(keys) if keys.is_empty() => store,
        Ok(keys) => {
            let keyring = Arc::new(Keyring::new(keys.into_iter().collect(), None));
            Arc::new(KeyedStore::new(store, keyring))
        }
        // Whoever needs one of them says which.
        Err(error) => {
            tracing::warn!(%error, "cannot read the index keys");
            store
        }
    }
}
