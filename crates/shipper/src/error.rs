//! What stops shipping.

use std::fmt;

use ebbtide_replica::{Claim, Key, Txid};
use ebbtide_state::StateError;
use ebbtide_store::StoreError;
use ebbtide_wal::PageSize;

/// Why nothing more can be shipped. Outages are no errors here: a put is tried until it succeeds.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process has taken the replica over.
    #[error("another writer owns the replica: {winner}")]
    Fenced {
        /// Who.
        winner: Winner,
    },
    /// A put of our own that was given up has landed after all, so that what came next does not fit any more.
    #[error("{key} is there from an earlier attempt of this process; reading it")]
    Overtaken {
        /// Its name.
        key: Key,
    },
    /// The replica holds history that this database does not have.
    #[error(
        "the replica is ahead of this database: it ends at txid {head}, the database was last known at {known} \
         ({winner} wrote since). To keep the replica's history, restore it and start from the restored database; \
         to keep this database, give it a replica of its own, or take this one back with --take-back: what was written since \
         stays there as a fork"
    )]
    Behind {
        /// Where the replica ends.
        head: Txid,
        /// The last entry known to be in this database.
        known: Txid,
        /// Who wrote what this database lacks.
        winner: Winner,
    },
    /// The database is as it was some time ago, and nothing says that this is meant.
    #[error(
        "this database is in the state of txid {found}, and the replica goes on to txid {head}: it is an older copy, or was set back. \
         To keep the replica's history, restore it and start from the restored database; to keep this database, give it \
         a replica of its own, or take this one back with --take-back: what it has beyond stays there as a fork"
    )]
    Older {
        /// Where the replica ends.
        head: Txid,
        /// The entry whose state the database is in.
        found: Txid,
    },
    /// The replica that is known here is not where it was.
    #[error("{why}")]
    Gone {
        /// What is missing, and the ways out.
        why: String,
    },
    /// The replica is not shown to be this database's.
    #[error("{0}")]
    Unrelated(String),
    /// The replica does not have what it had confirmed: it was rolled back, overwritten, or is another copy.
    #[error("{0}")]
    RolledBack(String),
    /// The replica is of a database with other pages.
    #[error(
        "the replica has pages of {replica} bytes and the database of {database}: it is another database, or its page size \
         was changed; give it a replica of its own"
    )]
    PageSize {
        /// That of the replica.
        replica: PageSize,
        /// That of the database.
        database: PageSize,
    },
    /// Objects lie where a replica was to be created, and the log that they belong to does not.
    #[error(
        "{place} has objects of a replica whose log is gone ({object} among them): give the database another place, or \
         remove what is left there"
    )]
    NoLog {
        /// Where.
        place: String,
        /// One of the objects.
        object: Key,
    },
    /// Something changed while it was looked at. The next attempt finds it as it is then.
    #[error("{0}; trying again")]
    Changed(&'static str),
    /// The operating system refused something that has nothing to do with the replica.
    #[error("cannot {doing}")]
    System {
        /// What was attempted.
        doing: &'static str,
        /// What it said.
        source: std::io::Error,
    },
    /// A database grew by pages that nobody wrote.
    #[error(
        "the database grew from {from} to {to} pages, and not all of the new ones were written"
    )]
    Hole {
        /// Pages before.
        from: u32,
        /// Pages after.
        to: u32,
    },
    /// An image of the database is not the database that was shipped page by page.
    #[error("the pages of the database do not add up to the digest of txid {txid}: {why}")]
    Unproven {
        /// The entry.
        txid: Txid,
        /// What that means.
        why: &'static str,
    },
    /// The store is away for longer than the log and the spool together can wait.
    #[error("the spool on the local disk is full")]
    SpoolFull,
    /// The streamed upload was lost, and has to be made again from the database.
    #[error("an upload was lost and must be begun again")]
    Lost(#[source] StoreError),
    /// An object or a document could not be written or read.
    #[error(transparent)]
    Replica(#[from] ebbtide_replica::Error),
    /// The replica cannot be read.
    #[error(transparent)]
    Catalog(#[from] ebbtide_catalog::CatalogError),
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The local state failed.
    #[error(transparent)]
    State(#[from] StateError),
    /// A task of ours panicked.
    #[error("a task ended unexpectedly")]
    Task(#[from] tokio::task::JoinError),
}

/// The process that owns the replica now, as far as its claim tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Winner(pub Option<Claim>);

impl fmt::Display for Winner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(claim) => {
                write!(f, "process {} on {}, since {}", claim.pid, claim.host, claim.time)
            }
            None => f.write_str("a process that left no claim"),
        }
    }
}
