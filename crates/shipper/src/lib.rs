//! Commits in, objects out, in order.
//!
//! Committed transactions are encoded into an open segment as they come. One put is in flight at a time; what arrives
//! meanwhile goes with the next (group commit that clocks itself), and a token bucket keeps the bill bounded. Nothing is
//! called durable before the store has confirmed it.
//!
//! What must hold:
//!
//! 1. Segments are put in the order of their txids, each under a name that only one process can take. Whoever finds its
//!    next name taken by another's object has been replaced and stops ([`Error::Fenced`]).
//! 2. The digest that goes with each entry is that of the database after it, kept up to date from the hashes of the
//!    pages it changed (`ledger`).
//! 3. What is encoded and not yet durable is bounded, whatever the size of a transaction: beyond a limit an entry is
//!    streamed, and the log waits. When the store is away for longer than the log can wait, complete segments go into
//!    a bounded spool on the local disk.
//!
//! The words that are ours are in `docs/glossary.md`.

mod append;
mod attach;
mod bucket;
mod buffers;
mod claim;
mod copied;
mod error;
mod found;
mod image;
mod ledger;
mod older;
mod outage;
mod pack;
mod part;
mod presence;
mod put;
mod queue;
mod relation;
mod room;
mod segment;
mod shipper;
mod spill;
mod spool;
mod stranger;
mod traffic;
mod waiting;

pub use attach::{Attached, Consent, Local, Restored, Unconfirmed, attach};
pub use bucket::{Bucket, Rate};
pub use claim::Owner;
pub use error::{Error, Winner};
pub use found::{Beginning, Founder};
pub use image::{
    Comparison, Difference, EachPage, KnownPages, Moment, Pages, Resync, Snapshot, ship_snapshot,
};
pub use outage::{Outage, Spooled, Trouble};
pub use presence::Presence;
pub use shipper::{Durable, Options, Safety, Shipper};
pub use spool::spooled_end;
pub use stranger::Stranger;
