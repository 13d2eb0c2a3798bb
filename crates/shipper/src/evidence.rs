//! What a start finds out about a replica before it decides anything.

use ebbtide_replica::EntryState;

/// What is known of the replica, of the local state and of the spool. Reading it changed nothing, in the replica or on
/// the local disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Evidence {
    /// The replica, compared with the local state.
    pub replica: ReplicaEvidence,
    /// The replica and the database have different page sizes.
    pub page_size_differs: bool,
    /// The database's file is a copy of the one that the replica's newest claim names, and that one still exists on this
    /// host. Only looked for if the file is not the one that the local state names.
    pub is_copy: bool,
}

/// The replica, compared with the local state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplicaEvidence {
    /// It has no entry with a state of the database.
    Empty {
        /// The local state names a replica in this place.
        is_known_here: bool,
        /// Snapshots or deltas are there, and no log.
        has_leftovers: bool,
    },
    /// It has a history, and the local state is not of this replica.
    Unknown,
    /// It has a history, and the local state is of this replica.
    Known(KnownEvidence),
}

/// A replica that the local state names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownEvidence {
    /// The manifest or a snapshot is there. A put after the bucket was emptied leaves a segment without either.
    pub has_base: bool,
    /// The durable entry of the local state is there.
    pub has_entry: bool,
    /// The replica's last entry, compared with the durable entry of the local state.
    pub head: HeadRelation,
    /// The page hashes of the local state add up to its digest.
    pub has_page_hashes: bool,
    /// The spool has segments that continue the replica.
    pub spool_continues: bool,
    /// The database was restored from this replica and not followed since.
    pub restored: Option<Restored>,
}

/// The restore that a database comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restored {
    /// The state that was restored.
    pub to: EntryState,
    /// The replica ends where it ended then.
    pub is_head_unchanged: bool,
}

/// How the replica's last entry relates to the durable entry of the local state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadRelation {
    /// They are the same entry, or the replica's is one of the spool.
    Same,
    /// It is later, and only claims are in between.
    ClaimsSince,
    /// It is later, and only commits of this process are in between: their confirmation was lost.
    OwnCommitsSince,
    /// It is later, and another process has written in between, or an object in between cannot be read.
    OthersSince,
    /// It is later, and what is in between was not read, because nothing depends on it.
    Unread,
    /// It is earlier: the replica was rolled back.
    EndsEarlier,
    /// It has the same txid and another chain: the replica was overwritten.
    Overwritten,
}

/// Why a start is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The replica that the local state names is gone.
    Gone,
    /// The place has snapshots or deltas of a replica whose log is gone.
    NoLog,
    /// The page sizes differ.
    PageSize,
    /// The database's file is a copy, and the original still exists.
    Copy,
    /// The replica ends before the durable entry.
    RolledBack,
    /// The replica's entry is not the durable one.
    Overwritten,
    /// Another process has written since the durable entry.
    Behind,
}
