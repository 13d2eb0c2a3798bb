//! What the log proves about a position that was captured before.

/// What the log proves about a position that was captured before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogEvidence {
    /// It continues the position: no frame before it has changed and none after it is missing.
    Continues,
    /// It was restarted since, or the position is not known. It proves nothing about the commits since.
    Restarted,
    /// It lost frames that were captured before: the machine lost its last writes, or was restored to an earlier state.
    Truncated,
}
