//! What can go wrong with a replica. A variant exists where a caller would act differently.

use ebbtide_seal::{KeyId, KeyUse};

/// The usual result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why something in a replica could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes are not what was written: cut off, altered, swapped or never ours. Reading them again helps only if
    /// the damage happened on the way.
    #[error("{what} is damaged: {why}")]
    Damaged {
        /// The part of an object, or the object.
        what: String,
        /// The check that failed, with both values where there are two.
        why: String,
    },

    /// The bytes are sound but use something that this version does not know.
    #[error("{what} was written by a newer ebbtide: {why}")]
    Newer {
        /// The part of an object, or the object.
        what: String,
        /// The unknown thing.
        why: String,
    },

    /// The object is encrypted, and the key that it needs is not among those that were given.
    #[error("it is encrypted, and its {} {id} is not at hand", .key_use.key_name())]
    NoKey {
        /// The id of the key.
        id: KeyId,
        /// What is under it.
        key_use: KeyUse,
    },

    /// The caller asked for something to be written that no reader would accept.
    #[error("{what} cannot be written: {why}")]
    Unwritable {
        /// The part of an object.
        what: String,
        /// The rule of the format that it breaks.
        why: String,
    },
}

impl Error {
    /// [`Error::Damaged`], from anything that reads as text.
    pub fn damaged(what: impl Into<String>, why: impl Into<String>) -> Error {
        Error::Damaged { what: what.into(), why: why.into() }
    }

    /// [`Error::Newer`], from anything that reads as text.
    pub fn newer(what: impl Into<String>, why: impl Into<String>) -> Error {
        Error::Newer { what: what.into(), why: why.into() }
    }

    /// [`Error::Unwritable`], from anything that reads as text.
    pub fn unwritable(what: impl Into<String>, why: impl Into<String>) -> Error {
        Error::Unwritable { what: what.into(), why: why.into() }
    }

    /// Whether trying again, without anything having changed, must fail again.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        match self {
            Error::Damaged { .. }
            | Error::Newer { .. }
            | Error::NoKey { .. }
            | Error::Unwritable { .. } => true,
        }
    }
}
