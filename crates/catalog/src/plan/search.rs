//! The search for a base and what comes after it.

use ebbtide_replica::{Chain, EntryState, HorizonState, Key, Txid};
use ebbtide_store::Object;

use super::path::Deltas;
use super::step::{Culprit, Part, Plan, Refusal, Step};
use crate::known::{Known, first_of};
use crate::piece::{Carrier, IndexState, Piece};
use crate::target::Notice;
use crate::walk::{Walk, Witness};

/// The search for a base, from the newest snapshot to older ones.
pub(super) struct Search<'a> {
    pub(super) known: &'a Known,
    pub(super) stop: Txid,
    pub(super) walk: Walk<'a>,
    pub(super) deltas: Deltas<'a>,
    /// Snapshots that were passed over, and why.
    pub(super) passed: Vec<Culprit>,
    /// The newest snapshot to which the log leads without vouching for its pages, with the state that is wanted if that is
    /// known: it serves if nothing else does.
    unvouched: Option<(Object, Option<IndexState>)>,
}

/// Why a snapshot or delta is passed over.
const NOT_LED_TO: &str = "the log does not lead to it";
const FORGED: &str = "its pages are not those that the log vouches for";
const NOT_NAMED: &str = "it is not the one that is kept";
const UNBORNE: &str = "it makes the database larger and does not carry all of the new pages";

/// What is known of the pages of a snapshot or delta.
enum Trust {
    /// An entry vouches for them, this one, or the horizon.
    From(Txid),
    /// Nothing.
    None,
    /// They are others than those that an entry vouches for.
    Forged,
}

/// What became of one snapshot.
enum Outcome {
    Done(Box<Step>),
    Next,
    /// A delta after it was found not to serve; without that, there may be another way.
    Again,
}

/// Where the history begins that is applied entry by entry.
#[derive(Debug, Default)]
struct Base {
    snapshot: Option<Object>,
    deltas: Vec<Object>,
    /// See [`Plan::serves_from`].
    serves_from: Option<Txid>,
}

impl<'a> Search<'a> {
    pub(super) fn new(known: &'a Known, stop: Txid, deltas: Deltas<'a>) -> Search<'a> {
        let (walk, passed) = (Walk::new(known, stop), Vec::new());
        Search { known, stop, walk, deltas, passed, unvouched: None }
    }

    /// The plan, or what to read or to say.
    pub(super) fn run(&mut self) -> Step {
        match self.search() {
            Step::Refuse(refusal) => {
                let unvouched = self.with_unvouched();
                unvouched.unwrap_or_else(|| Step::Refuse(self.lost_of_horizon().unwrap_or(refusal)))
            }
            step => step,
        }
    }

    fn search(&mut self) -> Step {
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
            self.deltas.begin();
            loop {
                match self.consider(snapshot, txid) {
                    Outcome::Done(step) => return *step,
                    Outcome::Again => {}
                    Outcome::Next => break,
                }
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
        let path = self.deltas.path(txid);
        let from = path.last().and_then(|delta| delta.key.state()).unwrap_or(txid);
        if let Some(kept) = self.known.kept(from).filter(|_| from == self.stop) {
            return self.consider_kept_path(snapshot, path, kept);
        }
        let walked = self.walk.extend(from.next());
        if let Some(step) = self.must_read(path.iter().copied().chain([snapshot])) {
            return done(step);
        }
        if let Some((base, carrier)) =
            self.walk.newest_base(self.stop).filter(|(base, _)| *base > from)
        {
            return done(self.begin_with(base, carrier));
        }
        if let Err(hole) = walked {
            return done(self.refuse_hole(&hole));
        }
        let witness = self.walk.witness(from);
        if let Some(step) = self.must_read([]) {
            return done(step);
        }
        if path.is_empty() {
            return self.consider_alone(snapshot, txid, witness);
        }
        self.consider_path(snapshot, path, witness)
    }

    /// The same without deltas. `witness` is what the log says of the state.
    fn consider_alone(
        &mut self,
        snapshot: Object,
        txid: Txid,
        witness: Option<Witness>,
    ) -> Outcome {
        let done = |step| Outcome::Done(Box::new(step));
        let Some(&point) = self.known.piece(snapshot.key).and_then(Piece::end) else {
            return self.pass_over(snapshot);
        };
        if !witness.is_some_and(|witness| witness.leads_to(&point)) {
            return self.pass_over(snapshot);
        }
        let unborne = self.walk.unborne_after(txid, point.state.database_pages);
        let named = self.known.is_named(snapshot.key).then_some(point.content);
        let mut vouched = self.walk.vouched(snapshot.key, self.stop).map(|(_, it)| it).or(named);
        if vouched.is_none() {
            // The entry itself may do it; if the log does not reach as far back any more, nothing does.
            let reached = self.walk.extend(txid).is_ok();
            if let Some(step) = self.must_read([]) {
                return done(step);
            }
            let found = self.walk.vouched(snapshot.key, self.stop);
            vouched = found.map(|(_, content)| content).filter(|_| reached);
        }
        match (vouched, unborne) {
            (Some(content), _) if content != point.content => self.pass_over_forged(snapshot),
            (Some(_), Some(hole)) => done(self.refuse_hole(&hole)),
            (Some(_), None) => {
                let base = Base { snapshot: Some(snapshot), ..Base::default() };
                done(self.ready(base, txid.next(), None))
            }
            (None, Some(_)) => self.pass_over(snapshot),
            (None, None) => self.pass_over_unvouched(snapshot, None),
        }
    }

    /// The same with the deltas of `path`, of which `witness` is what the log says of the last one's state. The log need
    /// not reach back to the others: whoever vouches for the last one vouches for all.
    fn consider_path(
        &mut self,
        snapshot: Object,
        path: Vec<Object>,
        witness: Option<Witness>,
    ) -> Outcome {
        let done = |step| Outcome::Done(Box::new(step));
        let mut serves_from = None;
        for delta in path.iter().rev() {
            let trust = match self.trust_by_log(delta.key) {
                Ok(trust) => trust,
                Err(step) => return Outcome::Done(step),
            };
            match trust {
                Trust::From(by) => serves_from = serves_from.max(Some(by)),
                Trust::None => return self.reject(delta.key, None),
                Trust::Forged => return self.reject(delta.key, Some(FORGED)),
            }
        }
        let last =
            path.last().and_then(|last| Some((last.key, *self.known.piece(last.key)?.end()?)));
        let Some((last, end)) = last else { return Outcome::Next };
        if !witness.is_some_and(|witness| witness.leads_to(&end)) {
            return self.reject(last, Some(NOT_LED_TO));
        }
        if let Some(delta) = self.unborne_in(snapshot, &path) {
            return self.reject(delta, Some(UNBORNE));
        }
        let trust = match self.trust_by_log(snapshot.key) {
            Ok(trust) => trust,
            Err(step) => return Outcome::Done(step),
        };
        match trust {
            Trust::From(by) => serves_from = serves_from.max(Some(by)),
            Trust::None => {
                self.deltas.give_up();
                return Outcome::Again;
            }
            Trust::Forged => return self.pass_over_forged(snapshot),
        }
        let (txid, pages) = (end.state.txid(), end.state.database_pages);
        if let Some(hole) = self.walk.unborne_after(txid, pages) {
            return done(self.refuse_hole(&hole));
        }
        done(self.ready(
            Base { snapshot: Some(snapshot), deltas: path, serves_from },
            txid.next(),
            None,
        ))
    }

    /// Whether snapshot and deltas that lead to the very state that is wanted are those that the horizon names.
    fn consider_kept_path(
        &mut self,
        snapshot: Object,
        path: Vec<Object>,
        kept: &HorizonState,
    ) -> Outcome {
        let all = || path.iter().copied().chain([snapshot]);
        if let Some(step) = self.must_read(all()) {
            return Outcome::Done(Box::new(step));
        }
        if let Some(other) = all().find(|object| !self.known.is_named(object.key)) {
            return match other.key == snapshot.key {
                true => self.pass_over(snapshot),
                false => self.reject(other.key, Some(NOT_NAMED)),
            };
        }
        if let Some(delta) = self.unborne_in(snapshot, &path) {
            return self.reject(delta, Some(UNBORNE));
        }
        let end =
            path.last().and_then(|last| Some((last.key, *self.known.piece(last.key)?.end()?)));
        match end {
            Some((_, end)) if is_kept(&end, kept) => {
                let serves_from = Some(kept.txid);
                let base = Base { snapshot: Some(snapshot), deltas: path, serves_from };
                Outcome::Done(Box::new(self.ready(base, kept.txid.next(), Some(end))))
            }
            Some((last, _)) => self.reject(last, Some(NOT_NAMED)),
            None => Outcome::Next,
        }
    }

    /// Which of the deltas states a size for which neither it nor what comes before it has the pages.
    fn unborne_in(&self, snapshot: Object, path: &[Object]) -> Option<Key> {
        let pages = |key| Some(self.known.piece(key)?.end()?.state.database_pages);
        let mut before = pages(snapshot.key)?;
        for delta in path {
            if self.known.piece(delta.key)?.carries_from > before.saturating_add(1) {
                return Some(delta.key);
            }
            before = pages(delta.key)?;
        }
        None
    }

    /// The same, and if nothing is known, the log is walked back to the entry after the object's, as far as it leads.
    fn trust_by_log(&mut self, key: Key) -> Result<Trust, Box<Step>> {
        let trust = self.trust(key);
        let (Trust::None, Some(state)) = (&trust, key.state()) else { return Ok(trust) };
        let reached = self.walk.extend(state.next()).is_ok();
        match self.must_read([]) {
            Some(step) => Err(Box::new(step)),
            None if reached => Ok(self.trust(key)),
            None => Ok(trust),
        }
    }

    /// Whether the pages of an object are those that were written, and from which entry on that is known.
    fn trust(&self, key: Key) -> Trust {
        let Some(end) = self.known.piece(key).and_then(Piece::end) else { return Trust::None };
        if self.known.is_named(key) {
            return Trust::From(end.state.txid());
        }
        match self.walk.vouched(key, self.stop) {
            Some((by, content)) if content == end.content => Trust::From(by),
            Some(_) => Trust::Forged,
            None => Trust::None,
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
                match walk.vouched(snapshot.key, txid) {
                    Some((_, content)) if content == point.content => {
                        let base = Base { snapshot: Some(snapshot), ..Base::default() };
                        done(self.ready(base, txid.next(), Some(stop)))
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
        if self.known.is_named(snapshot.key) && is_kept(&point, kept) {
            let base = Base { snapshot: Some(snapshot), ..Base::default() };
            return Outcome::Done(Box::new(self.ready(base, kept.txid.next(), Some(point))));
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
        if let Some(step) = self.must_read([]) {
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

    /// What must be read before the walk, and these objects, can be trusted.
    fn must_read(&self, others: impl IntoIterator<Item = Object>) -> Option<Step> {
        let others = others.into_iter();
        let unread = others.filter(|object| self.known.piece(object.key).is_none());
        let mut objects = self.walk.unread.clone();
        objects.extend(unread);
        (!objects.is_empty()).then(|| Step::Read { objects, points: self.walk.unknown.clone() })
    }

    fn begin_with(&mut self, base: Txid, carrier: Carrier) -> Step {
        match carrier {
            Carrier::Entry => self.ready(Base::default(), base, None),
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
    fn ready(&mut self, base: Base, first: Txid, stop: Option<IndexState>) -> Step {
        let Base { snapshot, deltas, serves_from } = base;
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
        let alone = snapshot.and_then(|snapshot| snapshot.key.state());
        let serves_from = serves_from.or(alone).unwrap_or(first);
        let notices = self.passed_notices();
        match stop {
            Some(stop) => {
                Step::Ready(Plan { snapshot, deltas, history, serves_from, stop, notices })
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
        let (deltas, history, serves_from) = (Vec::new(), Vec::new(), stop.state.txid());
        let snapshot = Some(snapshot);
        Step::Ready(Plan { snapshot, deltas, history, serves_from, stop, notices })
    }

    fn passed_notices(&self) -> Vec<Notice> {
        let notice =
            |Culprit { key, why }: &Culprit| Notice::PlannedAround { key: *key, why: why.clone() };
        self.passed_over().map(notice).collect()
    }

    /// Snapshots and deltas that were passed over, and why.
    pub(super) fn passed_over(&self) -> impl Iterator<Item = &Culprit> {
        self.passed.iter().chain(self.deltas.passed())
    }

    fn reject(&mut self, delta: Key, why: Option<&str>) -> Outcome {
        self.deltas.reject(delta, why);
        Outcome::Again
    }

    fn pass_over(&mut self, snapshot: Object) -> Outcome {
        self.passed.push(Culprit::new(snapshot.key, NOT_LED_TO));
        Outcome::Next
    }

    fn pass_over_forged(&mut self, snapshot: Object) -> Outcome {
        self.passed.push(Culprit::new(snapshot.key, FORGED));
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
        let base = Base { snapshot: Some(snapshot), ..Base::default() };
        Some(match self.ready(base, first, stop) {
            Step::Ready(mut plan) => {
                plan.notices.push(Notice::DigestOnly { key: snapshot.key });
                Step::Ready(plan)
            }
            step => step,
        })
    }
}

/// Whether a state is the one that the horizon has.
fn is_kept(point: &IndexState, kept: &HorizonState) -> bool {
    let EntryState { chain, digest, database_pages, .. } = point.state;
    (Some(chain), Some(digest), database_pages) == (kept.chain(), kept.digest(), kept.pages)
}
