//! One database: what can be restored of it, and the command for it.

use ebbtide_replica::{EntryKind, Point, Timestamp, Txid};
use ebbtide_store::error_chain;
use ebbtide_time::ago;
use maud::{Markup, html};

use super::axis::Axis;
use super::chart::{Chart, describe, legend};
use super::query::{Query, SPANS};
use super::words::{bytes, number, number_of, quoted, short, utc};
use crate::shelf::Opened;
use crate::timeline::{Bucket, Event, EventKind, History, NamedState, Picked, TimelineError};
use crate::timeline::{Wanted, buckets};

/// In so many parts a picture shows its stretch of time.
const BUCKETS: usize = 200;

/// So many events and marks are listed.
const LISTED_MAX: usize = 20;

const SECOND: i64 = 1_000_000;

/// All that the history of a database shows, for one address.
pub(super) struct Past {
    axis: Axis,
    whole: Axis,
    close: Vec<Bucket>,
    all: Vec<Bucket>,
    picked: Option<Picked>,
    has_previous: bool,
    has_next: bool,
}

impl Past {
    /// Looks at what is asked for.
    pub(super) async fn look(
        opened: &Opened,
        query: &Query,
        now: Timestamp,
    ) -> Result<Option<Past>, TimelineError> {
        let Some((history, store)) = &opened.history else { return Ok(None) };
        let Some((first, last)) = history.ends() else { return Ok(None) };
        let whole = Axis { from: first.time, to: last.time.max(now) };
        let newest = query.end().and_then(|_| history.last_by(axis(whole, query, None).to));
        let wanted = query.wanted().unwrap_or(Wanted::Txid(newest.unwrap_or(last.txid)));
        let picked = history.pick(&**store, wanted).await?;
        // Who goes to a stretch of time stays in it, even if nothing was committed there.
        let is_sought = query.wanted().is_some() || query.end().is_none();
        let sought = picked.as_ref().filter(|_| is_sought).map(Picked::time);
        let axis = axis(whole, query, sought);
        let close = history.close(&**store, axis.from, axis.to).await?;
        let everything = history.cells.between(whole.from, whole.to);
        let txid = picked.as_ref().map(Picked::txid);
        Ok(Some(Past {
            close: buckets(close.iter(), axis.from, axis.to, BUCKETS),
            all: buckets(everything.iter(), whole.from, whole.to, BUCKETS),
            has_previous: txid.is_some_and(|txid| txid > first.txid),
            has_next: txid.is_some_and(|txid| txid < last.txid),
            axis,
            whole,
            picked,
        }))
    }
}

/// The stretch of time that is shown: the chosen length up to the end, or around what is picked.
fn axis(whole: Axis, query: &Query, picked: Option<Timestamp>) -> Axis {
    let chosen =
        SPANS.get(span_of(query, whole)).map_or(i64::MAX / SECOND, |(_, _, seconds)| *seconds);
    let length = chosen.saturating_mul(SECOND).min(whole.length());
    let ending = |end: i64| {
        let end = end.clamp(
            whole.from.as_micros().saturating_add(length),
            whole.to.as_micros().max(whole.from.as_micros().saturating_add(length)),
        );
        Axis { from: Timestamp::clamped(end - length), to: Timestamp::clamped(end) }
    };
    let asked = ending(query.end().unwrap_or(whole.to).as_micros());
    match picked {
        Some(at) if at < asked.from || at > asked.to => {
            ending(at.as_micros().saturating_add(length / 2))
        }
        _ => asked,
    }
}

/// Which of the lengths is shown: the chosen one, or else the shortest that has everything, a day at most.
fn span_of(query: &Query, whole: Axis) -> usize {
    let has_all = |(_, _, seconds): &(&str, &str, i64)| *seconds >= whole.length() / SECOND;
    let shortest = SPANS.iter().position(has_all).unwrap_or(SPANS.len() - 1);
    query.span().unwrap_or(if shortest > 2 { 2 } else { shortest })
}

/// The history of a database.
pub(super) fn past(
    opened: &Opened,
    looked: Result<Option<Past>, TimelineError>,
    query: &Query,
    replica: &str,
    now: Timestamp,
) -> Markup {
    let error = opened.error.clone();
    html! {
        @if let Some(error) = error {
            p.note.warn { "! The history cannot be read just now: " (error) }
        }
        @match (looked, &opened.history) {
            (Ok(Some(past)), Some((history, _))) => { (drawn(&past, history, query, replica, now)) }
            (Err(error), _) => { p.note.warn { "! This part of the history cannot be read: " (error_chain(&error)) } }
            (Ok(_), Some(_)) => { p.note { "Nothing can be restored yet." } }
            (Ok(_), None) => {
                @if opened.error.is_none() { p.note { "The history is being read…" } }
            }
        }
    }
}

fn drawn(past: &Past, history: &History, query: &Query, replica: &str, now: Timestamp) -> Markup {
    let picked = past.picked.as_ref();
    let link = |txid: Txid| query.picking(Some(Wanted::Txid(txid))).address();
    let time = picked.map(Picked::time);
    let close = Chart {
        history,
        axis: past.axis,
        buckets: &past.close,
        picked: time,
        part: None,
        label: "Commits in the chosen stretch of time",
        link: &link,
    };
    let all = Chart {
        history,
        axis: past.whole,
        buckets: &past.all,
        picked: time,
        part: Some(past.axis),
        label: "Commits in the whole history",
        link: &link,
    };
    let is_close = past.axis != past.whole;
    html! {
        (summary(history, now))
        (spans(past, query))
        (close.draw())
        @if is_close {
            p.caption { "The whole history; the frame is what is shown above." }
            (all.draw())
        }
        (legend())
        @if let Some(picked) = picked { (panel(past, picked, history, query, replica, now)) }
        (lists(history, query, now))
    }
}

fn summary(history: &History, now: Timestamp) -> Markup {
    let since = |time: Timestamp| {
        html! { " since " time datetime=(time) { (utc(time)) } " (" (ago(time, now)) ")" }
    };
    let count = |is_meant: fn(&EventKind) -> bool| {
        history.events.iter().filter(|event| is_meant(&event.kind)).count() as u64
    };
    let gaps = count(|kind| matches!(kind, EventKind::Gap(_)));
    let forks = count(|kind| matches!(kind, EventKind::Fork(_)));
    html! {
        p.summary {
            strong { "Any of " (number_of(history.cells.total(), "commit")) }
            @if let Some((first, _)) = history.cells.ends() { (since(first.time)) }
            @if let Some(oldest) = history.states.first() {
                ", and " (number_of(history.states.len() as u64, "single state")) (since(oldest.point.time))
            }
            span.counts {
                (number_of(gaps, "gap")) " · " (number_of(forks, "fork"))
                " · " (number_of(history.snapshots.len() as u64, "snapshot"))
                " · " (number_of(history.marks.len() as u64, "named point"))
                " · " (bytes(history.bytes)) " stored"
            }
        }
    }
}

fn spans(past: &Past, query: &Query) -> Markup {
    let shown = span_of(query, past.whole);
    let step = |by: i64| {
        let end = past.axis.to.as_micros().saturating_add(past.axis.length() / 2 * by);
        query.picking(None).ending(Some(Timestamp::clamped(end))).with_span(shown).address()
    };
    html! {
        nav.spans aria-label="Stretch of time" {
            a href=(step(-1)) rel="nofollow" aria-label="Earlier" title="Earlier" { "←" }
            @for (at, (_, name, _)) in SPANS.iter().enumerate() {
                a href=(query.with_span(at).address()) aria-current=[(at == shown).then_some("true")] { (name) }
            }
            a href=(step(1)) rel="nofollow" aria-label="Later" title="Later" { "→" }
            a href=(query.picking(None).ending(None).address()) { "now" }
        }
    }
}

/// The commit that is picked, and the command to restore it.
fn panel(
    past: &Past,
    picked: &Picked,
    history: &History,
    query: &Query,
    replica: &str,
    now: Timestamp,
) -> Markup {
    let (txid, time) = (picked.txid(), picked.time());
    let page_bytes = history.manifest.page_size.offset();
    let go = |wanted| query.picking(Some(wanted)).address();
    html! {
        section.panel aria-labelledby="picked" {
            div.panel-head {
                h3 #picked { "txid " (short(txid)) }
                nav.steps aria-label="Commits" {
                    @if past.has_previous {
                        a #previous rel="prev" href=(go(Wanted::Before(txid))) { "← previous" }
                    } @else { span.off { "← previous" } }
                    @if past.has_next {
                        a #next rel="next" href=(go(Wanted::After(txid))) { "next →" }
                    } @else { span.off { "next →" } }
                }
            }
            dl.facts {
                div.wide { dt { "Committed" } dd { time datetime=(time) { (utc(time)) } span.more { (ago(time, now)) } } }
                @match picked {
                    Picked::Entry(row) => {
                        div { dt { "Changed" } dd { (number_of(u64::from(row.pages), "page")) @if row.kind == EntryKind::Resync { span.more { "brought up to date" } } } }
                        div { dt { "Database" } dd { (bytes(u64::from(row.database_pages) * page_bytes)) } }
                    }
                    Picked::Single(state) => { div { dt { "Kept" } dd { (state.name) } } }
                }
                @for mark in history.marks.iter().filter(|mark| mark.point.txid == txid).take(LISTED_MAX) {
                    div { dt { "Named" } dd { "⚑ " (mark.name) } }
                }
            }
            p.caption {
                "Restores it into a file of its own; nothing else changes."
                span.keys { " Arrow keys go from commit to commit." }
            }
            div.command {
                pre tabindex="0" { code #command { "ebbtide restore -o restored.db " span.whole { "--txid " (short(txid)) } " " (quoted(replica)) } }
                button #copy type="button" data-copy="command" hidden { "Copy" }
            }
        }
    }
}

/// The named points, and what happened: what there is of each lately.
fn lists(history: &History, query: &Query, now: Timestamp) -> Markup {
    let link = |point: Point, name: &str| {
        let address = query.picking(Some(Wanted::Txid(point.txid))).address();
        html! { a href=(address) { (name) } }
    };
    let marks = history.marks.iter().rev();
    let mark = |mark: &NamedState| {
        let name = format!("⚑ {}", mark.name);
        html! { (link(mark.point, &name)) (when(mark.point, now)) }
    };
    let happened = |event: &Event| {
        html! { (link(event.point, word(event))) " " (describe(event)) (when(event.point, now)) }
    };
    // Restarts are many, and say little beside the others.
    let (restarts, breaks): (Vec<&Event>, Vec<&Event>) =
        history.events.iter().rev().partition(|it| matches!(it.kind, EventKind::Restart(_)));
    html! {
        div.lists {
            (list("Named points", marks.map(mark), "None: ebbtide mark gives a state a name."))
            (list("Gaps and forks", breaks.into_iter().map(happened), "None."))
            (list("Restarts", restarts.into_iter().map(happened), "None."))
        }
    }
}

/// The first of some lines, and how many more there are.
fn list(title: &str, lines: impl ExactSizeIterator<Item = Markup>, none: &str) -> Markup {
    let count = lines.len();
    let more = count.saturating_sub(LISTED_MAX) as u64;
    html! {
        section {
            h3 { (title) }
            @if count == 0 { p.note { (none) } }
            @else { ul.lines { @for line in lines.take(LISTED_MAX) { li { (line) } } } }
            @if more > 0 { p.note { "and " (number(more)) " before" } }
        }
    }
}

fn when(point: Point, now: Timestamp) -> Markup {
    html! { " " span.more { (ago(point.time, now)) } }
}

fn word(event: &Event) -> &'static str {
    match event.kind {
        EventKind::Gap(_) => "gap",
        EventKind::Fork(_) => "◀ fork",
        EventKind::Restart(_) => "▲ restart",
    }
}
