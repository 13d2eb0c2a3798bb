//! States of which the newest horizon says the way, and on whose way nothing has changed since: the next horizon takes their
//! rows over, so that a pass reads what is new and not all that is kept.
//!
//! A horizon is put only by who has planned its states, and it has an object's root; so a row says what a plan would find
//! again, as long as each object of the way
//!
//! - is listed with the size that it had, and came before the horizon: it is the one that was read then;
//! - is neither condemned nor known to be unusable;
//! - is no segment that is in a pack by now: the segment may go, and the pack has to be named in its place
//!   (`tests/model` shows what happens otherwise);
//!
//! and the names lead from a snapshot, or the first entry, to the state without a gap, whoever wrote the row.
//! The state that the window begins from is always planned, and each horizon plans one in [`TURNS`] again: if one of those
//! is damaged, no horizon is put, so the next pass finds the same one damaged.

use std::collections::BTreeMap;

use ebbtide_catalog::{Listing, first_of};
use ebbtide_replica::{HorizonObject, HorizonState, Key, Timestamp, Txid};
use ebbtide_store::Object;

use crate::inventory::Inventory;

/// A state is planned again by one of so many horizons.
const TURNS: u64 = 32;

/// States of so many days have their turn together: their ways are mostly the same objects.
const TURN_MICROS: i64 = 12 * 24 * 3_600_000_000;

/// The rows that can be taken over.
#[derive(Debug, Default)]
pub(crate) struct Settled<'a> {
    rows: BTreeMap<Txid, &'a HorizonState>,
    objects: &'a [HorizonObject],
}

impl Settled<'_> {
    /// Those of the newest horizon for the next one.
    pub(crate) fn of(inventory: &Inventory) -> Settled<'_> {
        let Some(stored) = inventory.horizon() else { return Settled::default() };
        let contents = &stored.horizon.contents;
        let listed = inventory.by_name();
        let is_older =
            |size: u64, found: &Object| found.size == size && found.modified < stored.stored;
        let is_same = |object: &HorizonObject| {
            listed.get(&object.name).is_some_and(|found| is_older(object.size, found))
                && inventory.survey.known().is_usable(object.name)
                && !inventory.is_packed(object.name)
        };
        let same: Vec<bool> = contents.objects.iter().map(is_same).collect();
        let is_settled = |state: &&HorizonState| {
            let is_same = |&at: &u32| same.get(at as usize).copied().unwrap_or(false);
            state.txid.next() != stored.horizon.window
                && turn(state.time) != inventory.next_number() % TURNS
                && state.path.iter().all(is_same)
                && leads_to(&names(&contents.objects, state), state.txid, inventory.listing())
        };
        let settled = contents.states.iter().filter(is_settled);
        Settled {
            rows: settled.map(|state| (state.txid, state)).collect(),
            objects: &contents.objects,
        }
    }

    /// The row of a state, and the objects of its way.
    pub(crate) fn row(&self, txid: Txid) -> Option<(&HorizonState, Vec<&HorizonObject>)> {
        let state = self.rows.get(&txid)?;
        let way = state.path.iter().filter_map(|&at| self.objects.get(at as usize));
        Some((state, way.collect()))
    }
}

/// Whether each segment that stays before the window is judged again for the next horizon: what an earlier pass has left
/// where it is, it mostly left for good.
pub(crate) fn judges_all(inventory: &Inventory) -> bool {
    inventory.next_number().is_multiple_of(TURNS)
}

/// Which horizons plan a state again: those whose number leaves this when it is divided by [`TURNS`].
fn turn(time: Timestamp) -> u64 {
    time.as_micros().div_euclid(TURN_MICROS).rem_euclid(TURNS.cast_signed()).cast_unsigned()
}

/// The names of a state's way.
pub(crate) fn names(objects: &[HorizonObject], state: &HorizonState) -> Vec<Key> {
    let way = state.path.iter().filter_map(|&at| objects.get(at as usize));
    way.map(|object| object.name).collect()
}

/// Whether objects of these names, one applied after the other, lead to a state without a gap.
pub(crate) fn leads_to(way: &[Key], txid: Txid, listing: &Listing) -> bool {
    let mut reached: Option<Txid> = None;
    for (at, &key) in way.iter().enumerate() {
        let follows = |first: Txid| match reached {
            Some(reached) => first <= reached.next(),
            None => first == Txid::FIRST,
        };
        reached = match key {
            Key::Snapshot(end) if at == 0 && end <= txid => Some(end),
            Key::Delta { first, last } if at > 0 && follows(first) && last <= txid => {
                reached.max(Some(last))
            }
            Key::Pack { first, last } if follows(first) => reached.max(Some(last.min(txid))),
            Key::Log(first) if follows(first) => {
                let next = way.get(at + 1).and_then(|next| first_of(*next));
                reached.max(end_of(first, next.unwrap_or(txid.next()), listing))
            }
            _ => return false,
        };
    }
    reached == Some(txid)
}

/// The last entry of a segment after which the entry `next` comes, if no other segment begins in between.
fn end_of(first: Txid, next: Txid, listing: &Listing) -> Option<Txid> {
    let after = listing.log.partition_point(|object| object.key <= Key::Log(first));
    let other = listing.log.get(after).and_then(|object| first_of(object.key));
    other.is_none_or(|other| next <= other).then(|| next.previous()).flatten()
}
