//! What is configured, in the words of the parts that it is for.

use std::time::Duration;

use ebbtide_config::Database;
use ebbtide_shipper::Rate;
use ebbtide_watcher::Limits;

use super::job::Job;

/// How a database is followed. By default a writer that never pauses is stopped for a moment from 10 MB of log on.
pub(crate) fn following(database: &Database) -> ebbtide_watcher::Options {
    let limits = Limits {
        checkpoint_frames: database.checkpoint_frames,
        checkpoint_interval: Duration::from_secs(60),
        exclusive_frames: database.checkpoint_frames.saturating_mul(5) / 2,
        write_lock_budget: Duration::from_millis(20),
        truncate_bytes: 8 << 20,
        idle: Duration::from_secs(5),
    };
    ebbtide_watcher::Options { enable_wal: database.enable_wal, limits }
}

/// How it is shipped.
pub(crate) fn shipping(job: &Job) -> ebbtide_shipper::Options {
    let Job { database, wrap, .. } = job;
    let puts = Rate { per_second: database.puts.per_second, burst: database.puts.burst };
    let spool_bytes_max = database.spool_bytes_max;
    ebbtide_shipper::Options { puts, spool_bytes_max, wrap: wrap.clone() }
}
