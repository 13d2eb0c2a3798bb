//! Reads committed transactions out of a live write-ahead log, and holds the log until they are read.
//!
//! The protocol is *lock-coupled tailing*. A read transaction of our own, the *hold*, keeps SQLite from restarting the
//! log. The wal-index says which frames are committed, never a frame whose checksum happens to be right. The hold is
//! handed over between two read transactions: the new one begins, all commits from before it are captured, only then
//! does the old one end. So at every moment each commit is captured or held.
//!
//! Invariants:
//!
//! 1. A hold ends only when another has begun and all commits from before that one have been captured ([`Follower`]).
//! 2. *No-empty-generation*: a new WAL generation is entered only once it has frames. If the writer that restarts the
//!    log dies before it writes a frame, recovery reverts to the generation before.
//! 3. *Checkpoint-lock-first*: after a restart the hold is not handed over before this process had the checkpoint lock
//!    once. Then no checkpointer that read the wal-index before the restart is still running.
//! 4. No connection writes into the database: every one is `query_only`, but for the one that takes the write lock in
//!    an exclusive checkpoint and rolls back.
//! 5. No file descriptor of the database or its `-shm` is closed while a connection is open: POSIX would drop all locks
//!    of this process on the file (`shm`, `sqlite_file`).
//!
//! The words that are ours are in `docs/glossary.md`.

mod backoff;
mod checkpoint;
mod claimed;
mod connection;
mod copying;
mod damage;
mod database_lock;
mod error;
mod exclusive;
mod files;
mod follower;
mod handover;
mod hold;
mod image;
mod log_status;
mod names;
mod observed;
mod policy;
mod poller;
mod rest;
mod shm;
mod sqlite_file;
mod tail;
mod transaction;
mod vfs;
mod wake;

pub use checkpoint::Checkpoint;
pub use connection::SQLITE_VERSION;
pub use error::{Error, Moved, Refusal};
pub use follower::{CaptureError, Captured, Follower, Options, Start};
pub use image::{Image, ImagePin};
pub use log_status::{LogStatus, LogStatusHandle};
pub use observed::{Observer, Seen};
pub use policy::{Action, HandoverStage, Kept, Limits, Situation, decide};
pub use tail::Scratch;
pub use transaction::Transaction;
pub use wake::{Callback, Cause, Wake};
