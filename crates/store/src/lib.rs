//! Where a replica's objects lie: in a bucket, in a directory, or in memory.
//!
//! All stores make the same promises, and one suite of checks (`contract` in the testkit) holds each of them to it:
//! - **Create-only.** A name is taken once. Of any number of puts of one name at most one succeeds, whoever sends them;
//!   the others fail with [`ErrorKind::Exists`]. Nothing is ever overwritten. The log of a replica is its lock because
//!   of this.
//! - **Whole or not at all.** A reader finds an object complete or does not find it.
//! - **Durable.** A put that succeeded survives the loss of power of the machine that it went to.
//! - **Nothing but names and ages.** The order of a listing means nothing; names that are no
//!   [`Key`](ebbtide_replica::Key) are skipped. The time of an object is by the store's clock, and serves to tell its age
//!   from [`Store::now`] alone.
//!
//! A store tries a *put* once: an answer that was lost on the way leaves it open whether the object is there, and only
//! the caller can tell by reading it back. A store tries a *read* a few times.
//!
//! The words that are ours are in `docs/glossary.md`.

mod api;
mod branch;
mod directory;
mod error;
mod error_chain;
mod examine;
mod key_error;
mod keyed_store;
mod keyring;
mod listing;
mod location;
mod location_error;
mod memory;
mod metered;
mod open_key;
mod pace;
mod place;
mod probe;
pub mod retry;
#[cfg(feature = "s3")]
mod s3;
mod s3_location;
mod several;
mod traffic;
mod wrapped_key;
mod wrapped_names;

pub use api::{ByteStream, LIST_MAX, NotDeleted, Object, Store, Upload};
pub use branch::Branch;
pub use directory::DirectoryStore;
pub use error::{ErrorKind, StoreError};
pub use error_chain::error_chain;
pub use examine::{Examined, Seen, Trial};
pub use key_error::KeyError;
pub use keyed_store::KeyedStore;
pub use keyring::Keyring;
pub use location::Location;
pub use location_error::LocationError;
pub use memory::MemoryStore;
pub use metered::MeteredStore;
pub use open_key::{keys_at_hand, open_key, take_key};
pub use pace::Pace;
pub use place::{real_path, same_place};
pub use probe::Conditional;
#[cfg(feature = "s3")]
pub use s3::{Credentials, S3Store};
pub use s3_location::S3Location;
pub use several::SeveralStores;
pub use traffic::{Answered, RequestDurations, RequestKind, Requests, Traffic};
pub use wrapped_key::WrappedKey;
pub use wrapped_names::foresee_keys;
