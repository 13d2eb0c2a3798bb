//! A random application on a real SQLite database in WAL mode.
//!
//! It does what applications do and what is hard to follow: transactions that spill and roll back, savepoints, schema
//! changes, VACUUM, readers that stay, checkpoints of all four modes, connections that come and go. A seed decides
//! everything: two runs with the same seed and options make the same commits, byte for byte, whatever else happens to
//! the log in the meantime.

mod application;
mod options;
mod perform;
mod step;

pub use application::{Committed, Workload, rows};
pub use options::{AutoVacuum, Options, Synchronous};
pub use step::{CheckpointMode, Rows, Step, Table};
