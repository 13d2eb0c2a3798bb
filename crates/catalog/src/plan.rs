//! Which objects give a state, and in which order: a function from what is known to what to do next. It reads nothing.

mod newest;
mod step;

pub use step::{Culprit, Goal, Part, Plan, Refusal, Step};

use ebbtide_replica::{Chain, HorizonState, Key, Txid};
use ebbtide_store::Object;

use crate::known::{Known, first_of, last_of};
use crate::piece::{Carrier, IndexState, Piece};
use crate::target::Notice;
use crate::walk::{Hole, Walk, Witness};

/// The way to a state, or what must be read to find it.
#[must_use]
pub fn plan(known: &Known, goal: Goal) -> Step {
    let stop = match goal {
        Goal::Txid(txid) => txid,
        Goal::Head => match newest::head(known) {
            Ok(txid) => txid,
            Err(step) => return *step,
        },
    };
    if stop < known.window() && known.anchor(stop).is_none() {
        return Step::Refuse(Refusal::NotKept);
    }
    let (walk, passed) = (Walk::new(known, stop), Vec::new());
    let mut search = Search { known, stop, walk, passed, unvouched: None };
    match search.run() {
        Step::Refuse(refusal) => {
            let unvouched = search.with_unvouched();
            unvouched.unwrap_or_else(|| Step::Refuse(search.lost_of_horizon().unwrap_or(refusal)))
        }
        step => step,
    }
}

/// The search for a base, from the newest snapshot to older ones.
struct Search<'a> {
    known: &'a Known,
    stop: Txid,
    walk: Walk<'a>,
    /// Snapshots that were passed over, and why.
    passed: Vec<Culprit>,
    /// The newest snapshot to which the log leads without vouching for its pages, with the state that is wanted if that is
    /// known: it serves if nothing else does.
    unvouched: Option<(Object, Option<IndexState>)>,
}

/// What became of one snapshot.
enum Outcome {
    Done(Box<Step>),
    Next,
}

impl Search<'_> {
    fn run(&mut self) -> Step {
        let end = self
            .known
            .listing()
            .snapshots
            .partition_point(|object| object.key <= Key::Snapshot(self.stop));
        for index in (0..end).rev() {
            let snapshot = self.known.listing().snapshots[index];
            let Some(txid) = first_of(snapshot.key) else { continue };
            if let Some(why) = self.known.fault(snapshot.key) {
                self.passed.push(Culprit::new(snapshot.key, why));
                continue;
            }
            match self.consider(snapshot, txid) {
                Outcome::Done(step) => return *step,
                Outcome::Next => {}
            }
        }
        self.without_snapshot()
    }

    /// Whether `snapshot`, of the state after `txid`, can be the base.
    fn consider(&mut self, snapshot: Object, txid: Txid) -> Outcome {
        let done = |step| Outcome::Done(Box::new(step));
        if self.stop == txid {
            return match (self.known.kept(txid), self.known.anchor(txid)) {
                (Some(kept), _) => self.consider_kept(snapshot, kept),
                (None, Some(chain)) if txid < self.known.window() => {
                    self.consider_marked(snapshot, chain)
                }
                _ => self.consider_stop(snapshot, txid),
            };
        }
        let walked = self.walk.extend(txid.next());
        if let Some(step) = self.must_read(Some(snapshot)) {
            return done(step);
        }
        if let Some((base, carrier)) =
            self.walk.newest_base(self.stop).filter(|(base, _)| *base > txid)
        {
            return done(self.begin_with(base, carrier));
        }
        if let Err(hole) = walked {
            return done(self.refuse_hole(&hole));
        }
        let witness = self.walk.witness(txid);
        if let Some(step) = self.must_read(None) {
            return done(step);
        }
        let point = self.known.piece(snapshot.key).and_then(|piece| piece.end());
        let (Some(witness), Some(&point)) = (witness, point) else {
            return self.pass_over(snapshot);
        };
        if !witness.leads_to(&point) {
            return self.pass_over(snapshot);
        }
        let unborne = self.walk.unborne_after(txid, point.state.database_pages);
        let named = self.known.is_named(snapshot.key).then_some(point.content);
        let mut vouched = self.walk.vouched(txid, self.stop).or(named);
        if vouched.is_none() {
            // The entry itself may do it; if the log does not reach as far back any more, nothing does.
            let reached = self.walk.extend(txid).is_ok();
            if let Some(step) = self.must_read(None) {
                return done(step);
            }
            vouched = self.walk.vouched(txid, self.stop).filter(|_| reached);
        }
        match (vouched, unborne) {
            (Some(content), _) if content != point.content => self.pass_over_forged(snapshot),
            (Some(_), Some(hole)) => done(self.refuse_hole(&hole)),
            (Some(_), None) => done(self.ready(Some(snapshot), txid.next(), None)),
            (None, Some(_)) => self.pass_over(snapshot),
            (None, None) => self.pass_over_unvouched(snapshot, None),
        }
    }

    /// Whether the snapshot of the very state that is wanted is the one that the log leads to.
    fn consider_stop(&mut self, snapshot: Object, txid: Txid) -> Outcome {
        let done = |step| Outcome::Done(Box::new(step));
        // Either the object with the entry itself, or the one that begins after it.
        let mut walk = Walk::new(self.known, txid);
        let within = walk.extend(txid);
        let kept = self.known.oldest_entry().is_some_and(|oldest| oldest <= txid.next());
        if within.is_err() && kept {
            walk = Walk::new(self.known, txid.next());
            if let (Err(_), Err(hole)) = (walk.extend(txid.next()), &within) {
                return done(self.refuse_hole(hole));
            }
        }
        let witness = if walk.unread.is_empty() { walk.witness(txid) } else { None };
        let piece = self.known.piece(snapshot.key);
        walk.unread.extend(Some(snapshot).filter(|_| piece.is_none()));
        let Some(&point) = piece.and_then(Piece::end).filter(|_| walk.unread.is_empty()) else {
            return done(Step::Read { objects: walk.unread, points: walk.unknown });
        };
        match witness {
            None if !kept => done(self.ready_alone(snapshot, point)),
            Some(witness) if witness.leads_to(&point) => {
                let stop = if let Witness::State(state) = witness { state } else { point };
                match walk.vouched(txid, txid) {
                    Some(content) if content == point.content => {
                        done(self.ready(Some(snapshot), txid.next(), Some(stop)))
                    }
                    Some(_) => self.pass_over_forged(snapshot),
                    None => self.pass_over_unvouched(snapshot, Some(stop)),
                }
            }
            _ => self.pass_over(snapshot),
        }
    }

    /// Whether the snapshot of the very state that is wanted is the one that the horizon names.
    fn consider_kept(&mut self, snapshot: Object, kept: &HorizonState) -> Outcome {
        let Some(&point) = self.known.piece(snapshot.key).and_then(Piece::end) else {
            let step = Step::Read { objects: vec![snapshot], points: Vec::new() };
            return Outcome::Done(Box::new(step));
        };
        let state = (Some(point.state.chain), Some(point.state.digest), point.state.database_pages);
        if self.known.is_named(snapshot.key) && state == (kept.chain(), kept.digest(), kept.pages) {
            return Outcome::Done(Box::new(self.ready(
                Some(snapshot),
                kept.txid.next(),
                Some(point),
            )));
        }
        self.pass_over(snapshot)
    }

    /// Whether the snapshot is of the very state that is marked, whose place in the history is not kept.
    fn consider_marked(&mut self, snapshot: Object, chain: Chain) -> Outcome {
        match self.known.piece(snapshot.key).and_then(Piece::end) {
            None => {
                let step = Step::Read { objects: vec![snapshot], points: Vec::new() };
                Outcome::Done(Box::new(step))
            }
            Some(&point) if point.state.chain == chain => {
                self.pass_over_unvouched(snapshot, Some(point))
            }
            Some(_) => self.pass_over(snapshot),
        }
    }

    /// No snapshot serves: the history itself must have a base.
    fn without_snapshot(&mut self) -> Step {
        let walked = self.walk.extend(Txid::FIRST);
        if let Some(step) = self.must_read(None) {
            return step;
        }
        if let Some((base, carrier)) = self.walk.newest_base(self.stop) {
            return self.begin_with(base, carrier);
        }
        match walked {
            Err(hole) => self.refuse_hole(&hole),
            Ok(()) if self.passed.is_empty() => Step::Refuse(Refusal::Before),
            Ok(()) => self.refuse_passed(),
        }
    }

    /// What must be read before the walk, and the snapshot, can be trusted.
    fn must_read(&self, snapshot: Option<Object>) -> Option<Step> {
        let unread = snapshot.filter(|snapshot| self.known.piece(snapshot.key).is_none());
        let mut objects = self.walk.unread.clone();
        objects.extend(unread);
        (!objects.is_empty()).then(|| Step::Read { objects, points: self.walk.unknown.clone() })
    }

    fn begin_with(&mut self, base: Txid, carrier: Carrier) -> Step {
        match carrier {
            Carrier::Entry => self.ready(None, base, None),
            Carrier::Snapshot => {
                let key = Key::Snapshot(base);
                let why = self.passed.iter().find(|culprit| culprit.key == key);
                let why = why.map_or("it is missing", |culprit| &culprit.why);
                let why = format!("{why}, and entry {base} has its pages there");
                Step::Refuse(Refusal::Damaged {
                    culprits: vec![Culprit::new(key, why)],
                    first: base,
                })
            }
        }
    }

    /// The plan with the entries from `first` on. `stop` is the state that comes out, if that is known already.
    fn ready(&mut self, snapshot: Option<Object>, first: Txid, stop: Option<IndexState>) -> Step {
        let mut history = Vec::new();
        let mut last = self.stop;
        for &object in self.walk.objects() {
            let Some(begin) = first_of(object.key) else { continue };
            if last < first {
                break;
            }
            history.push(Part { object, first: begin.max(first), last });
            let Some(previous) = begin.previous() else { break };
            last = previous;
        }
        history.reverse();
        let stop = stop.or_else(|| {
            let newest = self.walk.objects().first()?;
            self.known.piece(newest.key)?.point(self.stop).copied()
        });
        match stop {
            Some(stop) => {
                Step::Ready(Plan { snapshot, history, stop, notices: self.passed_notices() })
            }
            None => Step::Read {
                objects: self.walk.objects().first().copied().into_iter().collect(),
                points: vec![self.stop],
            },
        }
    }

    /// The plan with a snapshot around which the log is no longer kept.
    fn ready_alone(&self, snapshot: Object, stop: IndexState) -> Step {
        let mut notices = self.passed_notices();
        notices.push(Notice::Unvouched { key: snapshot.key });
        Step::Ready(Plan { snapshot: Some(snapshot), history: Vec::new(), stop, notices })
    }

    /// What the horizon promises for the state, or for the one that the window begins from, and is not there.
    fn lost_of_horizon(&self) -> Option<Refusal> {
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

    fn passed_notices(&self) -> Vec<Notice> {
        let notice =
            |Culprit { key, why }: &Culprit| Notice::PlannedAround { key: *key, why: why.clone() };
        self.passed.iter().map(notice).collect()
    }

    fn pass_over(&mut self, snapshot: Object) -> Outcome {
        let why = "the log does not lead to it";
        self.passed.push(Culprit::new(snapshot.key, why));
        Outcome::Next
    }

    fn pass_over_forged(&mut self, snapshot: Object) -> Outcome {
        let why = "its pages are not those that the log vouches for";
        self.passed.push(Culprit::new(snapshot.key, why));
        Outcome::Next
    }

    fn pass_over_unvouched(&mut self, snapshot: Object, stop: Option<IndexState>) -> Outcome {
        self.unvouched.get_or_insert((snapshot, stop));
        Outcome::Next
    }

    /// The plan with a snapshot for whose pages nothing vouches but the digest, if there is one.
    fn with_unvouched(&mut self) -> Option<Step> {
        let (snapshot, stop) = self.unvouched?;
        let first = first_of(snapshot.key)?.next();
        Some(match self.ready(Some(snapshot), first, stop) {
            Step::Ready(mut plan) => {
                plan.notices.push(Notice::DigestOnly { key: snapshot.key });
                Step::Ready(plan)
            }
            step => step,
        })
    }

    fn refuse_hole(&self, hole: &Hole) -> Step {
        let oldest = self.known.oldest_entry();
        if hole.culprit.is_none() && oldest.is_none_or(|oldest| hole.last < oldest) {
            // Nothing older is kept, by design: what is missing is a base.
            let none_before = self
                .known
                .listing()
                .snapshots
                .iter()
                .all(|object| object.key > Key::Snapshot(self.stop));
            return match (self.passed.is_empty(), none_before) {
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
            None => {
                let range = if hole.first == hole.last {
                    format!("entry {} is", hole.first)
                } else {
                    format!("entries {} to {} are", hole.first, hole.last)
                };
                Culprit::new(Key::Log(hole.first), format!("it is missing: {range} in no object"))
            }
        };
        Step::Refuse(Refusal::Damaged { culprits: vec![culprit], first: hole.first })
    }

    /// Whether nothing is known to come after the hole.
    fn is_beyond(&self, hole: &Hole) -> bool {
        let listing = self.known.listing();
        let segment = listing.log.last().and_then(|object| first_of(object.key));
        let pack = listing.packs.iter().filter_map(|object| last_of(object.key)).max();
        segment.max(pack).is_none_or(|newest| newest < hole.first)
    }

    fn refuse_passed(&self) -> Step {
        let culprits = self.passed.clone();
        let first = culprits.iter().filter_map(|culprit| first_of(culprit.key)).min();
        Step::Refuse(Refusal::Damaged { culprits, first: first.unwrap_or(self.stop) })
    }
}
