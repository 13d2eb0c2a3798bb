//! What a status says in words.

use ebbtide_sidecar::control::{MirrorReport, Report};
use ebbtide_sidecar::follow::Phase;

use crate::commands::drilled::said;
use crate::terminal;

/// What is being done, in a word or two.
pub(super) fn phase(report: &Report) -> &'static str {
    match report.phase {
        Some(Phase::Following) if report.resting => "at rest",
        Some(phase) => phase.name(),
        None => "not running",
    }
}

/// What is to be said of a database besides, a line each.
pub(super) fn remarks(report: &Report) -> Vec<String> {
    let mut remarks = Vec::new();
    if let Some(error) = &report.error {
        let since = report.since.as_ref().map_or(String::new(), |since| format!(" since {since}"));
        remarks.push(format!("trouble{since}: {error}"));
    }
    if let Some(trouble) = &report.store_trouble {
        remarks.push(format!("the store is away since {}: {}", trouble.since, trouble.error));
    }
    if report.spool_segments > 0 {
        let bytes = terminal::bytes(report.spool_bytes);
        let segments = report.spool_segments;
        remarks.push(format!("{segments} segments ({bytes}) wait on the local disk"));
    }
    remarks.extend(history(report));
    remarks.extend(report.mirrors.iter().map(mirror));
    remarks.extend(
        report.attention.iter().filter_map(|&issue| issue.explain(report, terminal::bytes)),
    );
    if let Some(error) = &report.log_error {
        remarks.push(format!("{} lines could not be logged: {error}", report.log_lines_lost));
    }
    if let Some(proved) = &report.last_proved {
        remarks.push(said(proved));
    }
    for reader in &report.readers {
        let name = reader.name.as_ref().map_or(String::new(), |name| format!(" ({name})"));
        remarks.push(format!("read by process {}{name}, which keeps the log", reader.pid));
    }
    remarks
}

/// How far the history reaches back, and when it is pruned next.
fn history(report: &Report) -> Option<String> {
    let next = report.next_prune.as_ref().filter(|_| report.phase != Some(Phase::Ended));
    let next = next.map(|at| format!("the next prune is due at {at}"));
    let Some(history) = &report.history else { return next };
    let from = format!(
        "every commit is kept from {} (txid {}) on",
        history.every_commit_from_time, history.every_commit_from_txid
    );
    let before = history.oldest_time.map(|oldest| {
        let states = terminal::number_of(history.older_states, "state");
        format!("{states} before that, the oldest of {oldest}")
    });
    Some([Some(from), before, next].into_iter().flatten().collect::<Vec<_>>().join("; "))
}

fn mirror(mirror: &MirrorReport) -> String {
    let has = match &mirror.durable_txid {
        Some(txid) => format!("durable up to {txid}"),
        None => "not looked at yet".to_owned(),
    };
    let behind = match mirror.lag_seconds {
        0.0 => String::new(),
        lag => format!(", {} behind", seconds(lag)),
    };
    let trouble = mirror.trouble.as_ref().map_or(String::new(), |trouble| {
        format!("; not up to date since {}: {}", trouble.since, trouble.error)
    });
    let mut kept = String::new();
    if mirror.damaged_objects > 0 {
        kept += &format!("; {} damaged objects were not copied", mirror.damaged_objects);
    }
    if mirror.retained_objects > 0 {
        kept += &format!("; its store keeps {} objects that may go", mirror.retained_objects);
    }
    format!("mirror {}: {has}{behind}{trouble}{kept}", mirror.replica)
}

/// A lag as people read it.
pub(super) fn seconds(seconds: f64) -> String {
    match seconds {
        0.0 => "0".to_owned(),
        _ if seconds < 1.0 => format!("{:.0} ms", seconds * 1000.0),
        _ if seconds < 120.0 => format!("{seconds:.1} s"),
        _ if seconds < 7200.0 => format!("{:.0} min", seconds / 60.0),
        _ => format!("{:.1} h", seconds / 3600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lags_are_read_at_a_glance() {
        let read = [0.0, 0.0123, 3.25, 300.0, 86400.0].map(seconds);
        assert_eq!(read, ["0", "12 ms", "3.2 s", "5 min", "24.0 h"]);
    }
}
