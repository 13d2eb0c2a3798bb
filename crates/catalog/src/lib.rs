//! Reading a replica: what it is, which objects it has, what is in them without their pages, and where its history ends.
//!
//! Names come from listings, everything else from the objects themselves, and each object is checked against the name
//! that it was found under and against the manifest. So an object that was swapped with another, or that belongs to
//! another replica, is damaged like one with a flipped byte.

mod error;
mod gap;
mod hashes;
mod head;
mod identity;
mod junk;
mod listing;
mod read;
mod rebuild;

#[cfg(test)]
mod tests;

pub use error::CatalogError;
pub use gap::{RebaseDetail, missed_since};
pub use hashes::{HashRun, Hashes};
pub use head::{Head, head};
pub use identity::{Identity, identify};
pub use listing::{Listing, list, list_recent};
pub use read::{Fetched, read_index, read_indexes, read_manifest, read_short_index};
pub use rebuild::rebuild_table;
