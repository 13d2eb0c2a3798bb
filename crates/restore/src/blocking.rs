//! Runs a part of a restore on a thread that may wait for the disk.

use crate::error::{Error, Result};

/// Runs what may wait for the disk.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => {
            tracing::error!(%error, "a part of the restore broke off");
            Err(Error::interrupted())
        }
    }
}
