//! Why a secret key is not to be had.

use ebbtide_replica::{Key, Timestamp};
use ebbtide_seal::{KeyId, KeyUse};

use super::error::StoreError;

/// Why a secret key that somebody needs is not to be had. A variant exists where a person would act differently.
#[derive(Debug, Clone, thiserror::Error)]
pub enum KeyError {
    /// Nobody has given an identity to open wrapped keys with.
    #[error(
        "the replica is encrypted, and no identity was given that opens its {} {id}: give --identity FILE",
        .key_use.key_name()
    )]
    NoIdentity {
        /// The id of the key.
        id: KeyId,
        /// What is under it.
        key_use: KeyUse,
    },
    /// It was wrapped for others.
    #[error(
        "none of {identities} {} opens {} {id}: it was wrapped for other recipients{}",
        if *identities == 1 { "identity" } else { "identities" },
        .key_use.key_name(),
        wrapped_at(*wrapped)
    )]
    Foreign {
        /// The id of the key.
        id: KeyId,
        /// What is under it.
        key_use: KeyUse,
        /// How many identities were tried.
        identities: usize,
        /// When it was wrapped last, by the store's clock.
        wrapped: Option<Timestamp>,
    },
    /// The store does not have it in any form.
    #[error("{} {id} is missing: nobody can open what is under it", .key_use.key_name())]
    Missing {
        /// The id of the key.
        id: KeyId,
        /// What is under it.
        key_use: KeyUse,
    },
    /// What the store has of it is not what was put there.
    #[error("{} {id}: {object} is damaged: {why}", .key_use.key_name())]
    Damaged {
        /// The id of the key.
        id: KeyId,
        /// What is under it.
        key_use: KeyUse,
        /// The newest form of it.
        object: Key,
        /// What is wrong with that.
        why: String,
    },
    /// It is the key of this id, and was made for something else: another replica that was begun here before, or another class.
    #[error("{} {id} opens nothing here: {why}", .key_use.key_name())]
    Stray {
        /// The id of the key.
        id: KeyId,
        /// What it was taken for.
        key_use: KeyUse,
        /// What it is.
        why: String,
    },
    /// The identity itself could not be used: no passphrase was given, a program failed.
    #[error("use the identity: {0}")]
    Identity(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn wrapped_at(wrapped: Option<Timestamp>) -> String {
    wrapped.map_or_else(String::new, |time| format!(" at {time}"))
}

impl KeyError {
    /// Whether asking again, without anybody having done something about it, must fail again.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        match self {
            KeyError::Store(error) => error.is_permanent(),
            _ => true,
        }
    }
}
