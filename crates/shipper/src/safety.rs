//! Where the appended entries are.

/// With at most this many entries that are not durable, a log may be restarted: see [`Safety::Settled`].
pub(crate) const SETTLED_ENTRIES: usize = 4;

/// What a restart of the log or a crash would lose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Safety {
    /// Every entry is durable.
    Durable,
    /// All but a few entries are durable. If this process crashed after a restart of the log, the next start would
    /// record those few transactions as one entry.
    Settled,
    /// Every entry is in the store or in the spool, and so survives a crash of this process.
    Spooled,
    /// Entries that are not durable are in memory: nothing is lost while this process runs.
    Buffered,
    /// A transaction is being streamed: if the upload fails, it must be read from the log again.
    NeedsLog,
}
