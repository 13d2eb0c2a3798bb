//! What a replicator remembers beside the database, in the folder `.NAME-ebbtide/`: how far the replica has come, and the
//! hash of every page as the replica has it.
//!
//! It saves uploads, and nothing else depends on it: whatever is wrong with it can be found out ([`State::verify`]), and
//! the replica can give it back. The folder holds
//!
//! ```text
//! lock          held with flock(2) by the one process that uses the folder
//! position.0    two slots for the position. Each carries a sequence number and checksums; the newest valid one counts
//! position.1
//! pages.0       the hash of page n at byte 16 (n - 1), zeros for the lock page. The position names the one in use
//! pages.1
//! ```
//!
//! A commit writes the slot that does not count, together with the hashes that are about to change (its redo list), and
//! then the table. So there are three moments at which a kill can come:
//!
//! 1. within the slot: its checksum fails, the other slot counts, and the table is untouched;
//! 2. within the table: the new slot counts, and opening applies its redo list again;
//! 3. afterwards: nothing is left to do.
//!
//! A commit flushes nothing to the disk: after a power failure the digest of the table may not equal the position's,
//! which [`State::verify`] tells, and the table is filled anew from the replica. A start flushes what it begins with
//! ([`State::sync`]), so that no failure can bring back a position from before it.
//!
//! The words that are ours are in `docs/glossary.md`.

mod error;
mod fill;
mod folder;
mod handle;
mod peek;
mod position;
mod record;
mod table;

#[cfg(test)]
mod tests;

pub use ebbtide_directory::state_folder;
pub use error::StateError;
pub use fill::Fill;
use folder::is_newer as newer;
pub use folder::{State, state_directory};
pub use peek::peek;
pub use position::{FileIdentity, Origin, Position, WalPosition};
