//! What the commands that read a database have in common: which one, and as it was when.

use clap::Args as Arguments;

use super::Access;
use crate::when::When;

/// A database as it was at a time.
#[derive(Debug, Clone, Arguments)]
pub struct Read {
    /// The replica (s3://…, file:///…, a directory), or the path of a database: its file as it is, or with --at its
    /// replica, as the configuration or the local state knows it.
    #[arg(value_name = "SOURCE")]
    pub source: String,
    /// As it was then: RFC 3339, "2026-11-21 09:30" or "yesterday 14:00" in the local zone, "now", "5m ago"; txid:N, or
    /// before:N for the state right before an entry. Without it, the newest state.
    #[arg(long, value_name = "WHEN")]
    pub at: Option<When>,
    /// Where the source is looked up, and what opens it.
    #[command(flatten)]
    pub access: Access,
}
