//! How a database is followed.

use crate::policy::Limits;

/// How a database is followed.
#[derive(Debug, Clone)]
pub struct Options {
    /// Whether a database in rollback-journal mode is switched to a write-ahead log rather than refused.
    pub enable_wal: bool,
    /// The limits of the log.
    pub limits: Limits,
}
