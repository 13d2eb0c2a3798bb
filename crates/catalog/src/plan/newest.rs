//! Where the history ends, and what a plan for its end will probably need.

use ebbtide_replica::{Key, Txid};
use ebbtide_store::Object;

use super::path::deltas_after;
use super::step::{Culprit, Refusal, Step};
use crate::known::{Known, first_of, last_of};

/// The newest entry, once the object with it is read.
pub(super) fn head(known: &Known) -> Result<Txid, Box<Step>> {
    let refuse = |refusal| Err(Box::new(Step::Refuse(refusal)));
    let listing = known.listing();
    let pack = listing.packs.iter().filter(|object| known.is_usable(object.key));
    let pack = pack.max_by_key(|object| last_of(object.key));
    let pack_last = pack.and_then(|pack| last_of(pack.key));
    // Those that cannot be used, the newest first.
    let mut faulty = Vec::new();
    for segment in listing.log.iter().rev() {
        match (known.piece(segment.key), known.fault(segment.key)) {
            (Some(piece), _) => {
                let last = pack_last.map_or(piece.last, |last| last.max(piece.last));
                return end(last, &faulty);
            }
            (None, Some(why)) => faulty.push(Culprit::new(segment.key, why)),
            (None, None) if faulty.is_empty() => {
                return Err(Box::new(Step::Read { objects: likely(known), points: Vec::new() }));
            }
            (None, None) => {
                let (objects, points) = (vec![*segment], Vec::new());
                return Err(Box::new(Step::Read { objects, points }));
            }
        }
    }
    match (pack_last, faulty.pop()) {
        (Some(last), None) => Ok(last),
        (Some(last), Some(oldest)) => {
            faulty.push(oldest);
            end(last, &faulty)
        }
        (None, None) => refuse(without_log(known)),
        (None, Some(oldest)) => {
            let first = first_of(oldest.key).unwrap_or(Txid::FIRST);
            refuse(Refusal::Damaged { culprits: vec![oldest], first })
        }
    }
}

/// There is no segment and no pack. A replica begins with one, which stays unless a horizon says otherwise.
pub(crate) fn without_log(known: &Known) -> Refusal {
    match lost_beginning(known).zip(known.listing().states().max()) {
        Some((culprit, newest)) => {
            Refusal::Damaged { culprits: vec![culprit], first: newest.next() }
        }
        None => Refusal::Empty,
    }
}

/// The first segment of the log, if it is not there although no horizon says so, judging by the names. A replica that has
/// nothing yet has lost nothing.
#[must_use]
pub fn lost_beginning(known: &Known) -> Option<Culprit> {
    if known.horizon().is_some() {
        return None;
    }
    let last = match known.oldest_entry() {
        Some(oldest) => oldest.previous()?,
        None => known.listing().states().max()?,
    };
    Some(Culprit::missing_entries(Txid::FIRST, last))
}

/// The history ends with `last`, unless a segment that would continue it cannot be used. What lies behind a gap is none of
/// its own.
fn end(last: Txid, faulty: &[Culprit]) -> Result<Txid, Box<Step>> {
    let next = last.next();
    match faulty.iter().find(|culprit| culprit.key == Key::Log(next)) {
        Some(culprit) => {
            let culprits = vec![culprit.clone()];
            Err(Box::new(Step::Refuse(Refusal::Damaged { culprits, first: next })))
        }
        None => Ok(last),
    }
}

/// What is needed for the newest state if nothing is wrong: the newest snapshot, the deltas and what comes after them,
/// packs before segments that are in them.
fn likely(known: &Known) -> Vec<Object> {
    let listing = known.listing();
    let mut snapshots = listing.snapshots.iter().rev().filter(|object| known.is_usable(object.key));
    let snapshot = snapshots.next();
    let base = snapshot.and_then(|object| first_of(object.key));
    let deltas = base.map_or_else(Vec::new, |base| deltas_after(known, base, Txid::MAX));
    let from = deltas.last().and_then(|delta| delta.key.state()).or(base);
    let packs = listing.packs.iter().filter(|object| known.is_usable(object.key));
    let packs = packs.filter(|object| last_of(object.key) > from);
    let packed = packs.clone().filter_map(|object| last_of(object.key)).max();
    let segments = listing.log.iter().rev().map(|object| (first_of(object.key), object));
    let newest = listing.log.last().and_then(|object| first_of(object.key));
    // The newest says where the history ends; the first that does not begin after the snapshot is the last one needed.
    let mut done = false;
    let segments = segments.take_while(move |(first, _)| {
        let wanted = !done && (*first > packed || *first == newest);
        done = *first <= from;
        wanted
    });
    let unread =
        |object: &&Object| known.piece(object.key).is_none() && known.is_usable(object.key);
    let history = segments.map(|(_, object)| object).chain(packs);
    history.chain(&deltas).chain(snapshot).filter(unread).copied().collect()
}
