//! What is known of one database: all that a client can be told, and that its health is judged by.

use std::path::PathBuf;
use std::time::Duration;

use ebbtide_replica::{Chain, Point, Timestamp};
use ebbtide_restore::DrillRecord;
use ebbtide_shipper::Spooled;
use ebbtide_watcher::LogStatus;

use super::kept_history::KeptHistory;
use super::mirror_progress::MirrorProgress;
use super::phase::Phase;
use super::prune_summary::PruneSummary;

/// One database, as of the time at which it was asked for.
#[derive(Debug, Clone)]
pub struct DatabaseStatus {
    /// The database's absolute path.
    pub database: PathBuf,
    /// The address of its replica.
    pub replica: String,
    /// What the task is doing.
    pub phase: Phase,
    /// Since when it does that.
    pub since: Timestamp,
    /// What is wrong.
    pub error: Option<String>,
    /// When the last session failed, and why.
    pub failure: Option<(Timestamp, String)>,
    /// The last transaction that was captured.
    pub captured: Option<Point>,
    /// The last transaction that the store has confirmed.
    pub durable: Option<Point>,
    /// The chain after it.
    pub durable_chain: Option<Chain>,
    /// The time of the oldest commit that is not durable.
    pub oldest_undurable: Option<Timestamp>,
    /// How many segments the store has confirmed since this process began.
    pub segments: u64,
    /// How long a put may have to wait for the one before.
    pub put_interval: Duration,
    /// Whether nobody has the database open, so that its file alone is the database.
    pub resting: bool,
    /// The log. Nothing while it is not held.
    pub log: Option<LogStatus>,
    /// How much room is left on the disk of the database, or of its local state if that has less.
    pub disk_free_bytes: Option<u64>,
    /// The contents of the spool.
    pub spooled: Spooled,
    /// The outage of the store, if there is one.
    pub outage: Option<Outage>,
    /// The newest snapshot.
    pub snapshot: Option<Point>,
    /// Since when snapshots fail, and why the last one did.
    pub snapshot_trouble: Option<(Timestamp, String)>,
    /// Whether the replica has no snapshot.
    pub lacks_base: bool,
    /// When the replica's manifest was found to be missing or damaged, and what was done.
    pub manifest_trouble: Option<(Timestamp, String)>,
    /// What the last prune of the replica did.
    pub pruned: Option<PruneSummary>,
    /// How far the history reaches back, as the last prune found it.
    pub history: Option<KeptHistory>,
    /// When the next prune is due, if this process prunes.
    pub next_prune: Option<Timestamp>,
    /// Since when prunes fail, and why the last one did.
    pub prune_trouble: Option<(Timestamp, String)>,
    /// How far its mirrors are.
    pub mirrors: Vec<MirrorProgress>,
    /// Its last drills, whoever made them.
    pub drills: DrillRecord,
}

/// An outage of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outage {
    /// The time of the first failure.
    pub since: Timestamp,
    /// For how long that is, by a clock that nobody sets.
    pub lasts: Duration,
    /// The latest error with its causes.
    pub error: String,
    /// Whether retries cannot help, as with missing permissions.
    pub is_permanent: bool,
}

impl DatabaseStatus {
    /// A database of which nothing is known but that it is to be followed.
    pub(crate) fn new(database: PathBuf, replica: String, since: Timestamp) -> DatabaseStatus {
        DatabaseStatus {
            database,
            replica,
            since,
            phase: Phase::Starting,
            error: None,
            failure: None,
            captured: None,
            durable: None,
            durable_chain: None,
            oldest_undurable: None,
            segments: 0,
            put_interval: Duration::ZERO,
            resting: false,
            log: None,
            disk_free_bytes: None,
            spooled: Spooled::default(),
            outage: None,
            snapshot: None,
            snapshot_trouble: None,
            lacks_base: false,
            manifest_trouble: None,
            pruned: None,
            history: None,
            next_prune: None,
            prune_trouble: None,
            mirrors: Vec::new(),
            drills: DrillRecord::default(),
        }
    }

    /// The age of the oldest commit that is not durable.
    #[must_use]
    pub fn lag(&self, now: Timestamp) -> Duration {
        self.oldest_undurable.map_or(Duration::ZERO, |oldest| oldest.until(now))
    }

    /// The time of the newest commit that is known.
    #[must_use]
    pub fn newest(&self) -> Option<Timestamp> {
        self.captured.into_iter().chain(self.durable).map(|known| known.time).max()
    }
}
