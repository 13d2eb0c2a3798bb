//! The status of all databases on a terminal: what needs somebody first, in as many columns as fit.

use ebbtide_replica::{Timestamp, Txid};
use ebbtide_sidecar::control::Report;
use ebbtide_sidecar::follow::Phase;
use ebbtide_time::ago;

use super::words::{phase, remarks, seconds};
use crate::escape::OneLine;
use crate::screen::{Screen, Tone, cut, cut_front, short};
use crate::terminal;

/// The name of a database is cut to what is left of the line, but never to less.
const NAME_MIN: usize = 16;

/// A column, and from how wide a terminal on it is shown.
struct Column {
    title: &'static str,
    is_number: bool,
    from: usize,
    of: fn(&Report, Screen, Timestamp) -> String,
}

const COLUMNS: [Column; 7] = [
    Column {
        title: "PHASE",
        is_number: false,
        from: 0,
        of: |report, _, _| phase(report).to_owned(),
    },
    Column { title: "DURABLE UP TO", is_number: false, from: 0, of: durable },
    Column { title: "LAG", is_number: true, from: 0, of: |report, _, _| lag(report) },
    Column { title: "WAL", is_number: true, from: 90, of: |report, _, _| wal(report) },
    Column {
        title: "SNAPSHOT",
        is_number: true,
        from: 105,
        of: |report, _, now| age(report.snapshot_time.as_ref(), now),
    },
    Column { title: "KEEPS SINCE", is_number: false, from: 125, of: keeps },
    Column {
        title: "REPLICA",
        is_number: false,
        from: 140,
        of: |report, _, _| report.replica.clone(),
    },
];

/// The table, what was said of each database below it, and a line at the end.
pub(super) fn screen(reports: &[Report], screen: Screen, now: Timestamp) -> String {
    let mut reports: Vec<&Report> = reports.iter().collect();
    reports.sort_by_key(|report| report.healthy);
    let shown: Vec<&Column> =
        COLUMNS.iter().filter(|column| screen.columns >= column.from).collect();
    let cell =
        |column: &Column, report: &Report| OneLine((column.of)(report, screen, now)).to_string();
    let cells: Vec<Vec<String>> = reports
        .iter()
        .map(|report| shown.iter().map(|column| cell(column, report)).collect())
        .collect();
    let width = |at: usize, title: &str| {
        cells.iter().map(|row| row[at].chars().count()).max().unwrap_or(0).max(title.len())
    };
    let widths: Vec<usize> =
        shown.iter().enumerate().map(|(at, column)| width(at, column.title)).collect();
    let others: usize = 3 + widths.iter().map(|width| width + 2).sum::<usize>();
    let names: Vec<String> =
        reports.iter().map(|report| OneLine(&report.database).to_string()).collect();
    let widest =
        names.iter().map(|name| name.chars().count()).max().unwrap_or(0).max("DATABASE".len());
    let name_width = widest.min(screen.columns.saturating_sub(others).max(NAME_MIN));
    let row = |name: &str, cells: &[String]| {
        let mut line = format!("{:<name_width$}", cut_front(name, name_width));
        for ((cell, width), column) in cells.iter().zip(&widths).zip(&shown) {
            line += &match column.is_number {
                true => format!("  {cell:>width$}"),
                false => format!("  {cell:<width$}"),
            };
        }
        line.trim_end().to_owned()
    };
    let titles: Vec<String> = shown.iter().map(|column| column.title.to_owned()).collect();
    let mut text =
        format!("{}\n", cut(&format!("   {}", row("DATABASE", &titles)), screen.columns));
    for ((report, name), cells) in reports.iter().zip(&names).zip(&cells) {
        let (mark, tone) = mark(report);
        let line = cut(&row(name, cells), screen.columns.saturating_sub(3));
        text += &format!(" {} {line}\n", screen.paint(tone, mark));
        for remark in remarks(report) {
            let tone = if report.healthy { Tone::Soft } else { tone };
            text += &format!("     {}\n", screen.paint(tone, &OneLine(remark).to_string()));
        }
    }
    text + &format!("{}\n", screen.paint(Tone::Soft, &last_line(&reports, screen, now)))
}

fn last_line(reports: &[&Report], screen: Screen, now: Timestamp) -> String {
    let needing = reports.iter().filter(|report| !report.healthy).count();
    let all = terminal::number_of(reports.len() as u64, "database");
    let need = match needing {
        0 => "nothing needs attention".to_owned(),
        1 => "1 needs attention".to_owned(),
        some => format!("{some} need attention"),
    };
    format!("{all}, {need} · {}", screen.zone(now))
}

/// The sign of its state, which has a colour, too.
fn mark(report: &Report) -> (&'static str, Tone) {
    match report.phase {
        None | Some(Phase::Failing | Phase::LogReleased | Phase::Stopped) => ("✗", Tone::Bad),
        _ if !report.healthy => ("!", Tone::Warn),
        Some(Phase::Following) => ("✓", Tone::Good),
        Some(_) => ("…", Tone::Soft),
    }
}

fn durable(report: &Report, screen: Screen, now: Timestamp) -> String {
    let txid = report.durable_txid.as_ref().and_then(|txid| txid.parse::<Txid>().ok());
    let time = report.durable_time.as_ref().and_then(|time| time.parse::<Timestamp>().ok());
    match (txid, time) {
        (Some(txid), Some(time)) => {
            format!("{} · {} ({})", short(txid), screen.time(time, now), ago(time, now))
        }
        (Some(txid), None) => short(txid),
        (None, _) => "nothing yet".to_owned(),
    }
}

fn lag(report: &Report) -> String {
    if report.lag_seconds == 0.0 { "–".to_owned() } else { seconds(report.lag_seconds) }
}

fn wal(report: &Report) -> String {
    report.log_bytes.map_or("–".to_owned(), terminal::bytes)
}

fn age(time: Option<&String>, now: Timestamp) -> String {
    let time = time.and_then(|time| time.parse::<Timestamp>().ok());
    time.map_or("none yet".to_owned(), |time| ago(time, now))
}

fn keeps(report: &Report, _: Screen, now: Timestamp) -> String {
    let Some(history) = &report.history else { return "–".to_owned() };
    ago(history.oldest_time.unwrap_or(history.every_commit_from_time), now)
}
