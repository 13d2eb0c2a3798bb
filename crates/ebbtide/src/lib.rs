//! The history of an SQLite database, from a program.
//!
//! `ebbtide replicate` keeps a *replica*: every committed transaction of a database, in a directory or in a bucket. This
//! crate reads one. A [`Moment`] is the database as it was after one transaction; it never changes, and it is read where it
//! lies, page by page, without a restore.
//!
//! ```no_run
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use ebbtide::{Replica, When};
//!
//! let replica = Replica::open("s3://backups/app").await?;
//! let yesterday = replica.at(When::ago(std::time::Duration::from_secs(86_400))).await?;
//! let orders: i64 = yesterday
//!     .query(|past| past.query_row("SELECT count(*) FROM orders", [], |row| row.get(0)))
//!     .await?;
//! println!("{orders} orders at {}", yesterday.time());
//! # Ok(()) }
//! ```
//!
//! - [`Replica::at`] gives a moment, [`Replica::entries`] lists the points of the history, [`Replica::restore`] makes a file
//!   of one of them, and [`Replica::changes`] finds the transactions at which the answer to a question changed.
//! - [`Moment::query`] and [`Moment::connect`] ask SQL, [`Moment::page`] reads pages, [`diff`] compares two moments,
//!   and [`undo`] takes back what changed between them.
//! - An encrypted replica is opened with an [`Identity`], by [`Replica::open_as`]:
//!
//! ```no_run
//! # async fn f() -> ebbtide::Result<()> {
//! use ebbtide::{Identity, Replica, When};
//!
//! let replica = Replica::open_as("s3://backups/app", Identity::read("owner.txt")?).await?;
//! replica.restore(When::Newest, "copy.db").await?;
//! # Ok(()) }
//! ```
//!
//! - A replica is found, and credentials are, as by the command: `docs/stores.md` says how.
//!
//! Semantic versions hold for this crate alone; those below it change as they need to. It is 0.x: a minor version may
//! change what is here. `rusqlite` is a part of the interface, and there can be one version of it in a program.
//!
//! **What is not safe:** an application that has a database open must not restore over it or put rows back into it by
//! another SQLite than its own in the same process: a second copy of SQLite drops the first one's POSIX locks when it
//! closes the file. Reading moments is safe everywhere, because no file of the application is opened.
//!
//! The words that are ours are in `docs/glossary.md`.

mod clock;
mod diff;
mod entries;
mod error;
mod identity;
mod moment;
mod replica;
mod undo;
mod when;

pub use diff::diff;
pub use ebbtide_replica::{EntryKind, ParseError, Point, Timestamp, Txid};
pub use ebbtide_seal::{Unwrap, UnwrapError};
pub use ebbtide_store::{Location, Store};
pub use ebbtide_trace::{Answer, Found, Searched};
pub use entries::HistoryEntry;
pub use error::{Error, Result};
pub use identity::Identity;
pub use moment::Moment;
pub use replica::{Replica, Restored};
pub use rusqlite;
pub use undo::undo;
pub use when::When;

/// How rows differ, how differences are told, and how they are taken back.
pub mod rows {
    pub use ebbtide_rows::{
        Applied, Change, Conflict, Counts, Field, JsonLines, NotCompared, NumberChange, Options,
        Policy, Refusal, RowsError, Schema, SchemaChange, Script, Sink, Summary, TablePair, Undo,
        Value, ValueRef, Want,
    };
}
