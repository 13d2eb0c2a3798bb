//! A moment of a replica as a read-only SQLite connection, through a VFS of ours.
//!
//! A [`Past`] is a [`rusqlite::Connection`] whose `main` is the database as it was after one entry; more moments can be
//! attached, or one put beside a live file. This is all there is to it:
//!
//! ```no_run
//! # fn example(store: std::sync::Arc<dyn ebbtide_store::Store>, runtime: tokio::runtime::Runtime,
//! #     target: ebbtide_moment::Target, now: ebbtide_replica::Timestamp) -> Result<(), Box<dyn std::error::Error>> {
//! use ebbtide_moment::{Options, Proof, Replica};
//! use ebbtide_sql::Past;
//! let replica = runtime.block_on(Replica::open(store, Options::default()))?;
//! let moment = runtime.block_on(replica.at(target, now, Proof::Block))?;
//! let past = Past::connect(&moment)?;
//! let orders: i64 = past.query_row("SELECT count(*) FROM orders", [], |row| row.get(0)).map_err(|error| past.explain(error))?;
//! let read = past.main().take_reads();
//! println!("{orders} orders, from {} pages", read.len());
//! # Ok(()) }
//! ```
//!
//! What must hold:
//!
//! 1. `sqlite3_serialize` of a moment is the database at that entry, byte for byte. The VFS says that the file is immutable,
//!    so SQLite takes no locks, looks for no log, and serves page 1 as it is.
//! 2. A page that cannot be read ends the statement, and [`Past::explain`] has the cause with the object's name; SQLite
//!    itself says only "disk I/O error".
//! 3. A connection is used on a thread that may wait: `spawn_blocking`, `block_in_place`, or one of its own. What waits for
//!    the store ends as soon as it is [cancelled](Canceller::cancel).
//! 4. Files that are no moments are the default VFS's: temporary ones, the output of `VACUUM INTO`, a live database.
//!
//! The read set ([`Opened::take_reads`]) is the pages that SQLite asked for. It has a cache of its own: whoever wants every
//! page that an answer depends on asks on a fresh connection, which costs no more than reading the schema again.
//!
//! The words that are ours are in `docs/glossary.md`.

mod attach;
mod cancel;
mod clock;
mod encoding;
mod error;
mod opened;
mod page_set;
mod past;
mod settings;
mod vfs;

pub use cancel::{Cancel, Canceller};
pub use clock::{clock_was_read, forget_clock};
pub use error::{Error, Result};
pub use opened::Opened;
pub use page_set::PageSet;
pub use past::{Past, is_complete};
