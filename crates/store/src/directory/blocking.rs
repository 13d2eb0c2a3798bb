//! Work that waits for a disk.

use crate::error::{ErrorKind, StoreError};

/// Runs `work` where it may block.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(StoreError::new(
            ErrorKind::Unavailable,
            "use the replica's directory",
            "the work was broken off",
        )
        .caused_by(error)),
    }
}
