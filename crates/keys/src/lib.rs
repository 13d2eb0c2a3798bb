//! Who may have the secret keys of an encrypted replica.
//!
//! Secret keys are wrapped with [age](https://age-encryption.org/v1): a host that writes has the public keys of its
//! [`Recipients`] only, and whoever has one of their [`Identities`] gives the secret keys back. A [`KeyCommand`] does so
//! with a program of its own, for hardware tokens and key services. What is wrapped is small: the pages are sealed by
//! [`ebbtide_seal`] under the keys that are wrapped here.
//!
//! The words that are ours are in `docs/glossary.md`.

mod command;
mod error;
mod files;
mod identities;
mod recipients;

#[cfg(feature = "encryption")]
mod with_age;
#[cfg(feature = "encryption")]
use with_age as age_files;
#[cfg(not(feature = "encryption"))]
mod without_age;
#[cfg(not(feature = "encryption"))]
use without_age as age_files;

pub use command::KeyCommand;
pub use error::KeysError;
pub use identities::{Identities, NewIdentity, Passphrase};
pub use recipients::Recipients;
