//! Uploads the commits of one database to a replica, in order.
//!
//! Each commit is encoded into the open segment. At most one put is in flight; commits that arrive during a put go into
//! the next segment (group commit). A token-bucket rate limiter bounds the number of puts, and so the bill. A commit is
//! durable once the store has confirmed the put of its segment.
//!
//! Invariants:
//!
//! 1. Segments are put in the order of their txids. The put of a name is conditional, so only one process can create
//!    it. A process that finds its next name taken by another process is fenced and stops ([`Error::Fenced`]).
//! 2. The digest in an entry is the digest of the database after that entry. It is updated incrementally from the
//!    hashes of the changed pages (`page_hashes`).
//! 3. The bytes that are encoded and not yet durable are bounded, whatever the size of a transaction. A large entry is
//!    uploaded in parts while it is encoded, and new commits stay in the log (backpressure). During an outage that
//!    lasts longer than the log may grow, complete segments go to a bounded spool on the local disk.
//!
//! The words that are ours are in `docs/glossary.md`.

mod append;
mod batch;
mod buffers;
mod commit_rate;
mod compare_head;
mod copied;
mod create;
mod destination;
mod error;
mod image;
mod name_conflict;
mod open;
mod outgoing;
mod owner;
mod pack;
mod page_hashes;
mod parts;
mod presence;
mod put;
mod queue;
mod rate_limiter;
mod resend;
mod retry;
mod room;
mod segment;
mod shipper;
mod spool;
mod spooling;
mod stale;
mod store_health;
mod unverified;
mod upload;
mod visible;

pub use append::Appended;
pub use create::{Creator, FirstState};
pub use error::{Error, ReplicaOwner};
pub use image::{
    Comparison, Difference, EachPage, KnownPages, Pages, Resync, Snapshot, ship_snapshot,
};
pub use open::{Consent, Local, Opened, Unconfirmed, open_replica};
pub use owner::Owner;
pub use presence::Presence;
pub use rate_limiter::{Rate, RateLimiter};
pub use shipper::{Options, Safety, Shipper};
pub use spool::spooled_end;
pub use store_health::{Spooled, StoreHealth, StoreOutage};
pub use unverified::UnverifiedReplica;
