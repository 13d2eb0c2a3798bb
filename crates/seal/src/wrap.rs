//! How secret keys are given to those who may have them.

use std::fmt;
use std::io;

use zeroize::Zeroizing;

/// Encrypts a secret key for those who may have it, its recipients. A host that writes needs no more than this.
pub trait Wrap: fmt::Debug + Send + Sync {
    /// The encrypted form of `plain`, which is different each time.
    fn wrap(&self, plain: &[u8]) -> io::Result<Vec<u8>>;
}

/// Gives back what [`Wrap`] encrypted, with the identity of one of the recipients.
///
/// It may ask somebody for a passphrase or run a program, so it is called outside async code.
pub trait Unwrap: fmt::Debug + Send + Sync {
    /// What was wrapped.
    fn unwrap(&self, wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, UnwrapError>;
}

/// Why a wrapped key was not opened.
#[derive(Debug, thiserror::Error)]
pub enum UnwrapError {
    /// It was wrapped for others.
    #[error("none of {identities} {} opens it", if *.identities == 1 { "identity" } else { "identities" })]
    NotARecipient {
        /// How many identities were tried.
        identities: usize,
    },
    /// It is not what [`Wrap`] gives, or it was altered.
    #[error("it is damaged: {0}")]
    Damaged(String),
    /// The identity itself could not be used: no passphrase was given, a program failed.
    #[error("{0}")]
    Identity(String),
}
