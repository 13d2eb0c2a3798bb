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

mod batch;
mod behind;
mod bodies;
mod buffers;
mod claim;
mod commit;
mod commit_rate;

mod comparison;
mod context;
mod copied;
mod create;
mod destination;
mod encoder;
mod encryption;
mod entry;
mod error;
mod evidence;
mod key_put;
mod levels;
mod levels_record;
mod local;
mod log_object;
mod look;
mod merging;
mod name_conflict;
mod newest;
mod open;
mod options;
mod outgoing;
mod owner;
mod pack;
mod page_hashes;
mod page_set;
mod pages;
mod parts;
mod presence;
mod put;
mod put_budget;
mod queue;
mod rate_limiter;
mod recent;
mod replay;
mod resend;
mod resync;
mod retry;
mod safety;
mod sealed;
mod segment;
mod shipper;
mod since;
mod snapshot;
mod spool;
mod spool_directory;
mod spool_end;
mod spooled;
mod stale;
mod store_health;
mod table_fill;
#[cfg(test)]
mod tests;
mod unverified;
mod upload;
mod uploader;
mod visible;

pub use claim::{claim, vouch};
pub use commit::{Appended, Blocking, Commit};
pub use comparison::{Comparison, Difference, KnownPages};
pub use create::{Creator, FirstState};
pub use error::{Error, ReplicaOwner};
pub use evidence::{Evidence, HeadRelation, KnownEvidence, Refusal, ReplicaEvidence, Restored};
pub use levels::Level;
#[doc(hidden)]
pub use levels_record::rewrite_levels;
pub use local::Local;
pub use log_object::{LogObject, PACK_SEGMENTS};
pub use look::{Consent, Found, look};
pub use options::Options;
pub use owner::Owner;
pub use pages::{EachPage, Pages};
pub use presence::Presence;
pub use rate_limiter::{Rate, RateLimiter};
pub use replay::Unconfirmed;
pub use resync::Resync;
pub use safety::Safety;
pub use shipper::Shipper;
pub use snapshot::{Delta, Snapshot, ship_delta, ship_snapshot};
pub use spool_end::spooled_end;
pub use stale::find_stale;
pub use store_health::{Spooled, StoreHealth, StoreOutage};
pub use unverified::UnverifiedReplica;
