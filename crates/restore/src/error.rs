//! Why a restore, or a look at a replica, did not succeed. A variant exists where the caller acts differently.

use std::io;
use std::path::{Path, PathBuf};

use ebbtide_catalog::{CatalogError, Nothing, PlanError};
use ebbtide_state::StateError;
use ebbtide_store::StoreError;

/// The usual result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of this crate. After each of them the target is as it was before.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is nothing to restore (exit code 3), or what there is cannot be restored exactly (4).
    #[error(transparent)]
    Plan(PlanError),

    /// The state was restored exactly, and the check that was asked for says that the database itself is not sound. It
    /// was not so in the application either.
    #[error("the database was restored exactly and is not sound: {why}")]
    Unsound {
        /// What the check said.
        why: String,
    },

    /// The target must not be touched, or not without being forced.
    #[error("{}: {why}", .path.display())]
    Refused {
        /// The target, or the file beside it.
        path: PathBuf,
        /// Why, and what to do.
        why: String,
    },

    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),

    /// The local state beside the target failed.
    #[error(transparent)]
    State(#[from] StateError),

    /// The file system failed.
    #[error("{what} {}", .path.display())]
    Io {
        /// What was attempted.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

impl Error {
    /// Whether there is no replica yet, or no state in it.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        matches!(
            self,
            Error::Plan(PlanError::Nothing(Nothing::Replica { .. } | Nothing::State { .. }))
        )
    }

    pub(crate) fn io<'a>(
        what: &'static str,
        path: &'a Path,
    ) -> impl FnOnce(io::Error) -> Error + 'a {
        move |source| Error::Io { what, path: path.to_path_buf(), source }
    }

    /// A task of ours ended without a result, which happens when the runtime shuts down.
    pub(crate) fn interrupted() -> Error {
        let source = io::Error::from(io::ErrorKind::Interrupted);
        Error::Io { what: "finish writing", path: PathBuf::new(), source }
    }

    pub(crate) fn refused(path: &Path, why: impl Into<String>) -> Error {
        Error::Refused { path: path.to_path_buf(), why: why.into() }
    }
}

impl From<CatalogError> for Error {
    fn from(error: CatalogError) -> Error {
        PlanError::from(error).into()
    }
}

impl From<PlanError> for Error {
    fn from(error: PlanError) -> Error {
        match error {
            PlanError::Store(error) => Error::Store(error),
            PlanError::State(error) => Error::State(error),
            error => Error::Plan(error),
        }
    }
}
