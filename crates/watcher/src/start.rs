//! How a database is followed, and where following begins.

use crate::policy::Limits;

/// How a database is followed.
#[derive(Debug, Clone)]
pub struct Options {
    /// Whether a database in rollback-journal mode is switched to a write-ahead log rather than refused.
    pub enable_wal: bool,
    /// The limits of the log.
    pub limits: Limits,
}

/// Where following begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// At the given position: the log proves that no frame before it has changed and none after it is missing.
    Resumed,
    /// At the log's present end. The commits before it are unknown; an [`Image`](crate::Image) has the state.
    Anew,
    /// At the log's present end, and the log proves that it lost frames that were captured before: the machine lost its
    /// last writes, or was restored to an earlier state.
    Truncated,
}
