//! How one database is doing, as `ebbtide status --json` prints it. The keys are documented in docs/operations.md.

use std::collections::BTreeMap;
use std::time::Duration;

use ebbtide_replica::Timestamp;
use ebbtide_restore::Proved;
use serde::{Deserialize, Serialize};

use super::health::{HealthIssue, health_issues};
use crate::follow::{KeptHistory, MirrorProgress, Phase, PruneSummary, Status};
use crate::hooks::LostLines;

/// What is wrong while there is no snapshot.
const LACKS_BASE: &str = "the replica has no snapshot; making one";

/// One database.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The absolute path of the database.
    pub database: String,
    /// The address of its replica.
    pub replica: String,
    /// The process that follows it.
    pub process: Option<u32>,
    /// Whether there is nothing that a person should look at.
    pub healthy: bool,
    /// Why there is.
    pub attention: Vec<HealthIssue>,
    /// What is being done. Nothing when nobody follows the database.
    pub phase: Option<Phase>,
    /// Since when.
    pub since: Option<String>,
    /// What is wrong.
    pub error: Option<String>,
    /// The last session that failed.
    pub last_failure: Option<Trouble>,
    /// The last transaction that was captured.
    pub captured_txid: Option<String>,
    /// The last transaction that is durable, and when it was committed.
    pub durable_txid: Option<String>,
    /// When that was committed.
    pub durable_time: Option<String>,
    /// The chain after it, by which a restore knows the history again.
    #[serde(default)]
    pub durable_chain: Option<String>,
    /// The age of the oldest commit that is not durable; 0 when there is none.
    pub lag_seconds: f64,
    /// Whether nobody has the database open, so that its file alone is the database.
    #[serde(default)]
    pub resting: bool,
    /// By which other names somebody may have the file open, and write another log.
    #[serde(default)]
    pub other_names: Option<String>,
    /// The log. Nothing while it is not held.
    pub log_frames: Option<u32>,
    /// The size of the log's file.
    pub log_bytes: Option<u64>,
    /// How much room is left on the disk of the database, or of its local state if that has less.
    #[serde(default)]
    pub disk_free_bytes: Option<u64>,
    /// What lies in the spool.
    pub spool_segments: u64,
    /// The size of what lies in the spool.
    pub spool_bytes: u64,
    /// Other processes that keep the log from being restarted.
    pub readers: Vec<Reader>,
    /// The store, when it fails.
    pub store_trouble: Option<Trouble>,
    /// The newest snapshot.
    pub snapshot_txid: Option<String>,
    /// Of when that is.
    pub snapshot_time: Option<String>,
    /// Snapshots, while they fail.
    pub snapshot_trouble: Option<Trouble>,
    /// The manifest, when it was missing or damaged.
    pub manifest_trouble: Option<Trouble>,
    /// How far the history reaches back.
    #[serde(default)]
    pub history: Option<KeptHistory>,
    /// When the next prune is due, if the process prunes.
    #[serde(default)]
    pub next_prune: Option<String>,
    /// What the last prune of the replica did.
    #[serde(default)]
    pub pruned: Option<PruneSummary>,
    /// Prunes, while they fail.
    #[serde(default)]
    pub prune_trouble: Option<Trouble>,
    /// The last drill that succeeded.
    #[serde(default)]
    pub last_proved: Option<Proved>,
    /// The last drill, if it failed.
    #[serde(default)]
    pub drill_trouble: Option<Trouble>,
    /// How many segments the store has confirmed since the process began.
    pub segments: u64,
    /// Requests to the replica and its mirrors that were answered, by their kind, since it is counted.
    #[serde(default)]
    pub requests: BTreeMap<String, u64>,
    /// Bytes of objects that were sent since then.
    #[serde(default)]
    pub sent_bytes: u64,
    /// Bytes of objects that were received since then.
    #[serde(default)]
    pub received_bytes: u64,
    /// For how long it is counted.
    #[serde(default)]
    pub counted_seconds: f64,
    /// Its mirrors.
    #[serde(default)]
    pub mirrors: Vec<MirrorReport>,
    /// How many lines its process could not log, and why not the newest of them.
    #[serde(default)]
    pub log_lines_lost: u64,
    #[serde(default)]
    /// Why the newest of them could not be logged.
    pub log_error: Option<String>,
}

/// A further replica.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MirrorReport {
    /// Its address.
    pub replica: String,
    /// The last entry that it has.
    pub durable_txid: Option<String>,
    /// For how long it has lacked something that the first replica has; 0 when it lacks nothing.
    pub lag_seconds: f64,
    /// Why it cannot be brought up to date.
    pub trouble: Option<Trouble>,
    /// How many objects are damaged in the first replica and were not copied.
    pub damaged_objects: u64,
    /// How many objects were deleted there since the process began.
    pub deleted_objects: u64,
    /// How many its store did not let go.
    pub retained_objects: u64,
}

impl MirrorReport {
    fn of(mirror: MirrorProgress, now: Timestamp) -> MirrorReport {
        let behind = mirror.behind_since.map_or(Duration::ZERO, |since| since.until(now));
        MirrorReport {
            replica: mirror.replica,
            durable_txid: mirror.durable.map(|txid| txid.to_string()),
            lag_seconds: behind.as_secs_f64(),
            trouble: mirror
                .trouble
                .map(|(since, error)| Trouble { since: since.to_string(), error }),
            damaged_objects: mirror.damaged_objects,
            deleted_objects: mirror.deleted_objects,
            retained_objects: mirror.retained_objects,
        }
    }
}

/// A process that reads the database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reader {
    /// Its number.
    pub pid: i32,
    /// Its name, where the system tells it.
    pub name: Option<String>,
}

/// What went wrong, or goes wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// When, or since when.
    pub since: String,
    /// The newest reason.
    pub error: String,
}

impl Report {
    /// Looks at one database at `now`.
    pub fn of(status: &Status, now: Timestamp, unlogged: Option<LostLines>) -> Report {
        let counts = status.counts();
        let mut requests = BTreeMap::new();
        for some in counts.traffic.requests() {
            *requests.entry(some.kind.to_string()).or_default() += some.count;
        }
        let status = status.get();
        let txid = |point: ebbtide_replica::Point| point.txid.to_string();
        let time = |point: ebbtide_replica::Point| point.time.to_string();
        let trouble =
            |(since, error): (Timestamp, String)| Trouble { since: since.to_string(), error };
        let attention = health_issues(&status, now);
        let lag = status.lag(now);
        let log = status.log.as_ref();
        let readers = log.map(|log| log.readers.as_slice()).unwrap_or_default();
        Report {
            database: status.database.to_string_lossy().into_owned(),
            replica: status.replica,
            process: Some(std::process::id()),
            healthy: attention.is_empty(),
            attention,
            phase: Some(status.phase),
            since: Some(status.since.to_string()),
            error: status.error,
            last_failure: status.failure.map(trouble),
            captured_txid: status.captured.map(txid),
            durable_txid: status.durable.map(txid),
            durable_time: status.durable.map(time),
            durable_chain: status.durable_chain.map(|chain| chain.to_string()),
            lag_seconds: lag.as_secs_f64(),
            resting: status.resting,
            other_names: log.and_then(|log| log.other_names.clone()),
            log_frames: log.and_then(|log| log.frames),
            log_bytes: log.map(|log| log.file_bytes),
            disk_free_bytes: status.disk_free_bytes,
            spool_segments: status.spooled.segments,
            spool_bytes: status.spooled.bytes,
            readers: readers.iter().map(|&pid| Reader { pid, name: name_of(pid) }).collect(),
            store_trouble: status.outage.map(|outage| trouble((outage.since, outage.error))),
            snapshot_txid: status.snapshot.map(txid),
            snapshot_time: status.snapshot.map(time),
            snapshot_trouble: status
                .snapshot_trouble
                .or_else(|| status.lacks_base.then(|| (now, LACKS_BASE.to_owned())))
                .map(trouble),
            manifest_trouble: status.manifest_trouble.map(trouble),
            history: status.history,
            next_prune: status.next_prune.map(|at| at.to_string()),
            pruned: status.pruned,
            prune_trouble: status.prune_trouble.map(trouble),
            last_proved: status.drills.proved,
            drill_trouble: status.drills.failed.map(|failed| trouble((failed.at, failed.error))),
            segments: status.segments,
            requests,
            sent_bytes: counts.traffic.sent.get(),
            received_bytes: counts.traffic.received.get(),
            counted_seconds: counts.since.elapsed().as_secs_f64(),
            mirrors: status.mirrors.into_iter().map(|it| MirrorReport::of(it, now)).collect(),
            log_lines_lost: unlogged.as_ref().map_or(0, |lost| lost.lines),
            log_error: unlogged.map(|lost| lost.error),
        }
    }

    /// A database of the configuration that nobody follows.
    pub fn absent(database: String, replica: String) -> Report {
        Report {
            database,
            replica,
            attention: vec![HealthIssue::NotFollowed],
            error: Some("no running `ebbtide replicate` follows it".to_owned()),
            ..Report::default()
        }
    }
}

fn name_of(pid: i32) -> Option<String> {
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(name.trim_end().to_owned())
}
