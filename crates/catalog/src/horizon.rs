//! The newest horizon that can be read.

use ebbtide_replica::container::DocumentObject;
use ebbtide_replica::{Error, Horizon, Key, KeyPrefix, Manifest, Timestamp};
use ebbtide_store::{ErrorKind, Object, Store};

use crate::CatalogError;
use crate::index_keys::index_keys;

/// A horizon as it lies in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredHorizon {
    /// The horizon.
    pub horizon: Horizon,
    /// The root in its footer, by which the next one names it.
    pub root: [u8; 32],
    /// Since when the store has had it.
    pub stored: Timestamp,
}

/// The newest horizon that can be read, or that there is none. One that is damaged is named in a warning, and the one
/// before it counts.
pub async fn newest_horizon(
    store: &dyn Store,
    manifest: &Manifest,
) -> Result<Option<StoredHorizon>, CatalogError> {
    newest_of(store, manifest, store.list(KeyPrefix::Horizon, None).await?).await
}

/// The newest horizon before that of this number that can be read, or that there is none.
///
/// # Errors
/// When the store fails.
pub async fn horizon_before(
    store: &dyn Store,
    manifest: &Manifest,
    number: u64,
) -> Result<Option<StoredHorizon>, CatalogError> {
    let mut listed = store.list(KeyPrefix::Horizon, None).await?;
    listed.retain(|object| object.key < Key::Horizon(number));
    newest_of(store, manifest, listed).await
}

/// The newest of these horizons that can be read.
pub(crate) async fn newest_of(
    store: &dyn Store,
    manifest: &Manifest,
    listed: Vec<Object>,
) -> Result<Option<StoredHorizon>, CatalogError> {
    for object in listed.into_iter().rev() {
        let body = match store.get(&object.key, DocumentObject::OBJECT_SIZE_MAX).await {
            Ok(body) => body,
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Damaged) => {
                tracing::warn!(%error, "a horizon cannot be read; taking the one before it");
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let opened = match index_keys(store, manifest, object.key, &body).await {
            Ok(keys) => Horizon::open(&body, &keys),
            Err(CatalogError::Object { source, .. }) => Err(source),
            Err(error) => return Err(error),
        };
        let checked = opened.and_then(|(horizon, root)| {
            let is_ours = horizon.key() == object.key
                && horizon.replica == manifest.replica
                && horizon.page_size == manifest.page_size;
            let stored = StoredHorizon { horizon, root, stored: object.modified };
            is_ours.then_some(stored).ok_or_else(|| {
                Error::damaged("the horizon", "it has another name or belongs to another replica")
            })
        });
        match checked {
            Ok(stored) => return Ok(Some(stored)),
            Err(error @ Error::Newer { .. }) => {
                return Err(CatalogError::Object { key: object.key, source: error });
            }
            Err(error) => {
                tracing::warn!(object = %object.key, %error, "a horizon cannot be used; taking the one before it");
            }
        }
    }
    Ok(None)
}
