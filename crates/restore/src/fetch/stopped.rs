//! What stops a fetch, and what the errors of stores, indexes and threads mean for it.

use std::sync::Arc;

use ebbtide_catalog::CatalogError;
use ebbtide_replica::Key;
use ebbtide_store::{ErrorKind, StoreError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinError;

use crate::error::Error;

/// What stopped a fetch.
#[derive(Debug)]
pub(crate) enum Stopped {
    /// This object is damaged. Others may serve in its place.
    Damaged(Key, String),
    /// This object is no longer there. What was listed may be out of date.
    Gone(Key),
    /// Anything else.
    Failed(Error),
}

pub(super) fn index_stopped(key: Key, error: CatalogError) -> Stopped {
    match error {
        CatalogError::Store(error) => store_stopped(key, error),
        error if error.is_about_object() => Stopped::Damaged(key, error.to_string()),
        error => Stopped::Failed(error.into()),
    }
}

pub(super) fn store_stopped(key: Key, error: StoreError) -> Stopped {
    match error.kind() {
        ErrorKind::NotFound => Stopped::Gone(key),
        ErrorKind::Damaged => Stopped::Damaged(key, error.to_string()),
        _ => Stopped::Failed(error.into()),
    }
}

/// Waits for permits of a semaphore, which is closed only with the whole fetch.
pub(super) async fn acquire(
    semaphore: &Arc<Semaphore>,
    permits: u32,
) -> Result<OwnedSemaphorePermit, Stopped> {
    let permit = Arc::clone(semaphore).acquire_many_owned(permits).await;
    permit.map_err(|_| Stopped::Failed(Error::interrupted()))
}

pub(super) fn broken_off(error: &JoinError) -> Stopped {
    tracing::error!(%error, "a part of the restore broke off");
    Stopped::Failed(Error::interrupted())
}
