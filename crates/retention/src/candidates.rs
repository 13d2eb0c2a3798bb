//! The states among which a policy chooses: those of the newest horizon, the ends of snapshots and deltas, and the last
//! entry of each hour that no delta stands for.

use std::collections::BTreeMap;

use ebbtide_catalog::Known;
use ebbtide_replica::{Key, Timestamp, Txid, Vouch};
use ebbtide_store::Object;
use futures::{StreamExt as _, stream};

use crate::error::Result;
use crate::inventory::Inventory;
use crate::select::{Candidate, Logged};

const HOUR_MICROS: i64 = 3_600_000_000;

/// A delta is made up to so long after the hour or the day that it ends, in µs: that is the one that its state stands for.
const BOUNDARY_MICROS: i64 = 2 * 60 * 1_000_000;

/// A time that is so much later than the object's tells nothing of when an entry was made: a clock was ahead, and the times
/// of later entries are no earlier.
const APART_MICROS: i64 = HOUR_MICROS;

/// How many indexes are read ahead.
const INDEXES_AHEAD: usize = 32;

/// What a policy chooses among before `window`, in the order of the txids, and those after it that decide about them.
pub(crate) async fn candidates(inventory: &mut Inventory, window: Txid) -> Result<Vec<Candidate>> {
    let listing = inventory.listing();
    let from = inventory.survey.known().window();
    // Of the states before `from` the horizon tells, and of the deltas that end in the window only the first ones decide
    // anything: whether the hour in which it begins has one.
    let ends = listing.deltas.iter().filter_map(|object| object.key.state());
    let next = ends.filter(|end| *end >= window).min().unwrap_or(window);
    let serves = |object: &&Object| {
        let end = object.key.state();
        end.is_some_and(|end| from <= end && (end <= next || is_snapshot(object.key)))
    };
    let whole = listing.snapshots.iter().chain(&listing.deltas).filter(serves);
    let whole: Vec<Object> = whole.copied().collect();
    inventory.survey.learn(whole.iter().copied()).await?;
    let mut states = kept(inventory);
    for object in whole {
        let Some(candidate) = end(inventory.survey.known(), object) else { continue };
        let found = states.entry(candidate.txid).or_insert(candidate);
        found.is_snapshot |= candidate.is_snapshot;
    }
    for last in last_of_hours(inventory, from, window).await? {
        let mut after = states.range(last.txid..).map(|(_, candidate)| candidate);
        let stands = after.next().is_some_and(|after| hour(after) == hour(&last));
        if !stands {
            states.insert(last.txid, last);
        }
    }
    Ok(states.into_values().collect())
}

fn hour(candidate: &Candidate) -> i64 {
    candidate.time.as_micros().div_euclid(HOUR_MICROS)
}

/// The time by which the state at the end of an object is put into its hour or day, and whether it is timed at all: the
/// object's, if its own is later. A snapshot or delta is put when it is made, and a pack some time later.
fn bucket_time(object: Object, time: Timestamp) -> (Timestamp, bool) {
    let is_timed = time.as_micros() <= object.modified.as_micros().saturating_add(APART_MICROS);
    let time = time.min(object.modified);
    match object.key {
        Key::Delta { .. } => {
            let micros = time.as_micros().saturating_sub(BOUNDARY_MICROS);
            (Timestamp::from_micros(micros).unwrap_or(time), true)
        }
        key => (time, is_timed || is_snapshot(key)),
    }
}

/// When entry `at` of `count` was probably made that came into the store between these times.
fn between(before: Option<Timestamp>, stored: Timestamp, at: usize, count: usize) -> Timestamp {
    let Some(before) = before.filter(|before| *before < stored) else { return stored };
    let micros = i128::from(stored.as_micros() - before.as_micros());
    let part = micros * (at as i128 + 1) / (count.max(1) as i128);
    let micros = i64::try_from(part).unwrap_or(0).saturating_add(before.as_micros());
    Timestamp::from_micros(micros).unwrap_or(stored)
}

/// The states before the window that are kept by now.
fn kept(inventory: &Inventory) -> BTreeMap<Txid, Candidate> {
    let Some(stored) = inventory.horizon() else { return BTreeMap::new() };
    let contents = &stored.horizon.contents;
    let listed = inventory.by_name();
    let states = contents.states.iter().map(|state| {
        let path = state.path.iter().filter_map(|&at| contents.objects.get(at as usize));
        let names: Vec<Key> = path.map(|object| object.name).collect();
        let stored = names.iter().filter_map(|name| listed.get(name)).map(|object| object.modified);
        let last = names.last().copied().unwrap_or(Key::Manifest);
        // What is not listed is not old.
        let last = listed.get(&last).copied();
        let last = last.unwrap_or(Object { key: Key::Manifest, size: 0, modified: inventory.now });
        let (time, is_timed) = bucket_time(last, state.time);
        let candidate = Candidate {
            txid: state.txid,
            time,
            is_timed,
            stored: stored.max().unwrap_or(inventory.now),
            is_snapshot: matches!(names[..], [Key::Snapshot(_)]),
        };
        (state.txid, candidate)
    });
    states.collect()
}

/// The state at the end of a snapshot or delta.
fn end(known: &Known, object: Object) -> Option<Candidate> {
    let state = known.piece(object.key)?.end()?.state;
    let (time, is_timed) = bucket_time(object, state.time());
    Some(Candidate {
        txid: state.txid(),
        time,
        is_timed,
        stored: object.modified,
        is_snapshot: is_snapshot(object.key),
    })
}

fn is_snapshot(key: Key) -> bool {
    matches!(key, Key::Snapshot(_))
}

/// The last entry of each hour from `from` to before `window`, out of packs, and of segments that are in none.
async fn last_of_hours(
    inventory: &mut Inventory,
    from: Txid,
    window: Txid,
) -> Result<Vec<Candidate>> {
    let (hours, vouches) = read_hours(inventory, from, window).await?;
    inventory.survey.note_vouches(vouches);
    Ok(hours.into_values().collect())
}

/// The last entry of each hour, and what entries vouch for.
async fn read_hours(
    inventory: &Inventory,
    from: Txid,
    window: Txid,
) -> Result<(BTreeMap<i64, Candidate>, Vec<Vouch>)> {
    let listing = inventory.listing();
    let packs = listing.packs.iter().copied().filter(
        |object| matches!(object.key, Key::Pack { first, last } if from <= last && first < window),
    );
    // The last one that begins before `from` may reach over it.
    let begin = listing.log.partition_point(|object| object.key <= Key::Log(from));
    let segments = listing.log[begin.saturating_sub(1)..]
        .iter()
        .copied()
        .filter(|object| object.key < Key::Log(window) && !inventory.is_packed(object.key));
    let usable = |object: &Object| inventory.survey.known().is_usable(object.key);
    let objects: Vec<Object> = packs.chain(segments).filter(usable).collect();
    let ahead = objects
        .into_iter()
        .map(|object| async move { (object, inventory.survey.index_ahead(object).await) });
    let mut ahead = std::pin::pin!(stream::iter(ahead).buffered(INDEXES_AHEAD));
    let mut hours: BTreeMap<i64, Candidate> = BTreeMap::new();
    let mut vouches = Vec::new();
    let mut before = None;
    while let Some((object, ahead)) = ahead.next().await {
        let fetched = match inventory.survey.index_of(ahead).await {
            Ok(fetched) => fetched,
            Err(error) if error.is_about_object() => continue,
            Err(error) => return Err(error.into()),
        };
        vouches.extend(fetched.index.entries().iter().flat_map(Vouch::all_of));
        let (entries, stored) = (fetched.index.entries(), object.modified);
        let wanted = entries.iter().enumerate();
        for (at, entry) in wanted.filter(|(_, entry)| (from..window).contains(&entry.txid)) {
            let time = bucket_time(object, entry.time);
            let (time, is_timed) = match time {
                (_, false) => (between(before, stored, at, entries.len()), false),
                timed => timed,
            };
            let candidate =
                Candidate { txid: entry.txid, time, is_timed, stored, is_snapshot: false };
            let newest = hours.entry(hour(&candidate)).or_insert(candidate);
            if newest.txid < candidate.txid {
                *newest = candidate;
            }
        }
        before = Some(stored);
    }
    Ok((hours, vouches))
}

/// The objects of the log, each with its age. A pack may have been put after the window went into it: what it has before
/// that is history no more.
pub(crate) fn logged(inventory: &Inventory) -> Vec<Logged> {
    let (listing, begun) = (inventory.listing(), inventory.survey.known().window());
    let objects = listing.log.iter().chain(&listing.packs);
    let logged = objects.filter_map(|object| match object.key {
        Key::Log(first) | Key::Pack { first, .. } => {
            Some(Logged { first: first.max(begun), stored: object.modified })
        }
        _ => None,
    });
    logged.collect()
}

/// The first entry of any object of the log that `covers` says is young enough.
pub(crate) fn first_young(log: &[Logged], covers: impl Fn(Timestamp) -> bool) -> Option<Txid> {
    log.iter().filter(|object| covers(object.stored)).map(|object| object.first).min()
}
