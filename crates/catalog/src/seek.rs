//! Which entry was the last at some time: a function from what is known to what to do next. It reads nothing.
//!
//! Times never decrease along the history, so that a few objects are read and not all: each round asks for several at
//! once, because a round costs as much as the store takes to answer, however many are asked for.

use ebbtide_replica::{Key, Timestamp, Txid};
use ebbtide_store::Object;

use crate::known::{Known, first_of};
use crate::piece::{Change, Piece};
use crate::plan::{Culprit, Refusal, lost_beginning, without_log};
use crate::target::Notice;

/// How many objects are read in one round. Sixteen find one of 4,913 in three rounds.
const PROBES: usize = 16;

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seek {
    /// Read the indexes of these objects, and then ask again.
    Read(Vec<Object>),
    /// This is the entry.
    Found {
        /// The last entry at or before the time.
        txid: Txid,
        /// What the user ought to know.
        notices: Vec<Notice>,
    },
    /// There is none, or it cannot be told.
    Refuse(Refusal),
}

/// The last entry at or before `wanted`, which is the time of interest of all pieces, or what must be read to find it.
#[must_use]
pub fn seek(known: &Known, wanted: Timestamp) -> Seek {
    let objects = in_order(known);
    if objects.is_empty() {
        return match known.listing().log.first().and_then(|object| culprit(known, object.key)) {
            Some((culprit, first)) => {
                Seek::Refuse(Refusal::Damaged { culprits: vec![culprit], first })
            }
            None => Seek::Refuse(without_log(known)),
        };
    }
    let time = |index: usize| known.piece(objects[index].key).map(|piece| piece.first_time);
    let (mut low, mut high) = (None, objects.len());
    for index in 0..objects.len() {
        match time(index) {
            Some(time) if time <= wanted => low = Some(index),
            Some(_) => {
                high = index;
                break;
            }
            None => {}
        }
    }
    let unread: Vec<usize> = (low.map_or(0, |low| low + 1)..high).collect();
    if !unread.is_empty() {
        return Seek::Read(probes(&unread).map(|index| objects[index]).collect());
    }
    match low {
        None => Seek::Refuse(match lost_beginning(known) {
            Some(culprit) => Refusal::Damaged { culprits: vec![culprit], first: Txid::FIRST },
            None => Refusal::Before,
        }),
        Some(low) => found(known, wanted, &objects[low..]),
    }
}

/// What can be used of the history, and the snapshots that are older than what is left of it.
fn in_order(known: &Known) -> Vec<Object> {
    let listing = known.listing();
    let oldest = known.oldest_entry();
    let alone = listing.snapshots.iter().filter(|object| first_of(object.key) < oldest);
    let mut objects: Vec<Object> =
        alone.chain(&listing.log).chain(&listing.packs).copied().collect();
    objects.retain(|object| {
        known.is_usable(object.key)
            && !is_in_pack(known, object.key)
            && !is_before_window(known, object.key)
    });
    objects.sort_by_key(|object| (first_of(object.key), object.key));
    objects
}

/// Whether an object ends before the window, where there is nothing but the states that the horizon has.
fn is_before_window(known: &Known, key: Key) -> bool {
    let (listing, window) = (known.listing(), known.window());
    match key {
        Key::Pack { last, .. } => last < window,
        Key::Snapshot(txid) => txid < window,
        Key::Log(first) if first < window => {
            // It reaches into the window if nothing else has the window's first entry.
            let segment = listing.segment_of(window).map(|segment| segment.key);
            listing.packs_with(window).next().is_some() || segment != Some(key)
        }
        Key::Log(_)
        | Key::Manifest
        | Key::Delta { .. }
        | Key::Horizon(_)
        | Key::Mark { .. }
        | Key::Wrapped { .. } => false,
    }
}

/// Whether a pack has all that the object has, judging by the names.
fn is_in_pack(known: &Known, key: Key) -> bool {
    let (first, last) = match key {
        Key::Log(first) => (first, first),
        Key::Pack { first, last } => (first, last),
        Key::Manifest
        | Key::Delta { .. }
        | Key::Snapshot(_)
        | Key::Horizon(_)
        | Key::Mark { .. }
        | Key::Wrapped { .. } => return false,
    };
    known.listing().packs.iter().any(|pack| match pack.key {
        Key::Pack { first: begin, last: end } => {
            begin <= first && last <= end && pack.key != key && known.is_usable(pack.key)
        }
        _ => false,
    })
}

/// Some of `unread`, spread evenly, both ends among them.
fn probes(unread: &[usize]) -> impl Iterator<Item = usize> {
    let count = unread.len().min(PROBES);
    (0..count).map(move |probe| match count {
        1 => unread[0],
        _ => unread[probe * (unread.len() - 1) / (count - 1)],
    })
}

/// The answer, which lies in the first of `objects`; the second one, if there is one, begins after the time.
fn found(known: &Known, wanted: Timestamp, objects: &[Object]) -> Seek {
    let piece = |object: &Object| known.piece(object.key);
    let Some((object, piece_found)) =
        objects.first().and_then(|object| Some((object, piece(object)?)))
    else {
        return Seek::Refuse(Refusal::Empty);
    };
    let Some(txid) = piece_found.at_time else {
        return Seek::Refuse(Refusal::Before);
    };
    if matches!(object.key, Key::Snapshot(_)) {
        // Until when it was the state, the log would tell, if it were still there.
        return match objects.get(1).and_then(|next| first_of(next.key)?.previous()) {
            Some(last) if last >= known.window() => {
                let culprits = vec![Culprit::missing_entries(known.window(), last)];
                Seek::Refuse(Refusal::Damaged { culprits, first: txid.next() })
            }
            Some(_) => Seek::Refuse(Refusal::NotKept),
            None => Seek::Found { txid, notices: Vec::new() },
        };
    }
    if txid == piece_found.last
        && let Some(refusal) = hidden(known, piece_found, objects.get(1).and_then(piece))
    {
        return Seek::Refuse(refusal);
    }
    let change = match piece_found.change_after {
        Some(change) => Some(change),
        None => match next_change(known, objects.get(1..).unwrap_or_default()) {
            Ok(change) => change,
            Err(unread) => return Seek::Read(unread),
        },
    };
    let notice = change.and_then(|change| gap(wanted, txid, change));
    Seek::Found { txid, notices: notice.into_iter().collect() }
}

/// Why entries between `piece` and the next usable object, which might be the ones that are looked for, cannot be read.
fn hidden(known: &Known, piece: &Piece, next: Option<&Piece>) -> Option<Refusal> {
    let first = piece.last.next();
    if next.is_some_and(|next| next.first <= first) {
        return None;
    }
    let end = next.map(|next| next.first);
    let faulty = known.listing().log.iter().chain(&known.listing().packs).find_map(|object| {
        let (culprit, begin) = culprit(known, object.key)?;
        // Behind the end of the history only what would continue it is missed.
        let is_between = end.map_or(begin == first, |end| begin >= first && begin < end);
        is_between.then_some(culprit)
    });
    let missing = || {
        let last = end?.previous()?;
        Some(Culprit::missing_entries(first, last))
    };
    let culprit = faulty.or_else(missing)?;
    Some(Refusal::Damaged { culprits: vec![culprit], first })
}

fn culprit(known: &Known, key: Key) -> Option<(Culprit, Txid)> {
    let why = known.fault(key)?.to_owned();
    Some((Culprit { key, why }, first_of(key)?))
}

/// The first change in `objects`, or what must be read to find it.
fn next_change(known: &Known, objects: &[Object]) -> Result<Option<Change>, Vec<Object>> {
    for (index, object) in objects.iter().enumerate() {
        match known.piece(object.key) {
            Some(piece) if piece.first_change.is_some() => return Ok(piece.first_change),
            Some(_) => {}
            None => return Err(objects[index..].iter().take(PROBES).copied().collect()),
        }
    }
    Ok(None)
}

fn gap(wanted: Timestamp, before: Txid, change: Change) -> Option<Notice> {
    let since =
        change.missed_since.filter(|&since| since <= wanted && wanted < change.point.time)?;
    Some(Notice::Gap { wanted, since, before, after: change.point.txid, until: change.point.time })
}
