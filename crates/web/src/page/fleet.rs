//! All replicas below an address: what needs attention first, each with the way to its timeline.

use ebbtide_fleet::{Member, Newest, Summary};
use ebbtide_replica::Timestamp;
use ebbtide_time::ago;
use maud::{Markup, html};

use super::overview::{named, parts};
use super::query::Query;
use super::words::{attention_of, bytes, number, number_of, short};
use crate::fleet::SeenFleet;

/// So many are on one page.
const ROWS_MAX: usize = 1000;

/// After so many milliseconds the script looks for news: they are looked at once a minute at most.
const PAUSE: &str = "15000";

/// The list, without those that come before `from`.
pub(super) fn fleet_page(address: &str, seen: &SeenFleet, from: usize, now: Timestamp) -> Markup {
    let members = &seen.members;
    let from = if from < members.len() { from } else { 0 };
    let rows = members.get(from..).unwrap_or_default();
    let rows = rows.get(..ROWS_MAX).unwrap_or(rows);
    html! {
        div #fleet data-live data-pause=(PAUSE) {
            h1 { (headline(members, now)) }
            (drills(members))
            p.summary {
                span.address { (address) } " · looked at "
                time datetime=(seen.at) { (ago(seen.at, now)) }
            }
            @if let Some(error) = &seen.error {
                p.note.warn { "! It cannot be looked at just now: " (error) }
            }
            (pages(from, rows.len(), members.len()))
            div.scroll role="region" aria-label="Replicas" tabindex="0" {
                table.fleet {
                    thead { tr { @for (title, class) in COLUMNS { th scope="col" class=[class] { (title) } } } }
                    tbody { @for row in rows { (line(row, now)) } }
                }
            }
            (pages(from, rows.len(), members.len()))
        }
    }
}

/// What stands in the columns, and how.
const COLUMNS: [(&str, Option<&str>); 9] = [
    ("Replica", None),
    ("Newest entry", None),
    ("Database", None),
    ("Kept since", None),
    ("Last proved", None),
    ("Size", Some("number")),
    ("Gaps", Some("number")),
    ("Forks", Some("number")),
    ("Encrypted", None),
];

/// How all are, in one line.
pub(super) fn headline(members: &[Member], now: Timestamp) -> String {
    let all = number_of(members.len() as u64, "replica");
    let needing = members.iter().filter(|it| it.needs_attention(now)).count();
    attention_of(needing, &all)
        .unwrap_or_else(|| format!("{all}, none silent for longer than usual"))
}

/// How many of the last drills failed, if some did.
fn drills(members: &[Member]) -> Markup {
    let failed = members.iter().filter(|it| it.drill.failed.is_some()).count();
    html! {
        @if failed > 0 {
            p.note.bad { "✕ The last drill of " (number_of(failed as u64, "replica")) " failed: a restore would, too." }
        }
    }
}

/// The ways to the parts before and after, where not all are on one page.
fn pages(from: usize, shown: usize, all: usize) -> Markup {
    let link = |from: usize| format!("/?from={from}");
    html! {
        @if shown < all {
            nav.spans aria-label="Parts of the list" {
                @if from > 0 { a href=(link(from.saturating_sub(ROWS_MAX))) { "← before" } }
                span.more {
                    (number(from.saturating_add(1) as u64)) "–" (number(from.saturating_add(shown) as u64)) " of " (number(all as u64))
                }
                @if from.saturating_add(shown) < all { a href=(link(from.saturating_add(shown))) { "after →" } }
            }
        }
    }
}

fn line(row: &Member, now: Timestamp) -> Markup {
    let (directory, name) = parts(&row.name);
    html! {
        tr {
            th scope="row" {
                a href=(Query::of(&row.name).address()) { span.dir { (directory) } (name) }
            }
            @match &row.summary {
                Ok(summary) => { (cells(summary, row, now)) }
                Err(_) => { @for _ in 1..COLUMNS.len() { td { "–" } } }
            }
        }
        @let complaints = row.complaints(now);
        @if !complaints.is_empty() {
            tr.complaints {
                td colspan=(COLUMNS.len()) { @for why in complaints { p.why.bad { "! " (why) } } }
            }
        }
    }
}

fn cells(summary: &Summary, row: &Member, now: Timestamp) -> Markup {
    let counted = summary.counted();
    // A narrow window has no heads of columns, and shows these instead.
    let label = |column: usize| COLUMNS.get(column).map(|(title, _)| *title);
    let of_history = |column: usize, count: Option<u64>| match count {
        Some(count) => {
            html! { td.number.bad[count > 0] data-label=[label(column)] { (number(count)) } }
        }
        None => html! { td.number data-label=[label(column)] { "–" } },
    };
    let origin = &summary.origin;
    html! {
        td data-label=[label(1)] { (newest(summary, now)) }
        td.origin data-label=[label(2)] {
            span.address { (named(origin.database.as_deref().unwrap_or("–"))) }
            @if let Some(host) = &origin.host { span.more { "on " (host) } }
        }
        td data-label=[label(3)] { (day(summary.kept_since())) }
        td data-label=[label(4)] { @match row.drill.proved { Some(at) => { time datetime=(at) { (ago(at, now)) } } None => { "never here" } } }
        td.number data-label=[label(5)] { (bytes(summary.bytes)) }
        (of_history(6, counted.map(|tally| tally.gaps)))
        (of_history(7, counted.map(|tally| tally.forks)))
        td data-label=[label(8)] { (if summary.encrypted { "yes" } else { "no" }) }
    }
}

/// The newest entry with its age; of one that cannot be read, when it was put.
fn newest(summary: &Summary, now: Timestamp) -> Markup {
    let put = summary.silence.map(|silence| silence.since);
    let (txid, time) = match summary.newest {
        Newest::Entry(point) => (short(point.txid), Some(point.time)),
        Newest::AtLeast(txid) => (format!("≥ {}", short(txid)), put),
        Newest::None => return html! { "none yet" },
    };
    html! {
        @if let Some(time) = time { time datetime=(time) { (ago(time, now)) } }
        span.more { "txid " (txid) }
    }
}

fn day(time: Option<Timestamp>) -> Markup {
    html! {
        @match time {
            Some(time) => { time datetime=(time) { (time.to_string().get(..10).unwrap_or_default()) } }
            None => { "–" }
        }
    }
}
