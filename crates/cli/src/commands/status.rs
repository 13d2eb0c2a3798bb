//! `ebbtide status`: how the databases of the running processes are doing.

mod screen;
mod words;

use std::path::Path;
use std::time::Duration;

use super::answered::answered;
use crate::args::Status;
use crate::escape::OneLine;
use crate::exit::{Code, Failure, Outcome};
use crate::screen::Screen;
use crate::{output, terminal};
use ebbtide_config::Config;
use ebbtide_sidecar::clock;
use ebbtide_sidecar::control::{Answer, Report, Request, ask_all, peers, places_to_ask};
use words::{phase, remarks, seconds};

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_that_nobody_follows_is_shown_as_such() {
        let text = table(&[Report::absent("/data/app.db".to_owned(), "/backup".to_owned())]);
        assert!(text.contains("/data/app.db  not running  -"), "{text}");
        assert!(text.contains("no running `ebbtide replicate` follows it"), "{text}");
    }
}
