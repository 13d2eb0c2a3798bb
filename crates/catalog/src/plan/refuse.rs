//! Why there is no plan: which objects are to be named.

use std::collections::BTreeSet;

use ebbtide_replica::{Key, Txid};

use super::newest::lost_beginning;
use super::search::Search;
use super::step::{Culprit, Refusal, Step};
use crate::known::{first_of, last_of};
use crate::walk::Hole;

impl Search<'_> {
    /// What the horizon promises for the state, or for the one that the window begins from, and is not there.
    pub(super) fn lost_of_horizon(&self) -> Option<Refusal> {
        let horizon = self.known.horizon()?;
        let kept = match self.known.kept(self.stop) {
            Some(kept) => kept,
            None if self.stop >= horizon.window => self.known.kept(horizon.window.previous()?)?,
            None => return None,
        };
        let listing = self.known.listing();
        let culprits = kept.path.iter().filter_map(|&at| {
            let key = horizon.contents.objects.get(at as usize)?.name;
            let missing = || listing.objects().all(|object| object.key != key);
            let fault = self.known.fault(key).map(str::to_owned);
            let why = fault.or_else(|| missing().then(|| "it is missing".to_owned()))?;
            Some(Culprit::new(key, why))
        });
        let culprits: Vec<Culprit> = culprits.collect();
        (!culprits.is_empty()).then_some(Refusal::Damaged { culprits, first: kept.txid })
    }

    pub(super) fn refuse_hole(&self, hole: &Hole) -> Step {
        let oldest = self.known.oldest_entry();
        let is_beginning = oldest.is_none_or(|oldest| hole.last < oldest);
        if hole.culprit.is_none() && is_beginning {
            let is_promised = match oldest {
                Some(_) => hole.last >= self.known.window(),
                None => lost_beginning(self.known).is_some(),
            };
            if is_promised {
                return Step::Refuse(self.damaged_from_window(hole.last));
            }
            // Nothing older is kept, by design: what is missing is a base.
            let none_before = self
                .known
                .listing()
                .snapshots
                .iter()
                .all(|object| object.key > Key::Snapshot(self.stop));
            return match (self.passed_over().next().is_none(), none_before) {
                (true, true) => Step::Refuse(Refusal::Before),
                (true, false) => Step::Refuse(Refusal::NotKept),
                (false, _) => self.refuse_passed(),
            };
        }
        let culprit = match &hole.culprit {
            Some((key, why)) => Culprit::new(*key, why.clone()),
            None if self.is_beyond(hole) => {
                return Step::Refuse(Refusal::Beyond {
                    head: hole.first.previous().unwrap_or(hole.first),
                });
            }
            None => Culprit::missing_entries(hole.first, hole.last),
        };
        let mut culprits = vec![culprit];
        let spans = |culprit: &&Culprit| hole.is_spanned_by(culprit.key);
        culprits.extend(self.deltas.passed().filter(spans).cloned());
        culprits.extend(self.missing_deltas(hole));
        Step::Refuse(Refusal::Damaged { culprits, first: hole.first })
    }

    /// The window begins with entries that are in no object, `last` among them, though it promises every one.
    fn damaged_from_window(&self, last: Txid) -> Refusal {
        let window = self.known.window();
        let base = self.known.listing().snapshot_before(last).and_then(|base| first_of(base.key));
        let first = base.map_or(window, |base| base.next().max(window));
        let culprit = Culprit::missing_entries(window, last);
        let culprits = self.passed_over().cloned().chain([culprit]).collect();
        Refusal::Damaged { culprits, first }
    }

    /// Deltas over the hole that the log vouches for and that are gone.
    fn missing_deltas(&self, hole: &Hole) -> impl Iterator<Item = Culprit> {
        let vouched = self.walk.vouches(self.stop).map(|(_, vouch)| vouch.object);
        let deltas = &self.known.listing().deltas;
        let missing = vouched.filter(|&key| {
            hole.is_spanned_by(key) && deltas.iter().all(|object| object.key != key)
        });
        let missing: BTreeSet<Key> = missing.collect();
        missing.into_iter().map(|key| Culprit::new(key, "it is missing"))
    }

    /// Whether nothing is known to come after the hole.
    fn is_beyond(&self, hole: &Hole) -> bool {
        let listing = self.known.listing();
        let segment = listing.log.last().and_then(|object| first_of(object.key));
        let pack = listing.packs.iter().filter_map(|object| last_of(object.key)).max();
        segment.max(pack).is_none_or(|newest| newest < hole.first)
    }

    pub(super) fn refuse_passed(&self) -> Step {
        let culprits: Vec<Culprit> = self.passed_over().cloned().collect();
        let first = culprits.iter().filter_map(|culprit| first_of(culprit.key)).min();
        Step::Refuse(Refusal::Damaged { culprits, first: first.unwrap_or(self.stop) })
    }
}
