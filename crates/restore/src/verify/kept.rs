//! Proves what the newest horizon keeps of the history before its window: that the objects are there that it names, and
//! that each state which it keeps has a plan, whose page hashes give the state's digest.
//!
//! The states are gone through in order, and each is built on the one before it where the plan allows that, so that a
//! year of daily states costs about as much as its deltas and snapshots.

use std::collections::BTreeSet;

use ebbtide_catalog::{Culprit, HashRun, Hashes, IndexState, Plan, PlanError};
use ebbtide_catalog::{Survey, Target, first_of};
use ebbtide_replica::{EntryKind, EntryState, Horizon, HorizonState, Key, Point, Timestamp, Txid};
use ebbtide_store::Object;

use super::finding::{Finding, Severity};
use super::rows::Rows;
use crate::error::Result;

/// What came out.
#[derive(Debug, Default)]
pub(super) struct Kept {
    pub(super) findings: Vec<Finding>,
    /// How many states were proved.
    pub(super) proved: u64,
    /// The state that the window begins from, if it is proved.
    pub(super) base: Option<Built>,
}

/// A state as the hashes of its pages.
#[derive(Debug)]
pub(super) struct Built {
    pub(super) state: IndexState,
    pub(super) rows: Rows,
}

/// Proves what the newest horizon keeps, if there is one.
pub(super) async fn prove_kept(survey: &mut Survey) -> Result<Kept> {
    let Some(horizon) = survey.known().horizon().cloned() else { return Ok(Kept::default()) };
    let mut kept = Kept::default();
    kept.compare_objects(survey, &horizon).await?;
    let mut last: Option<Built> = None;
    for state in &horizon.contents.states {
        let built = match survey.plan(Target::Txid(state.txid), Timestamp::EPOCH).await {
            Ok(plan) => kept.build(survey, state, &plan, last.take()).await?,
            Err(PlanError::Damaged { culprits, .. }) => {
                kept.blame(state, culprits);
                None
            }
            Err(PlanError::Nothing(_)) => {
                kept.damage(
                    horizon.key(),
                    format!("nothing gives the state {} that it keeps", state.txid),
                );
                None
            }
            Err(error) => return Err(error.into()),
        };
        kept.proved += u64::from(built.is_some());
        last = built.or(last);
    }
    kept.begin_window(&horizon, last);
    Ok(kept)
}

impl Kept {
    /// Compares the objects that the horizon names with those that are there.
    async fn compare_objects(&mut self, survey: &Survey, horizon: &Horizon) -> Result<()> {
        let number = horizon.number;
        self.findings = missing_objects(survey);
        for named in &horizon.contents.objects {
            let known = survey.known();
            let listed = known.listing().objects().find(|object| object.key == named.name);
            let Some(object) = listed else { continue };
            // What is damaged is a finding already.
            if !known.is_usable(object.key) {
                continue;
            }
            let root = survey.index(object).await?.index.footer().root;
            if object.size != named.size || named.root() != Some(root) {
                self.damage(named.name, format!("it is not the one that horizon {number} keeps"));
            }
        }
        Ok(())
    }

    /// Builds a state by its plan, from the one before it or from the plan's base.
    async fn build(
        &mut self,
        survey: &Survey,
        state: &HorizonState,
        plan: &Plan,
        before: Option<Built>,
    ) -> Result<Option<Built>> {
        let wanted = (state.chain(), state.digest(), state.pages);
        let EntryState { chain, digest, database_pages, .. } = plan.stop.state;
        if (Some(chain), Some(digest), database_pages) != wanted {
            let key = newest_of(plan).unwrap_or(Key::Log(state.txid));
            self.damage(key, format!("it gives another state {} than is kept", state.txid));
            return Ok(None);
        }
        let mut rows = None;
        if let Some(before) = before.filter(|before| base_of(plan) <= before.state.state.txid()) {
            let at = before.state.state.txid();
            rows = Some(follow(survey, plan, before.rows, Some(at)).await?);
        }
        let is_right = |rows: &Rows| rows.digest() == digest && rows.count() == database_pages;
        if !rows.as_ref().is_some_and(is_right) {
            rows = Some(follow_from_base(survey, plan).await?);
        }
        let Some(rows) = rows.filter(is_right) else {
            let key = newest_of(plan).unwrap_or(Key::Log(state.txid));
            self.damage(
                key,
                format!(
                    "the pages do not add up to the digest of the state {} that is kept",
                    state.txid
                ),
            );
            return Ok(None);
        };
        Ok(Some(Built { state: plan.stop, rows }))
    }

    /// The window must begin from a state that is kept.
    fn begin_window(&mut self, horizon: &Horizon, last: Option<Built>) {
        let Some(base) = horizon.window.previous() else { return };
        let states = &horizon.contents.states;
        let Some(state) = states.last().filter(|state| state.txid == base) else {
            self.damage(
                horizon.key(),
                format!("it does not keep the state {base}, from which its window begins"),
            );
            return;
        };
        if state.chain() != Some(horizon.before) {
            self.damage(
                horizon.key(),
                format!("it contradicts itself about the chain after entry {base}"),
            );
        }
        self.base = last.filter(|last| last.state.state.txid() == base);
    }

    fn blame(&mut self, state: &HorizonState, culprits: Vec<Culprit>) {
        for Culprit { key, why } in culprits {
            self.damage(
                key,
                format!("the state {} that is kept cannot be restored: {why}", state.txid),
            );
        }
    }

    fn damage(&mut self, key: Key, what: String) {
        // Many states may have one cause.
        if self.findings.iter().all(|finding| finding.key != key) {
            self.findings.push(Finding { key, severity: Severity::Damage, what });
        }
    }
}

/// The objects that the newest horizon keeps and that are not there.
pub(super) fn missing_objects(survey: &Survey) -> Vec<Finding> {
    let Some(horizon) = survey.known().horizon() else { return Vec::new() };
    let listed: BTreeSet<Key> =
        survey.known().listing().objects().map(|object| object.key).collect();
    let named = horizon.contents.objects.iter().map(|object| object.name);
    let missing = named.filter(|key| !listed.contains(key) && !is_packed(survey, *key));
    let what = format!("it is missing: horizon {} keeps it", horizon.number);
    let severity = Severity::Damage;
    missing.map(|key| Finding { key, severity, what: what.clone() }).collect()
}

/// The state that the window begins from as the horizon has it, for a walk that goes on from there.
pub(super) fn base_state(horizon: &Horizon) -> Option<IndexState> {
    let base = horizon.window.previous()?;
    let state = horizon.contents.states.last().filter(|state| state.txid == base)?;
    let point = Point { txid: state.txid, time: state.time };
    let (digest, database_pages) = (state.digest()?, state.pages);
    let state = EntryState { point, chain: horizon.before, digest, database_pages };
    Some(IndexState { state, kind: EntryKind::Commit, content: [0; 32] })
}

/// Whether a pack has what a segment had.
fn is_packed(survey: &Survey, key: Key) -> bool {
    let Key::Log(txid) = key else { return false };
    survey.known().listing().packs.iter().any(|object| match object.key {
        Key::Pack { first, last } => (first..=last).contains(&txid),
        _ => false,
    })
}

/// The entry whose state a plan begins with.
fn base_of(plan: &Plan) -> Txid {
    let base = plan.snapshot.and_then(|object| first_of(object.key));
    base.or(plan.history.first().map(|part| part.first)).unwrap_or(plan.stop.state.txid())
}

/// The object that a plan ends with.
fn newest_of(plan: &Plan) -> Option<Key> {
    plan.objects().next_back().map(|object| object.key)
}

/// The page hashes of the state that a plan leads to, from the plan's base on.
pub(crate) async fn follow_from_base(survey: &Survey, plan: &Plan) -> Result<Rows> {
    let mut rows = Rows::new()?;
    if let Some(snapshot) = plan.snapshot {
        apply(survey, snapshot, &mut rows, |_| true).await?;
    }
    follow(survey, plan, rows, None).await
}

/// The same from the state after `at` on, whose page hashes these are.
async fn follow(survey: &Survey, plan: &Plan, mut rows: Rows, at: Option<Txid>) -> Result<Rows> {
    // A delta applies to every state from the one before it to its own.
    for &delta in plan.deltas.iter().filter(|delta| delta.key.state() > at) {
        apply(survey, delta, &mut rows, |_| true).await?;
    }
    for part in &plan.history {
        let first = at.map_or(part.first, |at| part.first.max(at.next()));
        if first <= part.last {
            let applies = |txid| (first..=part.last).contains(&txid);
            apply(survey, part.object, &mut rows, applies).await?;
        }
    }
    Ok(rows)
}

/// Takes over the page hashes of those entries of an object.
async fn apply(
    survey: &Survey,
    object: Object,
    rows: &mut Rows,
    applies: impl Fn(Txid) -> bool,
) -> Result<()> {
    let fetched = survey.index(object).await?;
    let mut hashes = Hashes::new(&**survey.store(), object.key, &fetched);
    let mut run = hashes.next().await?;
    for (number, entry) in fetched.index.entries().iter().enumerate() {
        let applies = applies(entry.txid);
        if applies && entry.is_complete() {
            *rows = Rows::new()?;
        }
        while let Some(HashRun { first, hashes: new, .. }) = run.filter(|run| run.entry == number) {
            if applies {
                rows.set(first, new)?;
            }
            run = hashes.next().await?;
        }
        if applies {
            rows.resize(entry.database_pages)?;
        }
    }
    Ok(())
}
