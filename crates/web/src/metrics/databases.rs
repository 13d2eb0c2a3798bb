//! The metrics of each database.

use std::fmt;

use ebbtide_replica::Point;
use ebbtide_sidecar::follow::{Counts, DatabaseStatus, MirrorProgress};

use super::exposition::{Exposition, Labels, bytes, plain, seconds};
use super::seen::{Seen, SeenDatabase};
use super::values::{count, flag, since_epoch};

/// Writes them.
pub(super) fn write(seen: &Seen, to: &mut Exposition<'_>) -> fmt::Result {
    health(seen, to)?;
    positions(seen, to)?;
    log(seen, to)?;
    store(seen, to)?;
    history(seen, to)?;
    mirrors(seen, to)
}

/// What a value of each database is, if it has one.
fn each<'a>(
    seen: &'a Seen,
    value: impl Fn(&'a SeenDatabase) -> Option<f64> + 'a,
) -> impl Iterator<Item = (Labels, f64)> + 'a {
    seen.databases.iter().filter_map(move |it| Some((named(it), value(it)?)))
}

/// The same of what its status says.
fn status<'a>(
    seen: &'a Seen,
    value: impl Fn(&'a DatabaseStatus) -> Option<f64> + 'a,
) -> impl Iterator<Item = (Labels, f64)> + 'a {
    each(seen, move |it| value(&it.status))
}

/// The same of what was counted.
fn counted<'a>(
    seen: &'a Seen,
    value: impl Fn(&'a Counts) -> u64 + 'a,
) -> impl Iterator<Item = (Labels, f64)> + 'a {
    each(seen, move |it| Some(count(value(it.shared.counts()))))
}

fn named(database: &SeenDatabase) -> Labels {
    vec![("database", database.name.clone())]
}

fn also(database: &SeenDatabase, label: &'static str, value: String) -> Labels {
    vec![("database", database.name.clone()), (label, value)]
}

fn txid(point: Option<Point>) -> Option<f64> {
    point.map(|point| count(point.txid.get()))
}

fn health(seen: &Seen, to: &mut Exposition<'_>) -> fmt::Result {
    let healthy = plain("ebbtide_healthy", "1 if nothing needs attention, else 0");
    to.gauges(healthy, each(seen, |it| Some(flag(it.issues.is_empty()))))?;
    let attention =
        "1 for each reason why somebody should look; without such a reason there is no series";
    let issues = seen.databases.iter().flat_map(|it| {
        it.issues.iter().map(move |issue| (also(it, "reason", issue.name().to_owned()), 1.0))
    });
    to.gauges(plain("ebbtide_attention", attention), issues)?;
    let phases =
        seen.databases.iter().map(|it| (also(it, "phase", it.status.phase.name().to_owned()), 1.0));
    to.gauges(plain("ebbtide_phase", "1 for what is being done, as in `ebbtide status`"), phases)?;
    let sessions = "Sessions that were begun: one at a start, and one after each that failed";
    to.counters(plain("ebbtide_sessions", sessions), counted(seen, |it| it.sessions.get()))?;
    let failed = plain("ebbtide_session_failures", "Sessions that failed");
    to.counters(failed, counted(seen, |it| it.failures.get()))
}

fn positions(seen: &Seen, to: &mut Exposition<'_>) -> fmt::Result {
    let lag = seconds("ebbtide_lag", "Age of the oldest commit that is not durable; 0 if all are");
    to.gauges(lag, status(seen, |it| Some(it.lag(seen.now).as_secs_f64())))?;
    let captured = plain("ebbtide_captured_txid", "The last transaction that was captured");
    to.gauges(captured, status(seen, |it| txid(it.captured)))?;
    let durable = plain("ebbtide_durable_txid", "The last transaction that is durable");
    to.gauges(durable, status(seen, |it| txid(it.durable)))?;
    let time = seconds("ebbtide_durable_timestamp", "When that was committed, since the epoch");
    to.gauges(time, status(seen, |it| it.durable.map(|durable| since_epoch(durable.time))))?;
    let commits = plain("ebbtide_commits", "Commits that were captured");
    to.counters(commits, counted(seen, |it| it.commits.get()))?;
    let pages = plain("ebbtide_commit_pages", "Pages of the commits that were captured");
    to.counters(pages, counted(seen, |it| it.pages.get()))?;
    let size = bytes("ebbtide_commit", "Bytes of the pages of the commits that were captured");
    to.counters(size, counted(seen, |it| it.bytes.get()))?;
    let segments = plain("ebbtide_segments", "Segments that the store has confirmed");
    to.counters(segments, status(seen, |it| Some(count(it.segments))))?;
    let gaps = plain("ebbtide_gaps", "Gaps that were recorded: history that was missed");
    to.counters(gaps, counted(seen, |it| it.gaps.get()))?;
    let forks = "Forks that were recorded: the database had lost what the replica has";
    to.counters(plain("ebbtide_forks", forks), counted(seen, |it| it.forks.get()))
}

fn log(seen: &Seen, to: &mut Exposition<'_>) -> fmt::Result {
    let size = bytes("ebbtide_wal", "Size of the database's -wal file");
    to.gauges(size, status(seen, |it| Some(count(it.log.as_ref()?.file_bytes))))?;
    let frames = plain("ebbtide_wal_frames", "Committed frames in the -wal file");
    to.gauges(frames, status(seen, |it| it.log.as_ref()?.frames.map(f64::from)))?;
    let readers = "Other processes whose read transactions keep the -wal file from being restarted";
    to.gauges(
        plain("ebbtide_wal_readers", readers),
        status(seen, |it| Some(count(it.log.as_ref()?.readers.len() as u64))),
    )?;
    let checkpoints = seen.databases.iter().flat_map(|it| {
        let log = &it.shared.counts().log;
        let kinds = [
            ("passive", &log.checkpoints),
            ("exclusive", &log.exclusive_checkpoints),
            ("truncate", &log.truncations),
        ];
        kinds.map(|(kind, it_count)| (also(it, "kind", kind.to_owned()), count(it_count.get())))
    });
    let made = "Checkpoints that were made; writers are stopped for an exclusive one";
    to.counters(plain("ebbtide_checkpoints", made), checkpoints)?;
    let stops = seen.databases.iter().map(|it| (named(it), it.shared.counts().log.stops.read()));
    let stopped = "For how long writers were made to wait, each time";
    to.histograms(seconds("ebbtide_writer_wait", stopped), stops)?;
    let free =
        "Room that is left on the disk of the database, or of its local state if that has less";
    to.gauges(bytes("ebbtide_disk_free", free), status(seen, |it| it.disk_free_bytes.map(count)))
}

fn store(seen: &Seen, to: &mut Exposition<'_>) -> fmt::Result {
    let outage = "For how long the store has failed; 0 while it does not";
    to.gauges(
        seconds("ebbtide_store_outage", outage),
        status(seen, |it| Some(it.outage.as_ref().map_or(0.0, |it| it.lasts.as_secs_f64()))),
    )?;
    let segments = plain("ebbtide_spool_segments", "Segments that wait in the spool");
    to.gauges(segments, status(seen, |it| Some(count(it.spooled.segments))))?;
    let spool = bytes("ebbtide_spool", "Bytes that wait in the spool");
    to.gauges(spool, status(seen, |it| Some(count(it.spooled.bytes))))?;
    let requests = seen.databases.iter().flat_map(|it| {
        it.shared.counts().traffic.requests().map(move |requests| {
            let mut labels = also(it, "kind", requests.kind.to_string());
            labels.push(("outcome", requests.answered.to_string()));
            (labels, count(requests.count))
        })
    });
    let asked = "Requests to the replica and its mirrors, by what was asked and how it ended";
    to.counters(plain("ebbtide_store_requests", asked), requests)?;
    let sent = bytes("ebbtide_store_sent", "Bytes of objects that were sent to stores");
    to.counters(sent, counted(seen, |it| it.traffic.sent.get()))?;
    let received = bytes("ebbtide_store_received", "Bytes of objects that came from stores");
    to.counters(received, counted(seen, |it| it.traffic.received.get()))?;
    let cost = super::exposition::Family {
        name: "ebbtide_cost_per_month",
        unit: Some("dollars"),
        help: "What a month costs at about the prices of S3 if it goes on as in the last hour, without what is stored already",
    };
    to.gauges(cost, each(seen, |it| it.cost))
}

fn history(seen: &Seen, to: &mut Exposition<'_>) -> fmt::Result {
    let snapshot =
        seconds("ebbtide_snapshot_timestamp", "Of when the newest snapshot is, since the epoch");
    to.gauges(snapshot, status(seen, |it| it.snapshot.map(|it| since_epoch(it.time))))?;
    let from = "From when on every commit can be restored, since the epoch";
    to.gauges(
        seconds("ebbtide_history_every_commit_timestamp", from),
        status(seen, |it| Some(since_epoch(it.history.as_ref()?.every_commit_from_time))),
    )?;
    let oldest = "Of when the oldest state is that can be restored, since the epoch";
    to.gauges(
        seconds("ebbtide_history_oldest_timestamp", oldest),
        status(seen, |it| {
            let history = it.history.as_ref()?;
            Some(since_epoch(history.oldest_time.unwrap_or(history.every_commit_from_time)))
        }),
    )?;
    let older = "States that can be restored from before every commit can be";
    to.gauges(
        plain("ebbtide_history_older_states", older),
        status(seen, |it| Some(count(it.history.as_ref()?.older_states))),
    )?;
    let pruned =
        seconds("ebbtide_prune_timestamp", "When the replica was pruned last, since the epoch");
    to.gauges(pruned, status(seen, |it| Some(since_epoch(it.pruned.as_ref()?.time))))?;
    let proved = "When a drill last proved that the replica can be restored, since the epoch";
    to.gauges(
        seconds("ebbtide_drill_success_timestamp", proved),
        status(seen, |it| Some(since_epoch(it.drills.proved.as_ref()?.at))),
    )?;
    let took = seconds("ebbtide_drill_duration", "How long that drill took");
    to.gauges(took, status(seen, |it| Some(it.drills.proved.as_ref()?.seconds)))?;
    let failed = plain("ebbtide_drill_failed", "1 if the last drill failed, else 0");
    to.gauges(failed, status(seen, |it| Some(flag(it.drills.failed.is_some()))))
}

fn mirrors(seen: &Seen, to: &mut Exposition<'_>) -> fmt::Result {
    let each = |value: &dyn Fn(&MirrorProgress) -> f64| {
        let of = |it: &SeenDatabase| {
            let one = |mirror: &MirrorProgress| {
                (also(it, "mirror", mirror.replica.clone()), value(mirror))
            };
            it.status.mirrors.iter().map(one).collect::<Vec<_>>()
        };
        seen.databases.iter().flat_map(of).collect::<Vec<_>>().into_iter()
    };
    let lag = "For how long a mirror has lacked something that the replica has; 0 if nothing";
    let behind = |it: &MirrorProgress| {
        it.behind_since.map_or(0.0, |since| since.until(seen.now).as_secs_f64())
    };
    to.gauges(seconds("ebbtide_mirror_lag", lag), each(&behind))?;
    let failing =
        plain("ebbtide_mirror_failing", "1 if a mirror cannot be brought up to date, else 0");
    to.gauges(failing, each(&|it| flag(it.trouble.is_some())))
}
