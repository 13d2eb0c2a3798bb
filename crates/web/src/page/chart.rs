//! A stretch of a history as a picture: how many commits there are when, and what is special. What a colour says, a shape
//! or a pattern says, too.

use ebbtide_replica::{Point, Timestamp, Txid};
use maud::{Markup, html};

use super::axis::{Axis, Tick};
use super::words::{short, utc};
use crate::timeline::{Bucket, Event, EventKind, History};

/// Heights, in pixels: what lies above the ground, the air above the highest bar, and what lies below the ground.
const TOP: f64 = 34.0;
const AIR: f64 = 8.0;
const FOOT: f64 = 50.0;

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
    /// Where somebody goes who picks an entry.
    pub(super) link: &'a dyn Fn(Txid) -> String,
}

/// Something at one moment that picks the entry it stands for.
struct Sign {
    at: f64,
    text: &'static str,
    class: &'static str,
    txid: Txid,
    what: String,
}

impl Chart<'_> {
    /// How high the bars are: those of a picture that only shows the way are lower.
    fn bar_max(&self) -> f64 {
        if self.part.is_some() { 32.0 } else { 72.0 }
    }

    /// How high the ground is on which they stand.
    fn ground(&self) -> f64 {
        self.bar_max() + AIR
    }

    /// Where they stand.
    fn base(&self) -> f64 {
        TOP + self.ground()
    }

    /// The picture.
    pub(super) fn draw(&self) -> Markup {
        let most = self.buckets.iter().map(|bucket| bucket.commits).fold(0.0, f64::max);
        let base = self.base();
        html! {
            svg.chart width="100%" height=(base + FOOT) role="group" aria-label=(self.label) {
                @if self.part.is_none() { defs { (patterns()) } }
                rect.ground x="0" y=(TOP) width="100%" height=(self.ground()) {}
                (self.thinned())
                @if let Some(part) = self.part { (self.part(part)) }
                (self.bars(most))
                (self.gaps())
                line.base x1="0" x2="100%" y1=(base) y2=(base) {}
                (self.signs())
                @if let Some(at) = self.picked.and_then(|time| self.axis.within(time)) {
                    line.picked x1=(percent(at)) x2=(percent(at)) y1="12" y2=(base) {}
                    text.picked x=(percent(at)) y="13" { "▼" }
                }
                @for Tick { at, name, is_second } in self.axis.ticks() {
                    line.tick x1=(percent(at)) x2=(percent(at)) y1=(base) y2=(base + 5.0) {}
                    text.tick.second[is_second] x=(percent(at)) y=(base + FOOT - 4.0) text-anchor=(anchor(at)) { (name) }
                }
            }
        }
    }

    fn bars(&self, most: f64) -> Markup {
        let width = 100.0 / f64::from(u32::try_from(self.buckets.len()).unwrap_or(1).max(1));
        html! {
            @for (at, bucket) in (0u32..).zip(self.buckets) {
                @if let Some(last) = bucket.last.filter(|_| bucket.commits > 0.0) {
                    @let height = bar(bucket.commits, most, self.bar_max());
                    a href=((self.link)(last.txid)) tabindex="-1" {
                        rect.bar x=(percent(width * f64::from(at))) y=(self.base() - height)
                            width=(percent(width * 0.86)) height=(height) {}
                        rect.reach x=(percent(width * f64::from(at))) y=(TOP)
                            width=(percent(width)) height=(self.ground()) {
                            title { (count(bucket.commits)) ", up to " (utc(last.time)) }
                        }
                    }
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
                rect.thinned x="0" y=(TOP) width=(percent(end)) height=(self.ground()) {
                    title { "thinned by the policy: single states are kept" }
                }
                @for (at, state) in states.take(SIGNS_MAX) {
                    a href=((self.link)(state.point.txid)) tabindex="-1" {
                        circle.state cx=(percent(at)) cy=(self.base() - 6.0) r="3" {
                            title { "kept (" (state.name) "): " (utc(state.point.time)) }
                        }
                    }
                }
            }
        }
    }

    /// Where history was missed. Each picks the first state after it, and is seen however short it was.
    fn gaps(&self) -> Markup {
        let gaps = self.history.events.iter().rev().filter_map(|event| match event.kind {
            EventKind::Gap(since)
                if since <= self.axis.to && event.point.time >= self.axis.from =>
            {
                let begin = self.axis.percent(since).max(0.0);
                let end = self.axis.percent(event.point.time).min(100.0);
                let width = (end - begin).max(0.4);
                Some((begin.min(100.0 - width), width, since, event.point))
            }
            _ => None,
        });
        html! {
            @for (begin, width, since, until) in gaps.take(SIGNS_MAX) {
                a href=((self.link)(until.txid)) tabindex="-1" {
                    rect.gap x=(percent(begin)) y=(TOP) width=(percent(width)) height=(self.ground()) {
                        title { "gap: history was missed from " (utc(since)) " to " (utc(until.time)) }
                    }
                }
            }
        }
    }

    fn part(&self, part: Axis) -> Markup {
        let begin = self.axis.percent(part.from).clamp(0.0, 100.0);
        let end = self.axis.percent(part.to).clamp(0.0, 100.0);
        let width = (end - begin).max(0.5);
        html! {
            rect.part x=(percent(begin.min(100.0 - width))) y=(TOP) width=(percent(width)) height=(self.ground()) {}
        }
    }

    /// Named points above the bars; below them snapshots, and below these what happened.
    fn signs(&self) -> Markup {
        let marks = self.history.marks.iter().rev().filter_map(|mark| {
            let what = format!("mark {}: txid {}", mark.name, short(mark.point.txid));
            self.sign(mark.point, ("⚑", "mark"), what)
        });
        let snapshots = self.history.snapshots.iter().rev().filter_map(|txid| {
            let point = Point { txid: *txid, time: self.history.cells.time_of(*txid)? };
            self.sign(point, ("◆", "snapshot"), format!("snapshot at txid {}", short(*txid)))
        });
        let events = self.history.events.iter().rev();
        let events =
            events.filter_map(|event| self.sign(event.point, sign(event)?, describe(event)));
        html! {
            (self.row(TOP - 4.0, marks))
            (self.row(self.base() + 18.0, snapshots))
            (self.row(self.base() + 31.0, events))
        }
    }

    /// A sign of an entry, if that is within the picture.
    fn sign(
        &self,
        point: Point,
        (text, class): (&'static str, &'static str),
        what: String,
    ) -> Option<Sign> {
        Some(Sign { at: self.axis.within(point.time)?, text, class, txid: point.txid, what })
    }

    /// Signs at one height, the newest first; it lies above the others.
    fn row(&self, y: f64, signs: impl Iterator<Item = Sign>) -> Markup {
        let signs: Vec<Sign> = signs.take(SIGNS_MAX).collect();
        html! {
            @for sign in signs.iter().rev() {
                a href=((self.link)(sign.txid)) tabindex="-1" {
                    text class=(sign.class) x=(percent(sign.at)) y=(y) { (sign.text) title { (sign.what) } }
                }
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
            li { "times in UTC" }
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
fn bar(commits: f64, most: f64, highest: f64) -> f64 {
    (highest * (commits / most).sqrt()).max(2.0).round()
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
