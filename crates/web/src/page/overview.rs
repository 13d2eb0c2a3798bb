//! All databases: how each is, what needs attention and why, and what to do.

use ebbtide_replica::Timestamp;
use ebbtide_sidecar::control::{HealthIssue, Report};
use ebbtide_sidecar::follow::Phase;
use ebbtide_time::{ago, span};
use maud::{Markup, html};

use super::advice::{remedy, title};
use super::query::Query;
use super::words::{attention_of, bytes, number_of};

/// How a database is, for people: a sign, a class for its colour, and words.
pub(super) struct Condition {
    sign: &'static str,
    class: &'static str,
    pub(super) words: String,
}

impl Condition {
    /// Of what is known.
    pub(super) fn of(report: &Report) -> Condition {
        let is_over = matches!(
            report.phase,
            None | Some(Phase::Failing | Phase::LogReleased | Phase::Stopped)
        );
        if is_over {
            let words = report.phase.map_or("not followed", Phase::name).to_owned();
            return Condition { sign: "✕", class: "bad", words };
        }
        if !report.healthy {
            return Condition { sign: "!", class: "warn", words: "needs attention".to_owned() };
        }
        let words = match report.phase {
            Some(Phase::Following) if report.lag_seconds > 0.0 => "following, shipping",
            Some(Phase::Following) if report.resting => "durable, at rest",
            Some(Phase::Following) => "durable",
            Some(phase) => phase.name(),
            None => "not followed",
        };
        let is_well = report.phase == Some(Phase::Following);
        let (sign, class) = if is_well { ("✓", "good") } else { ("…", "calm") };
        Condition { sign, class, words: words.to_owned() }
    }

    /// As a badge.
    pub(super) fn badge(&self) -> Markup {
        html! { span class={ "badge " (self.class) } { span aria-hidden="true" { (self.sign) } " " (self.words) } }
    }
}

/// The list.
pub(super) fn overview(reports: &[Report], stopped: u64, now: Timestamp) -> Markup {
    html! {
        h1 { (headline(reports)) }
        @if stopped > 0 {
            p.note.bad { "✕ " (number_of(stopped, "database")) " given up because of an error: the log of ebbtide says which, and why." }
        }
        @if reports.is_empty() {
            p.note { code { "ebbtide add DATABASE REPLICA" } " has one followed, and so has a " code { "[[database]]" } " in the configuration." }
        }
        ul.databases {
            @for report in reports {
                li.card { (card(report, now)) }
            }
        }
    }
}

/// How all are, in one line.
pub(super) fn headline(reports: &[Report]) -> String {
    let all = number_of(reports.len() as u64, "database");
    let needing = reports.iter().filter(|report| !report.healthy).count();
    let lags = reports.iter().any(|report| report.lag_seconds > 0.0);
    attention_of(needing, &all).unwrap_or_else(|| match lags {
        _ if reports.is_empty() => "No database is followed".to_owned(),
        true => format!("{all}, shipping what was just committed"),
        false => format!("{all}, everything durable"),
    })
}

fn card(report: &Report, now: Timestamp) -> Markup {
    html! {
        div.card-head {
            h2 { a href=(Query::of(&report.database).address()) { (named(&report.database)) } }
            (Condition::of(report).badge())
        }
        (attention(report, now))
        (facts(report, now))
    }
}

/// A path with its name set off, in which a line may end after each directory.
pub(super) fn named(path: &str) -> Markup {
    let (directories, name) = parts(path);
    html! {
        span.dir { @for directory in directories.split_inclusive('/') { (directory) wbr; } }
        (name)
    }
}

/// A path in two parts: all directories, and the name.
pub(super) fn parts(path: &str) -> (&str, &str) {
    path.rfind('/').map_or(("", path), |at| path.split_at(at + 1))
}

/// The most important numbers.
pub(super) fn facts(report: &Report, now: Timestamp) -> Markup {
    let time = |text: &Option<String>| text.as_ref()?.parse::<Timestamp>().ok();
    let since = report.history.as_ref().map(|history| history.every_commit_from_time);
    html! {
        dl.facts {
            div {
                dt { "Durable up to" }
                dd {
                    @match &report.durable_txid {
                        Some(txid) => { span title=(txid) { "txid " (txid.trim_start_matches('0')) } }
                        None => { "nothing yet" }
                    }
                    @if let Some(at) = time(&report.durable_time) {
                        span.more { time datetime=(at) { (ago(at, now)) } }
                    }
                }
            }
            div { dt { "Lag" } dd { (lag(report)) } }
            div {
                dt { "Newest snapshot" }
                dd {
                    @match time(&report.snapshot_time) {
                        Some(at) => { time datetime=(at) { (ago(at, now)) } }
                        None => { "none yet" }
                    }
                }
            }
            div {
                dt { "Every commit since" }
                dd {
                    @match since {
                        Some(at) => { time datetime=(at) { (ago(at, now)) } }
                        None => { "not looked at yet" }
                    }
                }
            }
            @if report.spool_segments > 0 {
                div { dt { "Waiting on this disk" } dd { (bytes(report.spool_bytes)) } }
            }
            div.wide { dt { "Replica" } dd.address { (report.replica) } }
        }
    }
}

fn lag(report: &Report) -> String {
    match report.lag_seconds {
        0.0 => "none".to_owned(),
        #[expect(clippy::cast_possible_truncation, reason = "it is a span for people")]
        seconds => span((seconds * 1e6) as i64),
    }
}

/// What needs attention, why, and what to do.
pub(super) fn attention(report: &Report, now: Timestamp) -> Markup {
    html! {
        @if !report.attention.is_empty() {
            ul.attention {
                @for issue in &report.attention {
                    li {
                        strong { (title(*issue)) }
                        @for why in reasons(*issue, report, now) { p.why { (why) } }
                        p.remedy { span aria-hidden="true" { "→ " } (remedy(*issue, &report.attention)) }
                    }
                }
            }
        }
    }
}

fn reasons(issue: HealthIssue, report: &Report, now: Timestamp) -> Vec<String> {
    let own = match issue {
        HealthIssue::NotFollowed | HealthIssue::Failing => report.error.clone(),
        HealthIssue::Store => {
            let trouble = report.store_trouble.as_ref();
            trouble.map(|it| match it.since.parse::<Timestamp>() {
                Ok(since) => format!("began {}: {}", ago(since, now), it.error),
                Err(_) => it.error.clone(),
            })
        }
        HealthIssue::Mirror => {
            let failing = report.mirrors.iter().filter_map(|mirror| {
                Some(format!("{}: {}", mirror.replica, mirror.trouble.as_ref()?.error))
            });
            return failing.collect();
        }
        _ => issue.explain(report, bytes),
    };
    own.into_iter().collect()
}
