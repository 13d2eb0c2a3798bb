//! The errors of a copy.

use std::io;

use ebbtide_catalog::{CatalogError, PlanError};
use ebbtide_replica::{Key, ReplicaId};
use ebbtide_store::{KeyError, StoreError};

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
    /// The target has the same replica in another form.
    #[error(
        "{place} has the same replica in another form: {why}. Give this copy a place of its own"
    )]
    OtherForm {
        /// The target.
        place: String,
        /// What is another.
        why: String,
    },
    /// It was to be encrypted on its way and is encrypted.
    #[error(
        "the replica in {place} is encrypted: copy it as it is, and give its keys to others with `ebbtide rewrap`"
    )]
    IsEncrypted {
        /// The source.
        place: String,
    },
    /// It was to be decrypted on its way and is not encrypted.
    #[error("the replica in {place} is not encrypted: copy it as it is")]
    IsPlain {
        /// The source.
        place: String,
    },
    /// The target was begun with an index key that is not at hand.
    #[error(
        "the copy in {place} was begun with a key that is needed to go on with it: name an identity of one of its recipients"
    )]
    Begun {
        /// The target.
        place: String,
        /// Why the key is not to be had.
        source: KeyError,
    },
    /// A key could not be wrapped.
    #[error("wrap a key")]
    Wrap(#[source] io::Error),
    /// There are no random numbers.
    #[error("draw random numbers")]
    Draw(#[source] io::Error),
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
    /// What is in the target cannot be read.
    #[error("the target cannot be read")]
    TargetReplica(#[source] CatalogError),
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
