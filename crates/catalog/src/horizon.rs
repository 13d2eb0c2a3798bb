//! The newest horizon that can be read.

use ebbtide_replica::container::DocumentObject;
use ebbtide_replica::{Error, Horizon, KeyPrefix, Manifest};
use ebbtide_store::{ErrorKind, Store};

use crate::CatalogError;

/// The newest horizon that can be read, or that there is none. One that is damaged is named in a warning, and the one
/// before it counts.
pub async fn newest_horizon(
    store: &dyn Store,
    manifest: &Manifest,
) -> Result<Option<Horizon>, CatalogError> {
    for object in store.list(KeyPrefix::Horizon, None).await?.into_iter().rev() {
        let body = match store.get(&object.key, DocumentObject::OBJECT_SIZE_MAX).await {
            Ok(body) => body,
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Damaged) => {
                tracing::warn!(%error, "a horizon cannot be read; taking the one before it");
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let checked = Horizon::parse(&body).and_then(|(horizon, _)| {
            let is_ours = horizon.key() == object.key
                && horizon.replica == manifest.replica
                && horizon.page_size == manifest.page_size;
            is_ours.then_some(horizon).ok_or_else(|| {
                Error::damaged("the horizon", "it has another name or belongs to another replica")
            })
        });
        match checked {
            Ok(horizon) => return Ok(Some(horizon)),
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
