//! Any page of the database as it was after any entry, out of a replica and without a restore.
//!
//! A [`Replica`] is opened once for a process; a [`Moment`] of it is the database after one entry, and never changes. The
//! plan is the one that a restore has, and so is the rule by which the newest image of a page is found
//! ([`ebbtide_catalog::Wanted`]); what differs is that a moment notes where each image lies and reads it when it is asked
//! for. `ebbtide-sql` makes a read-only SQLite connection of a moment.
//!
//! ```no_run
//! # async fn example(store: std::sync::Arc<dyn ebbtide_store::Store>, now: ebbtide_replica::Timestamp)
//! # -> Result<(), ebbtide_moment::Error> {
//! use ebbtide_moment::{Options, Proof, Replica, Target};
//! let replica = Replica::open(store, Options::default()).await?;
//! let moment = replica.at(Target::Latest, now, Proof::Block).await?;
//! let first = moment.page(ebbtide_wal::PageNumber::ONE).await?;
//! assert!(first.starts_with(b"SQLite format 3\0"));
//! # Ok(()) }
//! ```
//!
//! What must hold:
//!
//! 1. What is served is the database after that entry, byte for byte, or an error that names the object; see [`Proof`] for
//!    what was checked.
//! 2. An object that is gone or damaged is asked for once more and then planned around, for the same entry and the same
//!    chain. The place of a page may change, its bytes cannot.
//! 3. What is in memory is bounded: blocks by [`Options::CACHE_BYTES`], the place of a page by 16 bytes for each page that
//!    the history after the last delta changed, and 10 bytes a block of everything else.
//! 4. Nothing here writes to the store.
//!
//! The words that are ours are in `docs/glossary.md`.

mod at;
mod block_cache;
mod block_rows;
mod build;
mod error;
mod fetch;
mod flight;
mod heads;
mod layer;
mod map;
mod metered;
mod moment;
mod openers;
mod page;
mod proof;
mod proved_lists;
mod readahead;
mod replica;
mod tree;

pub use block_cache::BlockCache;
pub use ebbtide_catalog::{
    Anchor, IndexCache, Nearest, Nothing, Notice, Outline, PlanError, Target,
};
pub use error::{Error, Result};
pub use metered::Traffic;
pub use moment::Moment;
pub use page::Page;
pub use proof::Proof;
pub use replica::{Options, Replica};
