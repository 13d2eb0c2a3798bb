//! What can go wrong while a replica is read.

use ebbtide_replica::{Error, Key};
use ebbtide_state::StateError;
use ebbtide_store::{ErrorKind, KeyError, StoreError};

/// Why something could not be read from a replica.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CatalogError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The object was read and cannot be used.
    #[error("{key}: {source}")]
    Object {
        /// The object.
        key: Key,
        /// What is wrong with it.
        source: Error,
    },
    /// The replica is encrypted, and the key that opens it is not to be had.
    #[error(transparent)]
    Key(KeyError),
    /// An object that has to be there is not.
    #[error("{key} is missing: {why}")]
    Missing {
        /// The object, or the one that would hold what is missing.
        key: Key,
        /// Who needs it.
        why: String,
    },
    /// The local state could not be written.
    #[error(transparent)]
    State(#[from] StateError),
}

impl CatalogError {
    /// What is wrong with `key`.
    pub(super) fn object(key: Key) -> impl Fn(Error) -> CatalogError {
        move |source| CatalogError::Object { key, source }
    }

    /// Whether it is about one object, so that other objects might serve in its place; otherwise the store as a whole
    /// cannot be read.
    #[must_use]
    pub fn is_about_object(&self) -> bool {
        match self {
            CatalogError::Store(error) => {
                matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Damaged)
            }
            CatalogError::Object { .. } | CatalogError::Missing { .. } => true,
            CatalogError::Key(_) | CatalogError::State(_) => false,
        }
    }
}

impl From<KeyError> for CatalogError {
    fn from(error: KeyError) -> CatalogError {
        match error {
            KeyError::Store(error) => CatalogError::Store(error),
            error => CatalogError::Key(error),
        }
    }
}
