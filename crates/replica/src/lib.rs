//! What a replica is, as a format: entries, objects, their keys, and the hashes that hold them together. No I/O, no clock.
//!
//! A replica is everything under one prefix of a store, for one database. Its history is a row of *entries*, numbered
//! from 1 by their [`Txid`]: the application's commits, resyncs that bring the state up to date after a gap, and claims
//! by which a process takes the replica over. Entries lie in *objects* of one [container] format: segments and packs
//! hold history, snapshots and deltas hold states. `docs/format.md` is that format for a reader in any language.
//!
//! What holds the whole together:
//! - Each entry is under a [`Chain`] of hashes that begins with the replica's identity, so that a missing, swapped or
//!   altered entry is found from any later link.
//! - Each entry states the [`Digest`] of the whole database after it, so that a restore proves its result.
//! - Nothing that was read is believed before it was checked: bytes become an index only through
//!   its `parse`, and no limit is the input's to choose.
//!
//! The words that are ours are in `docs/glossary.md`.

pub mod container;

mod claim;
mod content;
mod digest;
mod entry;
mod entry_state;
mod error;
mod horizon;
mod id;
mod key;
mod key_document;
mod manifest;
mod mark;
mod page_hash;
mod point;
mod run;
mod text;
mod txid;
mod vouch;

pub use claim::{Claim, ClaimedFile};
pub use content::{ContentHasher, content_of};
pub use digest::{Chain, Digest};
pub use ebbtide_time::{ParseError, Timestamp};
pub use entry::{Entry, EntryFlags, EntryKind};
pub use entry_state::EntryState;
pub use error::{Error, Result};
pub use horizon::{Condemned, Horizon, HorizonContents, HorizonObject, HorizonState, Written};
pub use id::ReplicaId;
pub use key::{Key, KeyPrefix};
pub use key_document::KeyDocument;
pub use manifest::{Encryption, Manifest};
pub use mark::{Mark, MarkContents};
pub use page_hash::{PAGES_AT_ONCE, PageHash, PageHasher, hash_pages, page_hash};
pub use point::Point;
pub use run::{DATABASE_PAGES_MAX, Run, data_pages};
pub use txid::Txid;
pub use vouch::Vouch;
