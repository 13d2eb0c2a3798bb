//! The engine: a set of databases, each followed from its log into its replica, from start to end.
//!
//! It is a library for whoever wants to follow databases from a program of their own; the `ebbtide` command is one such
//! program. [`Sidecar`] has the databases: add one, remove one, wait until what is committed is durable, stop.
//!
//! A database must not be written by the process that follows it. SQLite's locks are the process's and not the
//! connection's: the follower would not see a write of its own process begin, and whoever closes a file of the database
//! outside of SQLite drops the locks of all. Let another process write, or follow from one that does not (`ebbtide
//! replicate --exec`).
//!
//! Nothing here reads arguments, prints, or decides about exit codes, and the allocator of the process stays as it is.
//!
//! The words that are ours are in `docs/glossary.md`.

pub mod clock;
pub mod control;
pub mod follow;
pub mod owner;
pub mod track;

mod drills;
mod hooks;
mod roster;
mod set;
mod sidecar;
mod view;

pub use follow::{Consent, FollowError, Gravity, with_index_keys};
pub use hooks::{Hooks, LostLines, Recipients, SnapshotProgress};
pub use roster::{PresentDatabases, present};
pub use set::{
    DatabaseSet, ListedDatabase, ListedPattern, NamedBy, Reloaded, SetList, descriptors_needed,
};
pub use sidecar::{AddError, Ended, Followed, How, Sidecar, Statuses};
pub use view::View;
