//! The local state beside a database, in the directory `.NAME-ebbtide/`: the durable position of the replica, and the
//! hash of every page at that position.
//!
//! The local state is a cache that saves uploads: [`State::verify`] detects a wrong one, and it can be rebuilt from the
//! replica. The directory holds
//!
//! ```text
//! lock          locked with flock(2) by the process that uses the directory
//! position.0    two slots for the position. Each has a sequence number and checksums; the newest valid one counts
//! position.1
//! pages.0       the hash of page n at byte 16 (n - 1), zeros for the lock page. The position names the one in use
//! pages.1
//! journal.0     records of whoever uses the state, of which the end may be lost
//! journal.1
//! index.key     of an encrypted replica: the keys with which it is continued
//! ```
//!
//! A commit writes the older slot with the new position and the changed hashes (the redo list), and then the table. A
//! kill can come at three moments:
//!
//! 1. during the write of the slot: its checksum is wrong, the other slot counts, and the table is unchanged;
//! 2. during the write of the table: the new slot counts, and [`State::open`] applies its redo list again;
//! 3. afterwards: the commit is complete.
//!
//! A commit does not fsync. After a power failure the digest of the table may differ from the position's; then
//! [`State::verify`] fails, and the table is rebuilt from the replica. A start calls fsync ([`State::sync`]), so that a
//! later power failure cannot bring back a position from before the start.
//!
//! The words that are ours are in `docs/glossary.md`.

mod error;
mod fill;
mod handle;
mod index_keys;
mod journal;
mod locked;
mod peek;
mod position;
mod record;
mod slots;
mod state;
mod table;
mod write;

#[cfg(test)]
mod tests;

pub use ebbtide_directory::state_directory;
pub use error::StateError;
pub use fill::Fill;
pub use index_keys::{add_index_key, index_keys};
pub use peek::peek;
pub use position::{FileIdentity, Origin, Position};
pub use state::{State, open_state_directory};
