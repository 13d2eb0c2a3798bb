//! What can go wrong while a moment is read.

use std::sync::Arc;

use ebbtide_catalog::{CatalogError, PlanError};
use ebbtide_replica::{Key, Txid};
use ebbtide_store::{ErrorKind, StoreError};

/// What a call of this crate gives.
pub type Result<T> = std::result::Result<T, Error>;

/// Why there is no moment, or no page of it. It is cloned for everybody who waited for the same block.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no such state, or what would give it is damaged or gone.
    #[error(transparent)]
    Plan(Arc<PlanError>),
    /// The store failed.
    #[error(transparent)]
    Store(StoreError),
    /// An object was read and cannot be used, and nothing serves in its place.
    #[error("{key}: {why}")]
    Object {
        /// The object.
        key: Key,
        /// What is wrong with it.
        why: String,
    },
    /// A page that the database after this entry does not have.
    #[error("the database has {pages} pages after txid {txid}, and page {page} was asked for")]
    NoPage {
        /// The page.
        page: u32,
        /// The entry.
        txid: Txid,
        /// How many pages the database had then.
        pages: u32,
    },
    /// A task of ours ended without a result, which happens when the runtime shuts down.
    #[error("reading was broken off")]
    BrokenOff,
}

impl Error {
    /// Whether it is about an object of the replica, so that the replica is damaged and not merely out of reach.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        match self {
            Error::Plan(error) => error.is_damage(),
            Error::Object { .. } => true,
            _ => false,
        }
    }
}

impl From<PlanError> for Error {
    fn from(error: PlanError) -> Error {
        match error {
            PlanError::Store(error) => Error::Store(error),
            error => Error::Plan(Arc::new(error)),
        }
    }
}

/// What a look at an object gives.
pub(crate) type Tried<T> = std::result::Result<T, Stopped>;

/// What stopped a look at an object.
#[derive(Debug, Clone)]
pub(crate) enum Stopped {
    /// This object is damaged. Others may serve in its place.
    Damaged(Key, String),
    /// This object is no longer there. What was listed may be out of date.
    Gone(Key),
    /// Anything else.
    Failed(Error),
}

impl Stopped {
    /// An error of the store about this object.
    pub(crate) fn by_store(key: Key, error: StoreError) -> Stopped {
        match error.kind() {
            ErrorKind::NotFound => Stopped::Gone(key),
            ErrorKind::Damaged => Stopped::Damaged(key, error.to_string()),
            _ => Stopped::Failed(Error::Store(error)),
        }
    }

    /// An error of its index.
    pub(crate) fn by_index(key: Key, error: CatalogError) -> Stopped {
        match error {
            CatalogError::Store(error) => Stopped::by_store(key, error),
            CatalogError::Object { source, .. } => Stopped::Damaged(key, source.to_string()),
            error if error.is_about_object() => Stopped::Damaged(key, error.to_string()),
            error => Stopped::Failed(PlanError::from(error).into()),
        }
    }

    /// What is told if nothing serves in the object's place.
    pub(crate) fn into_error(self) -> Error {
        match self {
            Stopped::Damaged(key, why) => Error::Object { key, why },
            Stopped::Gone(key) => Error::Object { key, why: "it is missing".to_owned() },
            Stopped::Failed(error) => error,
        }
    }
}
