//! How one database is doing, as `ebbtide status --json` prints it. The keys are documented in docs/operations.md.

use ebbtide_replica::Timestamp;
use serde::{Deserialize, Serialize};

use crate::follow::{Phase, Status};

/// One database.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Report {
    /// The absolute path of the database.
    pub(crate) database: String,
    /// The address of its replica.
    pub(crate) replica: String,
    /// The process that follows it.
    pub(crate) process: Option<u32>,
    /// Whether there is nothing that a person should look at.
    pub(crate) healthy: bool,
    /// What is being done. Nothing when nobody follows the database.
    pub(crate) phase: Option<Phase>,
    /// Since when.
    pub(crate) since: Option<String>,
    /// What is wrong.
    pub(crate) error: Option<String>,
    /// The last transaction that was captured.
    pub(crate) captured_txid: Option<String>,
    /// The last transaction that is durable, and when it was committed.
    pub(crate) durable_txid: Option<String>,
    pub(crate) durable_time: Option<String>,
    /// The age of the oldest commit that is not durable; 0 when there is none.
    pub(crate) lag_seconds: f64,
    /// The log. Nothing while it is not held.
    pub(crate) log_frames: Option<u32>,
    pub(crate) log_bytes: Option<u64>,
    /// Other processes that keep the log from being begun anew.
    pub(crate) readers: Vec<Reader>,
    /// The store, when it fails.
    pub(crate) store_trouble: Option<Trouble>,
    /// The newest snapshot.
    pub(crate) snapshot_txid: Option<String>,
    pub(crate) snapshot_time: Option<String>,
    /// How many segments the store has confirmed since the process began.
    pub(crate) segments: u64,
}

/// A process that reads the database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reader {
    /// Its number.
    pub(crate) pid: i32,
    /// Its name, where the system tells it.
    pub(crate) name: Option<String>,
}

/// Trouble with the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Trouble {
    /// Since when.
    pub(crate) since: String,
    /// The newest reason.
    pub(crate) error: String,
}

impl Report {
    /// Looks at one database at `now`.
    pub(crate) fn of(status: &Status, now: Timestamp) -> Report {
        let sight = status.look();
        let progress = status.get();
        let txid = |durable: ebbtide_shipper::Durable| durable.txid.to_string();
        let time = |durable: ebbtide_shipper::Durable| durable.time.to_string();
        let readers = sight.log.as_ref().map(|log| log.readers.as_slice()).unwrap_or_default();
        Report {
            database: progress.database.to_string_lossy().into_owned(),
            replica: progress.replica,
            process: Some(std::process::id()),
            healthy: progress.phase.is_healthy() && sight.trouble.is_none(),
            phase: Some(progress.phase),
            since: Some(progress.since.to_string()),
            error: progress.error,
            captured_txid: progress.captured.map(txid),
            durable_txid: progress.durable.map(txid),
            durable_time: progress.durable.map(time),
            lag_seconds: sight.oldest.map_or(0.0, |oldest| seconds_between(oldest, now)),
            log_frames: sight.log.as_ref().and_then(|log| log.frames),
            log_bytes: sight.log.as_ref().map(|log| log.file_bytes),
            readers: readers.iter().map(|&pid| Reader { pid, name: name_of(pid) }).collect(),
            store_trouble: sight
                .trouble
                .map(|(since, error)| Trouble { since: since.to_string(), error }),
            snapshot_txid: progress.snapshot.map(txid),
            snapshot_time: progress.snapshot.map(time),
            segments: progress.segments,
        }
    }

    /// A database of the configuration that nobody follows.
    pub(crate) fn absent(database: String, replica: String) -> Report {
        Report {
            database,
            replica,
            process: None,
            healthy: false,
            phase: None,
            since: None,
            error: Some("no running `ebbtide replicate` follows it".to_owned()),
            captured_txid: None,
            durable_txid: None,
            durable_time: None,
            lag_seconds: 0.0,
            log_frames: None,
            log_bytes: None,
            readers: Vec::new(),
            store_trouble: None,
            snapshot_txid: None,
            snapshot_time: None,
            segments: 0,
        }
    }
}

/// A clock that was set back shows no lag rather than a negative one.
fn seconds_between(earlier: Timestamp, later: Timestamp) -> f64 {
    let micros = later.as_micros().saturating_sub(earlier.as_micros()).max(0);
    std::time::Duration::from_micros(micros.unsigned_abs()).as_secs_f64()
}

fn name_of(pid: i32) -> Option<String> {
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(name.trim_end().to_owned())
}
