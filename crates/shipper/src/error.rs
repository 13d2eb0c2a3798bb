//! The errors of the shipper.

use std::fmt;

use ebbtide_replica::{Claim, Key, Txid};
use ebbtide_seal::KeyId;
use ebbtide_state::StateError;
use ebbtide_store::StoreError;
use ebbtide_wal::PageSize;

/// An error that ends shipping. An outage is not an error: puts are retried until they succeed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process has claimed the replica.
    #[error("another writer owns the replica: {owner}")]
    Fenced {
        /// The process that claimed it.
        owner: ReplicaOwner,
    },
    /// An earlier put of this process, which had counted as failed, has created the object after all. The entries that
    /// were encoded since do not continue it: open the replica again.
    #[error("{key} is there from an earlier attempt of this process; reading it")]
    SupersededOwnPut {
        /// The object.
        key: Key,
    },
    /// The replica has entries of another process that this database does not have.
    #[error(
        "the replica is ahead of this database: it ends at txid {head}, the database was last known at {known} \
         ({owner} wrote since){stray}. To keep the replica's history, restore it and start from the restored database; \
         to keep this database, give it a replica of its own, or take this one back with --take-back: what was written since \
         stays there as a fork",
        stray = stray(.after_gap.as_ref())
    )]
    Behind {
        /// The last entry of the replica.
        head: Txid,
        /// The last entry known to be in this database.
        known: Txid,
        /// The first segment of them before which entries are in no object.
        after_gap: Option<Key>,
        /// The process that wrote them.
        owner: ReplicaOwner,
    },
    /// The database is stale: it is in the state of an earlier entry, and no restore or option explains it.
    #[error(
        "this database is in the state of txid {found}, and the replica goes on to txid {head}: it is an older copy, or was set back. \
         To keep the replica's history, restore it and start from the restored database; to keep this database, give it \
         a replica of its own, or take this one back with --take-back: what it has beyond stays there as a fork"
    )]
    Stale {
        /// The last entry of the replica.
        head: Txid,
        /// The entry whose state the database has.
        found: Txid,
    },
    /// The replica that the local state names is missing from its location.
    #[error("{why}")]
    Gone {
        /// The missing objects, and what the user can do.
        why: String,
    },
    /// The replica is not shown to be this database's.
    #[error("{0}")]
    Unrelated(String),
    /// The replica lacks an entry that it had confirmed: it was rolled back, overwritten, or is another copy.
    #[error("{0}")]
    RolledBack(String),
    /// The replica and the database have different page sizes.
    #[error(
        "the replica has pages of {replica} bytes and the database of {database}: it is another database, or its page size \
         was changed by a VACUUM; give it a replica of its own, under another address: what it was until then stays here, \
         and can be restored from here"
    )]
    PageSize {
        /// The page size of the replica.
        replica: PageSize,
        /// The page size of the database.
        database: PageSize,
    },
    /// Recipients of keys are configured, and the replica is a plain one.
    #[error(
        "`encrypt-to` is set and the replica in {place} is not encrypted: begin a new one, under another address"
    )]
    NotEncrypted {
        /// The location.
        place: String,
    },
    /// The replica is encrypted, and no recipients of keys are configured.
    #[error(
        "the replica in {place} is encrypted and `encrypt-to` is not set: nothing is written there in plain text. Set it \
         as it was, or begin a new replica, under another address"
    )]
    Encrypted {
        /// The location.
        place: String,
    },
    /// The index key of an encrypted replica is not on this host.
    #[error(
        "the replica in {place} is encrypted, and its index key {id} is not on this host: `ebbtide unlock --identity FILE \
         DB` puts it back, or begin a new replica, under another address"
    )]
    NoIndexKey {
        /// The location.
        place: String,
        /// The id of the key.
        id: KeyId,
    },
    /// An object would have come into an encrypted replica as it is.
    #[error("refusing to put {key} in plain text into an encrypted replica: a fault of ebbtide")]
    PlainText {
        /// The object.
        key: Key,
    },
    /// The location for a new replica has objects of a replica whose log is missing.
    #[error(
        "{place} has objects of a replica whose log is gone ({object} among them): give the database another place, or \
         remove what is left there"
    )]
    NoLog {
        /// The location.
        place: String,
        /// One of the objects.
        object: Key,
    },
    /// The replica or the database changed during a check. A retry can succeed.
    #[error("{0}; trying again")]
    Changed(&'static str),
    /// A system call failed that has nothing to do with the replica.
    #[error("cannot {doing}")]
    System {
        /// The attempted operation.
        doing: &'static str,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// The database grew, and the entry does not have all of the new pages.
    #[error(
        "the database grew from {from} to {to} pages, and not all of the new ones were written"
    )]
    Hole {
        /// The size in pages before.
        from: u32,
        /// The size in pages after.
        to: u32,
    },
    /// The pages of the database do not add up to the digest that was computed from its commits.
    #[error("the pages of the database do not add up to the digest of txid {txid}: {why}")]
    Unproven {
        /// The entry with the digest.
        txid: Txid,
        /// The likely cause.
        why: &'static str,
    },
    /// An upload that was streamed from the log failed. It must be repeated from the log or the database.
    #[error("an upload was lost and must be repeated")]
    Lost(#[source] StoreError),
    /// An object or a manifest could not be encoded or decoded.
    #[error(transparent)]
    Replica(#[from] ebbtide_replica::Error),
    /// The replica cannot be read.
    #[error(transparent)]
    Catalog(#[from] ebbtide_catalog::CatalogError),
    /// A request to the store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The local state failed.
    #[error(transparent)]
    State(#[from] StateError),
    /// A task of this process panicked.
    #[error("a task ended unexpectedly")]
    Task(#[from] tokio::task::JoinError),
}

impl Error {
    /// What was found does not fit what is done with it.
    pub const UNEXPECTED: Error = Error::Changed("the replica changed while it was read");
}

/// What else an object that nothing leads to may be than the end of a history of which a part is lost.
fn stray(after_gap: Option<&Key>) -> String {
    after_gap.map_or_else(String::new, |key| {
        format!(
            "; no object leads to {key}: if somebody has put it there, as a version that was restored or from another \
             copy, remove it and start again"
        )
    })
}

/// The process that owns the replica, from its claim; nothing if it left none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaOwner(pub Option<Box<Claim>>);

impl fmt::Display for ReplicaOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(claim) => {
                write!(f, "process {} on {}, since {}", claim.pid, claim.host, claim.time)
            }
            None => f.write_str("a process that left no claim"),
        }
    }
}
