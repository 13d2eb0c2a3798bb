//! The deltas that lead from a snapshot towards a state: always the one that reaches farthest.

use std::collections::BTreeSet;

use ebbtide_replica::{EntryState, Key, Txid};
use ebbtide_store::Object;

use super::step::Culprit;
use crate::known::Known;
use crate::piece::Piece;

/// The deltas that may serve, by their names, and those that were found not to.
#[derive(Debug)]
pub(super) struct Deltas<'a> {
    known: &'a Known,
    /// In order.
    candidates: Vec<Object>,
    rejected: BTreeSet<Key>,
    /// Those of them that are no mere leftovers, and those that cannot be read.
    passed: Vec<Culprit>,
    given_up: bool,
}

impl<'a> Deltas<'a> {
    /// Those that may lead to the state after `stop`; also those of the window, if they are wanted.
    pub(super) fn new(known: &'a Known, stop: Txid, within_window: bool) -> Deltas<'a> {
        // What vouches for a delta comes after it, but for what the horizon names.
        let is_kept = known.kept(stop).is_some();
        let window = known.window();
        let named = known.horizon().into_iter().flat_map(|horizon| &horizon.contents.objects);
        let named: BTreeSet<Key> = named.map(|object| object.name).collect();
        let serves = |object: &&Object| {
            let Key::Delta { last, .. } = object.key else { return false };
            let is_before = last < window;
            (last < stop || is_kept && last == stop)
                && (is_before || within_window)
                && (!is_before || named.contains(&object.key))
        };
        let candidates = known.listing().deltas.iter().filter(serves).copied().collect();
        let (rejected, passed, given_up) = (BTreeSet::new(), Vec::new(), false);
        Deltas { known, candidates, rejected, passed, given_up }
    }

    /// Begins with another snapshot.
    pub(super) fn begin(&mut self) {
        self.given_up = false;
    }

    /// The deltas from the state after `position` on, the oldest first.
    pub(super) fn path(&mut self, mut position: Txid) -> Vec<Object> {
        let mut path = Vec::new();
        while let Some(object) = self.farthest(position).filter(|_| !self.given_up) {
            let Some(last) = object.key.state() else { break };
            path.push(object);
            position = last;
        }
        path
    }

    /// The delta that applies to the state after `position` and reaches farthest; of two, the smaller one.
    fn farthest(&mut self, position: Txid) -> Option<Object> {
        loop {
            let applies = |object: &&Object| match object.key {
                Key::Delta { first, last } => {
                    first <= position.next()
                        && position < last
                        && !self.rejected.contains(&object.key)
                }
                _ => false,
            };
            let reach = |object: &&Object| (object.key.state(), object.key);
            let best = *self.candidates.iter().filter(applies).max_by_key(reach)?;
            match self.known.fault(best.key) {
                None => return Some(best),
                Some(why) => {
                    let why = why.to_owned();
                    self.reject(best.key, Some(&why));
                }
            }
        }
    }

    /// Goes on without a delta, for a reason that the user is told if there is one.
    pub(super) fn reject(&mut self, key: Key, why: Option<&str>) {
        self.rejected.insert(key);
        self.passed.extend(why.map(|why| Culprit::new(key, why)));
    }

    /// Goes on without any delta after this snapshot.
    pub(super) fn give_up(&mut self) {
        self.given_up = true;
    }

    /// The deltas that were passed over, and why.
    pub(super) fn passed(&self) -> impl Iterator<Item = &Culprit> {
        self.passed.iter()
    }
}

/// The deltas from the state after `position` towards that after `stop`, by their names.
pub(crate) fn deltas_after(known: &Known, position: Txid, stop: Txid) -> Vec<Object> {
    Deltas::new(known, stop, true).path(position)
}

/// The newest snapshot and the deltas that lead from it to this very state, if they were read, and so were entries that
/// vouch for them: also entries after the state, which planning for it does not look at.
#[must_use]
pub fn vouched_path(known: &Known, state: &EntryState) -> Option<(Object, Vec<Object>)> {
    let end = |object: &Object| known.piece(object.key).and_then(Piece::end);
    let snapshots = known.listing().snapshots.iter().rev();
    let mut snapshots = snapshots.filter(|object| object.key <= Key::Snapshot(state.txid()));
    snapshots.find_map(|&snapshot| {
        // Deltas that end with the state itself are among those that lead further.
        let path = deltas_after(known, snapshot.key.state()?, state.txid().next());
        let last = end(path.last().unwrap_or(&snapshot))?;
        let same = last.state.chain == state.chain && last.state.has_same_pages(state);
        let all = || path.iter().chain([&snapshot]);
        let is_way = same && all().all(|object| known.is_vouched(object.key));
        is_way.then_some((snapshot, path))
    })
}
