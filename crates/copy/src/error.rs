//! The errors of a copy.

use ebbtide_catalog::{CatalogError, PlanError};
use ebbtide_replica::{Key, ReplicaId};
use ebbtide_store::StoreError;

/// Why a replica was not copied, or not all of it. What was copied before stays, and another copy goes on there.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// There is no replica at the source.
    #[error("there is no replica in {place}: check the address")]
    NoReplica {
        /// The source.
        place: String,
    },
    /// Source and target are the same place.
    #[error("{place} is both source and target")]
    SamePlace {
        /// The place.
        place: String,
    },
    /// The target has another replica.
    #[error(
        "{place} has the replica {there}, and the source is {replica}: give the copy a place of its own"
    )]
    OtherReplica {
        /// The target.
        place: String,
        /// The replica there.
        there: ReplicaId,
        /// The source's replica.
        replica: ReplicaId,
    },
    /// The target has an object of another size under a name of the source.
    #[error(
        "{key} has {there} bytes in {place} and {here} at the source: one of them is damaged, or two histories have the \
         same name. Verify both, and give the copy another place, or remove that object from the one that is wrong"
    )]
    Differs {
        /// The object.
        key: Key,
        /// The target.
        place: String,
        /// Its size there.
        there: u64,
        /// Its size at the source.
        here: u64,
    },
    /// The state from which on a copy is wanted cannot be had.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The source cannot be read.
    #[error("the source cannot be read")]
    Source(#[source] CatalogError),
    /// The target refuses, or does not answer.
    #[error("the target cannot be written")]
    Target(#[source] StoreError),
    /// Objects went away again and again while they were copied.
    #[error(
        "objects vanished at the source again and again while it was copied: {key} was the last one"
    )]
    Vanished {
        /// The object.
        key: Key,
    },
}
