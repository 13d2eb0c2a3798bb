//! Reads committed transactions out of a live write-ahead log, and holds the log until they are read.
//!
//! The protocol is *lock-coupled tailing*. A read transaction of our own, the *hold*, keeps SQLite from restarting the
//! log. The boundary of what is committed comes from the wal-index, never from a frame whose checksum happens to be
//! right. Two read transactions are handed over hand over hand: the new one begins, everything committed by then is
//! captured, only then does the old one end. So there is no moment in which a commit is both unread and unheld.
//!
//! What must hold:
//!
//! 1. A hold ends only when another has begun and all that was committed by then has been captured ([`Follower`]).
//! 2. A new generation of the log is entered only once it has frames (Rule 1 of the protocol): a restart that was
//!    announced and died reverts to the old one.
//! 3. After a restart the hold is not handed on before the checkpoint lock was ours once (Rule 0): no checkpointer
//!    that read the log's state before the restart can then still be at work.
//! 4. Nothing here writes into the database: every connection is `query_only`, but for the one that takes the write
//!    lock in a barrier and rolls back.
//! 5. No descriptor on the database or its `-shm` is closed while a connection is open: POSIX would drop the locks of
//!    this whole process with it (`shm`, `sqlite_file`).
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
