//! What is configured for one database.

use std::path::PathBuf;
use std::time::Duration;

use ebbtide_directory::state_directory;
use ebbtide_retention::Keep;
use ebbtide_store::Location;

use crate::defaults;
use crate::drills::Drills;
use crate::puts::Puts;

/// One database.
#[derive(Debug, Clone, PartialEq)]
pub struct Database {
    /// Its file.
    pub path: PathBuf,
    /// Its replica.
    pub location: Location,
    /// How many puts are allowed.
    pub puts: Puts,
    /// What the puts may cost, in US dollars a month, if that decides how many are allowed.
    pub budget: Option<f64>,
    /// How often a snapshot is made at least; without it, when that pays.
    pub snapshot_interval: Option<Duration>,
    /// How long the log may get while it waits for the store, in bytes.
    pub log_bytes_max: u64,
    /// How much is spooled on the local disk then, in bytes.
    pub spool_bytes_max: u64,
    /// From how many frames on the log is checkpointed while the store is there.
    pub checkpoint_frames: u32,
    /// Whether it is switched to a write-ahead log if it has none.
    pub enable_wal: bool,
    /// Whether it is restored from its replica, before anything else, if it is not there.
    pub restore_if_missing: bool,
    /// Which history is kept; all of it, if nothing is said.
    pub keep: Option<Keep>,
    /// Whether `replicate` deletes what is not kept, and segments that are in packs. Otherwise `ebbtide prune` does it, on
    /// a machine that may delete.
    pub prunes: bool,
    /// Further replicas that are kept up to date from the first one.
    pub mirrors: Vec<Location>,
    /// Whether restores are tried, and how.
    pub drills: Option<Drills>,
    /// Where the local state is kept, if not beside the database.
    pub state: Option<PathBuf>,
    /// For whom its replica is encrypted, as it is written; for nobody, and so not at all, if that is empty and there is no
    /// file.
    pub encrypt_to: Vec<String>,
    /// The file with more recipients.
    pub encrypt_to_file: Option<PathBuf>,
}

impl Database {
    /// A database with the defaults for all else.
    #[must_use]
    pub fn new(path: PathBuf, location: Location) -> Database {
        Database {
            path,
            location,
            puts: defaults::PUTS,
            budget: None,
            snapshot_interval: None,
            log_bytes_max: defaults::LOG_BYTES_MAX,
            spool_bytes_max: defaults::SPOOL_BYTES_MAX,
            checkpoint_frames: defaults::CHECKPOINT_FRAMES,
            enable_wal: false,
            restore_if_missing: false,
            keep: None,
            prunes: true,
            mirrors: Vec::new(),
            drills: None,
            state: None,
            encrypt_to: Vec::new(),
            encrypt_to_file: None,
        }
    }

    /// The directory of its local state.
    #[must_use]
    pub fn state_directory(&self) -> PathBuf {
        self.state.clone().unwrap_or_else(|| state_directory(&self.path))
    }

    /// How long the log may get where there is nothing to spool yet: as much of the disk as both together.
    #[must_use]
    pub fn waiting_bytes_max(&self) -> u64 {
        self.log_bytes_max.saturating_add(self.spool_bytes_max)
    }
}
