//! Reads committed transactions out of a live write-ahead log, and holds the log until they are read.
//!
//! The protocol is *lock-coupled tailing*. A read transaction of our own, the *hold*, keeps SQLite from restarting the
//! log. The wal-index says which frames are committed, never a frame whose checksum happens to be right. The hold is
//! handed over between two read transactions: the new one begins, all commits from before it are captured, only then
//! does the old one end. So at every moment each commit is captured or held.
//!
//! Invariants:
//!
//! 1. *Captured or held*: a hold ends only when another has begun and all commits from before that one have been
//!    captured (`holds`).
//! 2. *No-empty-generation*: a new WAL generation is entered only once it has frames. If the writer that restarts the
//!    log dies before it writes a frame, recovery reverts to the generation before.
//! 3. *Checkpoint-lock-first*: after a restart the hold is not handed over before this process had the checkpoint lock
//!    once. Then no checkpointer that read the wal-index before the restart is still running (`checkpoint_lock`).
//! 4. No connection writes into the database: every one is `query_only`, but for the one that takes the write lock in
//!    an exclusive checkpoint and rolls back (`write_lock`).
//! 5. No file descriptor of the database or its `-shm` is closed while a connection is open: POSIX would drop all locks
//!    of this process on the file (`descriptors`, `sqlite_file`).
//!
//! The first three are asserted where they are used, in builds with debug assertions.
//!
//! A [`Follower`] is made of parts that own what they know:
//!
//! | part | has | for |
//! |---|---|---|
//! | `HeldLog` | the holds, the tail, what a start found, the checkpoint lock, the observed commits | capturing, handing over |
//! | `Checkpoints` | the passive checkpoint that is prepared or running, and how the last ones went | keeping the log short |
//! | `WriteLock` | the connection that takes the write lock | exclusive checkpoints, the brake |
//! | `Rest` | the locks of a database that no process has open | files that may be moved |
//! | `OpenImages`, `Damage` | which images are read; what was seen of a damaged wal-index | snapshots; reports |
//!
//! Which locks and connections there are in which state is a table of `docs/architecture.md`.
//!
//! The words that are ours are in `docs/glossary.md`.

mod backoff;
mod captured;
mod checkpoint;
mod checkpoint_lock;
mod checkpoints;
mod claimed;
mod connection;
mod copying;
mod damage;
mod database_lock;
mod descriptors;
mod error;
mod exclusive;
mod files;
mod follower;
mod found;
mod held_log;
mod hold;
mod holds;
mod image;
mod inspect;
mod lock_bytes;
mod log_counts;
mod log_event;
mod log_evidence;
mod log_status;
mod mutex;
mod names;
mod observed;
mod opening;
mod options;
mod policy;
mod poller;
mod rest;
mod shm;
mod sqlite_file;
mod tail;
mod transaction;
mod vfs;
mod wake;
mod window;
mod write_lock;

pub use captured::{CaptureError, Captured};
pub use checkpoint::Checkpoint;
pub use connection::SQLITE_VERSION;
pub use error::{Break, Error, Moved, Refusal};
pub use files::FileSystem;
pub use follower::Follower;
pub use image::{Image, ImagePin};
pub use inspect::{Inspection, inspect};
pub use log_counts::LogCounts;
pub use log_event::{Callback, Cause};
pub use log_evidence::LogEvidence;
pub use log_status::{LogStatus, LogStatusHandle};
pub use observed::{Observer, Seen};
pub use options::Options;
pub use policy::{Action, HandoverStage, Kept, Limits, Situation, decide};
pub use poller::PollInterval;
pub use tail::Scratch;
pub use transaction::Transaction;
pub use wake::Wake;
