//! A stretch of a history as a picture: how many commits there are when, and what is special. What a colour says, a shape
//! or a pattern says, too.

use ebbtide_replica::{Timestamp, Txid};
use maud::{Markup, html};

use super::axis::Axis;
use super::words::{short, utc};
use crate::timeline::{Bucket, Event, EventKind, History};

/// Heights of the picture, in pixels: where bars stand, and how high they are.
const BASE: f64 = 104.0;
const BAR_MAX: f64 = 72.0;
const HEIGHT: f64 = 150.0;

/// So many signs of a kind are drawn; the newest, if there are more.
const SIGNS_MAX: usize = 300;

/// What is drawn.
pub(super) struct Chart<'a> {
    pub(super) history: &'a History,
    pub(super) axis: Axis,
    pub(super) buckets: &'a [Bucket],
    pub(super) picked: Option<Timestamp>,
    /// A part that is shown in another picture.
    pub(super) part: Option<Axis>,
    pub(super) label: &'static str,
}

impl Chart<'_> {
    /// The picture. `link` is where somebody goes who picks an entry.
    pub(super) fn draw(&self, link: impl Fn(Txid) -> String) -> Markup {
        let width = 100.0 / f64::from(u32::try_from(self.buckets.len()).unwrap_or(1).max(1));
        let most = self.buckets.iter().map(|bucket| bucket.commits).fold(0.0, f64::max);
        html! {
            svg.chart width="100%" height=(HEIGHT) role="group" aria-label=(self.label) {
                @if self.part.is_none() { defs { (patterns()) } }
                rect.ground x="0" y=(BASE - BAR_MAX - 8.0) width="100%" height=(BAR_MAX + 8.0) {}
                (self.thinned())
                (self.gaps())
                @if let Some(part) = self.part { (self.part(part)) }
                @for (at, bucket) in (0u32..).zip(self.buckets) {
                    @if let Some(last) = bucket.last.filter(|_| bucket.commits > 0.0) {
                        @let height = bar(bucket.commits, most);
                        a href=(link(last.txid)) tabindex="-1" {
                            rect.bar x=(percent(width * f64::from(at))) y=(BASE - height)
                                width=(percent(width * 0.86)) height=(height) {}
                            rect.reach x=(percent(width * f64::from(at))) y=(BASE - BAR_MAX - 8.0)
                                width=(percent(width)) height=(BAR_MAX + 8.0) {
                                title { (count(bucket.commits)) ", up to " (utc(last.time)) }
                            }
                        }
                    }
                }
                line.base x1="0" x2="100%" y1=(BASE) y2=(BASE) {}
                (self.signs())
                @if let Some(at) = self.picked.and_then(|time| self.axis.within(time)) {
                    line.picked x1=(percent(at)) x2=(percent(at)) y1="14" y2=(BASE) {}
                    text.picked x=(percent(at)) y="14" { "▼" }
                }
                @for (at, name) in self.axis.ticks() {
                    line.tick x1=(percent(at)) x2=(percent(at)) y1=(BASE) y2=(BASE + 5.0) {}
                    text.tick x=(percent(at)) y=(HEIGHT - 4.0) text-anchor=(anchor(at)) { (name) }
                }
            }
        }
    }

    /// Where only single states are kept.
    fn thinned(&self) -> Markup {
        let begin = self.history.cells.ends().map(|(first, _)| self.axis.percent(first.time));
        let end = begin.unwrap_or(100.0).clamp(0.0, 100.0);
        let states = self.history.states.iter().rev();
        let states = states.filter_map(|state| Some((self.axis.within(state.point.time)?, state)));
        html! {
            @if !self.history.states.is_empty() && end > 0.0 {
                rect.thinned x="0" y=(BASE - BAR_MAX - 8.0) width=(percent(end)) height=(BAR_MAX + 8.0) {
                    title { "thinned by the policy: single states are kept" }
                }
                @for (at, state) in states.take(SIGNS_MAX) {
                    circle.state cx=(percent(at)) cy=(BASE - 6.0) r="3" {
                        title { "kept (" (state.name) "): " (utc(state.point.time)) }
                    }
                }
            }
        }
    }

    fn gaps(&self) -> Markup {
        let gaps = self.history.events.iter().rev().filter_map(|event| match event.kind {
            EventKind::Gap(since)
                if since <= self.axis.to && event.point.time >= self.axis.from =>
            {
                let begin = self.axis.percent(since).max(0.0);
                let end = self.axis.percent(event.point.time).min(100.0);
                Some((begin, (end - begin).max(0.4), since, event.point.time))
            }
            _ => None,
        });
        html! {
            @for (begin, width, since, until) in gaps.take(SIGNS_MAX) {
                rect.gap x=(percent(begin)) y=(BASE - BAR_MAX - 8.0) width=(percent(width)) height=(BAR_MAX + 8.0) {
                    title { "gap: history was missed from " (utc(since)) " to " (utc(until)) }
                }
            }
        }
    }

    fn part(&self, part: Axis) -> Markup {
        let begin = self.axis.percent(part.from).clamp(0.0, 100.0);
        let end = self.axis.percent(part.to).clamp(0.0, 100.0);
        html! {
            rect.part x=(percent(begin)) y=(BASE - BAR_MAX - 8.0) width=(percent((end - begin).max(0.5))) height=(BAR_MAX + 8.0) {}
        }
    }

    /// Signs above the bars for what can be restored best, and below them for what happened.
    fn signs(&self) -> Markup {
        let history = self.history;
        let snapshots = history.snapshots.iter().rev().filter_map(|txid| {
            let at = self.axis.within(history.cells.time_of(*txid)?)?;
            Some((at, format!("snapshot at txid {}", short(*txid))))
        });
        let marks = history.marks.iter().rev().filter_map(|mark| {
            let at = self.axis.within(mark.point.time)?;
            Some((at, format!("mark {}: txid {}", mark.name, short(mark.point.txid))))
        });
        let events = history.events.iter().rev().filter_map(|event| {
            let at = self.axis.within(event.point.time)?;
            let (sign, class) = sign(event)?;
            Some((at, sign, class, describe(event)))
        });
        html! {
            @for (at, name) in snapshots.take(SIGNS_MAX) {
                text.snapshot x=(percent(at)) y=(BASE + 20.0) { "◆" title { (name) } }
            }
            @for (at, name) in marks.take(SIGNS_MAX) {
                text.mark x=(percent(at)) y="22" { "⚑" title { (name) } }
            }
            @for (at, sign, class, what) in events.take(SIGNS_MAX) {
                text class=(class) x=(percent(at)) y=(BASE + 20.0) { (sign) title { (what) } }
            }
        }
    }
}

/// What each sign means.
pub(super) fn legend() -> Markup {
    html! {
        ul.legend aria-label="Signs" {
            li { span.key-bar aria-hidden="true" {} "commits" }
            li { span.snapshot aria-hidden="true" { "◆" } "snapshot" }
            li { span.mark aria-hidden="true" { "⚑" } "named point" }
            li { span.restart aria-hidden="true" { "▲" } "restart" }
            li { span.fork aria-hidden="true" { "◀" } "fork" }
            li { span.key-gap aria-hidden="true" {} "gap: no history" }
            li { span.key-thinned aria-hidden="true" {} "thinned: single states" }
        }
    }
}

/// What happened, in words.
pub(super) fn describe(event: &Event) -> String {
    match &event.kind {
        EventKind::Gap(since) => format!("history was missed since {}", utc(*since)),
        EventKind::Fork(Some(to)) => format!("the database was set back to txid {to}"),
        EventKind::Fork(None) => "the database had lost what the replica has".to_owned(),
        EventKind::Restart(by) => format!("{by} took over"),
    }
}

/// A gap is a stretch, and has no sign.
fn sign(event: &Event) -> Option<(&'static str, &'static str)> {
    match event.kind {
        EventKind::Gap(_) => None,
        EventKind::Fork(_) => Some(("◀", "fork")),
        EventKind::Restart(_) => Some(("▲", "restart")),
    }
}

fn patterns() -> Markup {
    html! {
        pattern #gap width="8" height="8" patternUnits="userSpaceOnUse" {
            rect.gap-ground width="8" height="8" {}
            path.gap-line d="M0 8L8 0" {}
        }
        pattern #thinned width="6" height="6" patternUnits="userSpaceOnUse" {
            circle.thinned-dot cx="3" cy="3" r="0.8" {}
        }
    }
}

/// A height that tells one commit from a hundred, and a hundred from a thousand.
fn bar(commits: f64, most: f64) -> f64 {
    (BAR_MAX * (commits / most).sqrt()).max(2.0).round()
}

fn percent(value: f64) -> String {
    format!("{value:.3}%")
}

fn anchor(at: f64) -> &'static str {
    match at {
        ..4.0 => "start",
        96.0.. => "end",
        _ => "middle",
    }
}

fn count(commits: f64) -> String {
    match commits.round() {
        ..1.0 => "less than one commit".to_owned(),
        1.0 => "1 commit".to_owned(),
        commits => format!("{commits} commits"),
    }
}
