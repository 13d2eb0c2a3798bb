//! Which states a policy keeps: a pure function of what there is, the store's time, and the marks.
//!
//! Ages are counted by the store: a state is as old as the object that has it. Buckets are those of an entry's own time,
//! which a host's clock gave, but never later than the object's, so a clock that is years ahead folds nothing into one
//! bucket, and one that is years behind makes nothing older. Where the one is so far from the other that nothing tells when
//! a state was made, it is in no bucket with any other.

use std::collections::BTreeMap;
use std::fmt;

use ebbtide_replica::{Timestamp, Txid};
use jiff::civil::Weekday;
use jiff::tz::TimeZone;

use crate::keep::{Keep, Kind};
use crate::period::Period;

/// A state that can be restored on its own: that of a snapshot, or the end of a delta or a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// The entry whose state it is.
    pub txid: Txid,
    /// The time by which it is put into its hour, day and so on: mostly the entry's.
    pub time: Timestamp,
    /// Whether that is when it was made, to the hour. Otherwise it stands for no hour, and none stands for it.
    pub is_timed: bool,
    /// Since when the store has had the object that has it.
    pub stored: Timestamp,
    /// Whether it is a full snapshot.
    pub is_snapshot: bool,
}

/// An object of the log: a segment or a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Logged {
    /// Its first entry.
    pub first: Txid,
    /// Since when the store has had it.
    pub stored: Timestamp,
}

/// A mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marked {
    /// The entry whose state is kept.
    pub txid: Txid,
    /// Since when the store has had the mark.
    pub stored: Timestamp,
    /// For how long it keeps the state.
    pub lasts: Period,
}

/// What a replica has to keep or not, in the order of the txids.
#[derive(Debug, Clone, Copy)]
pub struct Present<'a> {
    /// The first entry that any object of the log has.
    pub first: Txid,
    /// The newest entry.
    pub head: Txid,
    /// States that can be restored on their own.
    pub candidates: &'a [Candidate],
    /// The objects of the log.
    pub log: &'a [Logged],
    /// The marks.
    pub marks: &'a [Marked],
}

/// Why a state is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Why {
    /// It is the newest of its hour, day, week, month or year.
    Newest(Kind),
    /// It is one of the newest full snapshots.
    Last,
    /// It is what the window of every commit begins from.
    Base,
    /// It is marked.
    Mark,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Why::Newest(kind) => kind.word(),
            Why::Last => "last",
            Why::Base => "base",
            Why::Mark => "mark",
        })
    }
}

/// A state that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptState {
    /// Why, each reason once.
    pub why: Vec<Why>,
    /// When the last reason that has an end will have ended; nothing if one of them has none.
    pub until: Option<Timestamp>,
}

/// What is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// The first entry from which on everything is kept. After the head, if only the state of the head is.
    pub window: Txid,
    /// The states before it that are kept.
    pub states: BTreeMap<Txid, KeptState>,
}

/// What `keep` keeps at `now`, the store's time.
#[must_use]
pub fn select(keep: &Keep, present: &Present<'_>, now: Timestamp) -> Selection {
    let (window, base) = window(keep, present, now);
    let mut states = BTreeMap::new();
    let mut add = |txid: Txid, why: Why, until: Option<Timestamp>| {
        if txid >= window {
            return;
        }
        let kept = states.entry(txid).or_insert(KeptState { why: Vec::new(), until });
        kept.until = kept.until.zip(until).map(|(one, other)| one.max(other));
        kept.why.push(why);
    };
    if let Some(base) = base {
        add(base, Why::Base, None);
    }
    for (kind, period) in keep.periods().filter(|(kind, _)| *kind != Kind::EveryCommit) {
        for newest in newest_of_each(kind, present.candidates) {
            if period.covers(newest.stored, now) {
                add(newest.txid, Why::Newest(kind), period.end(newest.stored));
            }
        }
    }
    let snapshots = present.candidates.iter().rev().filter(|candidate| candidate.is_snapshot);
    for snapshot in snapshots.take(usize::try_from(keep.last()).unwrap_or(usize::MAX)) {
        add(snapshot.txid, Why::Last, None);
    }
    let mut marks: BTreeMap<Txid, Option<Timestamp>> = BTreeMap::new();
    for mark in present.marks.iter().filter(|mark| mark.lasts.covers(mark.stored, now)) {
        let end = mark.lasts.end(mark.stored);
        let until = marks.entry(mark.txid).or_insert(end);
        *until = until.zip(end).map(|(one, other)| one.max(other));
    }
    for (txid, until) in marks {
        add(txid, Why::Mark, until);
    }
    Selection { window, states }
}

/// The first entry from which on everything is kept, and the state before it, which the window begins from.
fn window(keep: &Keep, present: &Present<'_>, now: Timestamp) -> (Txid, Option<Txid>) {
    let young = present.log.iter().filter(|object| {
        keep.period(Kind::EveryCommit).is_some_and(|period| period.covers(object.stored, now))
    });
    let wanted = young.map(|object| object.first).min().unwrap_or(present.head.next());
    if wanted > present.head {
        // The state of the head is kept whether anything begins from it or not.
        return (present.head.next(), Some(present.head));
    }
    let end = present.candidates.partition_point(|candidate| candidate.txid < wanted);
    match present.candidates[..end].last() {
        Some(base) => (base.txid.next(), Some(base.txid)),
        // Nothing can be restored before it, so nothing before it is given up for it.
        None => (present.first, None),
    }
}

/// The newest candidate of each bucket.
fn newest_of_each(kind: Kind, candidates: &[Candidate]) -> impl Iterator<Item = Candidate> {
    let mut newest = BTreeMap::new();
    for candidate in candidates {
        let by_itself = (!candidate.is_timed).then_some(candidate.txid);
        newest.insert((bucket(kind, candidate), by_itself), *candidate);
    }
    newest.into_values()
}

/// The hour, day, week, month or year of a state: of its own time, or of its object's if that is earlier.
fn bucket(kind: Kind, candidate: &Candidate) -> (i16, i16) {
    let time = jiff::Timestamp::from(candidate.time.min(candidate.stored));
    let time = time.to_zoned(TimeZone::UTC).datetime();
    let (year, day) = (time.year(), time.date().day_of_year());
    match kind {
        Kind::EveryCommit | Kind::Hourly => (year, day * 24 + i16::from(time.hour())),
        Kind::Daily => (year, day),
        Kind::Weekly => {
            let monday =
                time.date().tomorrow().and_then(|next| next.nth_weekday(-1, Weekday::Monday));
            // The week of the first days that there are begins before them.
            monday.map_or((year, 0), |monday| (monday.year(), monday.day_of_year()))
        }
        Kind::Monthly => (year, i16::from(time.month())),
        Kind::Yearly => (year, 0),
    }
}
