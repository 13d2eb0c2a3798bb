//! What goes wrong with a store, sorted by what a caller can do about it.

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;

use crate::error_chain::error_chain;

/// What a caller can do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// There is no such object.
    NotFound,
    /// The name is taken. Only the object itself shows whose it is.
    Exists,
    /// Authentication failed, or a permission is missing: a person must act.
    Denied,
    /// The request, the address or the configuration is wrong: a person must act.
    Invalid,
    /// The store asks us to slow down.
    Throttled,
    /// The store cannot be reached, does not answer in time, has no room, or fails on its side. After a put it is open
    /// whether the object is there.
    Unavailable,
    /// The object is there and is not what was asked for: too long, too short, or a directory.
    Damaged,
}

/// A request to a store that failed. It reads as "what was attempted: why it failed"; what it was caused by, if there
/// is more to say, is its `source`. Credentials are in neither.
#[derive(Clone)]
pub struct StoreError {
    kind: ErrorKind,
    what: String,
    why: String,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

impl StoreError {
    /// `what` was attempted, "put log/000000000000002a.seg", and failed because of `why`.
    pub fn new(kind: ErrorKind, what: impl Into<String>, why: impl Into<String>) -> StoreError {
        StoreError { kind, what: what.into(), why: why.into(), source: None }
    }

    /// The same error with the one that caused it.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> StoreError {
        self.source = Some(Arc::from(source.into()));
        self
    }

    /// A failed operation on the file or directory `path`.
    pub(super) fn io(what: &str, path: &std::path::Path, error: io::Error) -> StoreError {
        let kind = match error.kind() {
            io::ErrorKind::NotFound => ErrorKind::NotFound,
            io::ErrorKind::AlreadyExists => ErrorKind::Exists,
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                ErrorKind::Denied
            }
            io::ErrorKind::UnexpectedEof | io::ErrorKind::IsADirectory => ErrorKind::Damaged,
            io::ErrorKind::NotADirectory
            | io::ErrorKind::InvalidInput
            | io::ErrorKind::InvalidFilename => ErrorKind::Invalid,
            _ => ErrorKind::Unavailable,
        };
        StoreError::new(kind, what, path.display().to_string()).caused_by(error)
    }

    /// What a caller can do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// It and what it was caused by, in one line: "put log/1: /backup/log: no storage space".
    #[must_use]
    pub fn with_causes(&self) -> String {
        error_chain(self)
    }

    /// Whether trying again, without anybody having done something about it, must fail again.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        !matches!(self.kind, ErrorKind::Throttled | ErrorKind::Unavailable)
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.why)
    }
}

impl fmt::Debug for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.with_causes())
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_pass_by_itself_is_worth_another_attempt() {
        let passing = |kind| !StoreError::new(kind, "get x", "").is_permanent();
        assert!(passing(ErrorKind::Throttled) && passing(ErrorKind::Unavailable));
        for kind in [
            ErrorKind::NotFound,
            ErrorKind::Exists,
            ErrorKind::Denied,
            ErrorKind::Invalid,
            ErrorKind::Damaged,
        ] {
            assert!(!passing(kind), "{kind:?}");
        }
    }

    #[test]
    fn errors_of_files_keep_the_path_and_the_cause() {
        let full = io::Error::from(io::ErrorKind::StorageFull);
        let error = StoreError::io("put log/1", std::path::Path::new("/backup/log"), full);
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert_eq!(error.to_string(), "put log/1: /backup/log");
        assert_eq!(format!("{error:?}"), "Unavailable: put log/1: /backup/log: no storage space");
    }
}
