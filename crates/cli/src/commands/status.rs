//! `ebbtide status`: how the databases of the running processes are doing.

mod screen;

use std::path::Path;
use std::time::Duration;

use super::answered::answered;
use super::drilled::said;
use crate::args::Status;
use crate::escape::OneLine;
use crate::exit::{Code, Failure, Outcome};
use crate::screen::Screen;
use crate::{output, terminal};
use ebbtide_config::Config;
use ebbtide_sidecar::clock;
use ebbtide_sidecar::control::{
    Answer, MirrorReport, Report, Request, ask_all, peers, places_to_ask,
};
use ebbtide_sidecar::follow::Phase;

/// How often a status that is watched is looked at.
const WATCH_PAUSE: Duration = Duration::from_secs(1);

/// Runs the command.
///
/// # Errors
/// When nothing is followed, or something that is followed needs a person.
pub(crate) fn run(args: Status) -> Result<Outcome, Failure> {
    let config = args.config.as_deref().map(Config::read).transpose()?;
    if args.watch {
        return watch(config.as_ref(), args.utc);
    }
    let (reports, silent) = gather_of(config.as_ref());
    if args.json {
        for report in &reports {
            let line = serde_json::to_string(report);
            output::json(line.map_err(|error| Failure::new(Code::Failed, error))?);
        }
    } else if !reports.is_empty() {
        match Screen::of_output(args.utc) {
            Some(screen) => output::lines(&screen::screen(&reports, screen, clock::now())),
            None => output::lines(&table(&reports)),
        }
    }
    let unhealthy = reports.iter().filter(|report| !report.healthy).count();
    match (silent.first(), reports.len(), unhealthy) {
        (Some(why), ..) => Err(Failure::new(Code::Failed, why.clone())),
        (None, 0, _) => Err(nobody()),
        (None, _, 0) => Ok(Outcome::Done),
        (None, all, some) => {
            Err(Failure::new(Code::Failed, format!("{some} of {all} databases need attention")))
        }
    }
}

/// Shows it again and again, on the whole terminal, until a signal ends it.
fn watch(config: Option<&Config>, is_utc: bool) -> Result<Outcome, Failure> {
    loop {
        let Some(screen) = Screen::of_output(is_utc) else {
            let why = "--watch needs a terminal; `ebbtide status --json` is for scripts";
            return Err(Failure::new(Code::Usage, why));
        };
        let (reports, silent) = gather_of(config);
        let mut text = match reports.is_empty() {
            true => format!("{}\n", OneLine(nobody())),
            false => screen::screen(&reports, screen, clock::now()),
        };
        silent.iter().for_each(|why| text += &format!("{}\n", OneLine(why)));
        output::lines(&screen.whole(&text));
        output::flush();
        if output::is_gone() {
            return Ok(Outcome::Done);
        }
        std::thread::sleep(WATCH_PAUSE);
    }
}

/// The same as [`gather`], of the databases of a configuration if there is one.
fn gather_of(config: Option<&Config>) -> (Vec<Report>, Vec<String>) {
    let (reports, silent) = gather();
    match config {
        Some(config) => (of_configuration(config, reports), silent),
        None => (reports, silent),
    }
}

/// What all running processes report, and which of them do not answer. They are asked side by side, so that one which does
/// not answer does not take the time of the others.
pub(super) fn gather() -> (Vec<Report>, Vec<String>) {
    let (mut reports, mut silent) = (Vec::new(), Vec::new());
    for (peer, answer) in ask_all(peers(), &Request::Status, Duration::ZERO) {
        let status = |answer| match answer {
            Answer::Status(all) => Some(all),
            _ => None,
        };
        let all = match answered(&peer, answer, status) {
            Ok(all) => all.unwrap_or_default(),
            Err(why) => {
                silent.push(why);
                continue;
            }
        };
        let is_believed = |report: &Report| {
            report.process == Some(peer.process) && peer.may_tell_of(Path::new(&report.database))
        };
        let (believed, other): (Vec<_>, Vec<_>) = all.into_iter().partition(is_believed);
        if !other.is_empty() {
            tracing::warn!(
                process = peer.process,
                databases = other.len(),
                "reports databases that are not its user's; passed over"
            );
        }
        reports.extend(believed);
    }
    reports.sort_by(|a, b| a.database.cmp(&b.database));
    (reports, silent)
}

/// Nothing is running where we looked.
pub(super) fn nobody() -> Failure {
    let places: Vec<String> =
        places_to_ask().iter().map(|place| place.display().to_string()).collect();
    let why = format!("no running `ebbtide replicate` was found in {}", places.join(", "));
    Failure::new(Code::Failed, why)
}

/// The databases of a configuration, whoever follows them.
fn of_configuration(config: &Config, mut reports: Vec<Report>) -> Vec<Report> {
    let mut wanted = Vec::new();
    for database in &config.databases {
        let path = std::path::absolute(&database.path).unwrap_or_else(|_| database.path.clone());
        let name = path.to_string_lossy().into_owned();
        let replica = database.location.to_string();
        let at =
            reports.iter().position(|report| report.database == name && report.replica == replica);
        wanted.push(match at {
            Some(at) => reports.swap_remove(at),
            None => Report::absent(name, replica),
        });
    }
    let is_named = |report: &Report| {
        let path = Path::new(&report.database);
        config.patterns.iter().any(|pattern| pattern.names(path))
    };
    wanted.extend(reports.into_iter().filter(is_named));
    wanted
}

/// A line for each database, and one below it for each thing that is wrong.
fn table(reports: &[Report]) -> String {
    let names: Vec<String> =
        reports.iter().map(|report| OneLine(&report.database).to_string()).collect();
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let width = width.max("DATABASE".len());
    let mut text = format!(
        "{:<width$}  PHASE        DURABLE           LAG       LOG        SNAPSHOT\n",
        "DATABASE"
    );
    for (report, name) in reports.iter().zip(names) {
        let row = format!(
            "{name:<width$}  {:<11}  {:<16}  {:<8}  {:<9}  {}",
            phase(report),
            report.durable_txid.as_deref().unwrap_or("-"),
            seconds(report.lag_seconds),
            report.log_bytes.map_or("-".to_owned(), terminal::bytes),
            report.snapshot_time.as_deref().unwrap_or("-")
        );
        text += &format!("{}\n", OneLine(row.trim_end()));
        for remark in remarks(report) {
            text += &format!("  {}\n", OneLine(remark));
        }
    }
    text
}

fn phase(report: &Report) -> &'static str {
    match report.phase {
        Some(Phase::Following) if report.resting => "at rest",
        Some(phase) => phase.name(),
        None => "not running",
    }
}

fn remarks(report: &Report) -> Vec<String> {
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
    let next = report.next_prune.as_ref().map(|at| format!("the next prune is due at {at}"));
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
fn seconds(seconds: f64) -> String {
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

    #[test]
    fn a_database_that_nobody_follows_is_shown_as_such() {
        let text = table(&[Report::absent("/data/app.db".to_owned(), "/backup".to_owned())]);
        assert!(text.contains("/data/app.db  not running  -"), "{text}");
        assert!(text.contains("no running `ebbtide replicate` follows it"), "{text}");
    }
}
