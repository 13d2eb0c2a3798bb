//! What the next horizon would say: which states are kept, from which objects, and what nothing needs any more.

use std::collections::{BTreeMap, BTreeSet};

use ebbtide_catalog::{Culprit, IndexState, Plan, Refusal, Target, vouched_path};
use ebbtide_replica::{Condemned, EntryState, HorizonObject, HorizonState, Key, Timestamp, Txid};
use ebbtide_store::Object;

use crate::candidates::{candidates, first_young, logged};
use crate::error::{PruneError, Result};
use crate::inventory::Inventory;
use crate::keep::{Keep, Kind};
use crate::select::{KeptState, Marked, Present, Selection, Why, select};
use crate::settled::Settled;
use crate::unneeded::unneeded;

/// A state before the window that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// As the horizon has it.
    pub state: HorizonState,
    /// When the last reason to keep it will have ended; nothing if one of them has no end.
    pub until: Option<Timestamp>,
}

/// What the next horizon would say.
#[derive(Debug)]
#[non_exhaustive]
pub struct Outlook {
    /// Its number.
    pub number: u64,
    /// The store's time.
    pub now: Timestamp,
    /// The newest state.
    pub head: EntryState,
    /// The first entry from which on every state is kept.
    pub window: Txid,
    /// The states before it that are kept, in order.
    pub states: Vec<Kept>,
    /// The objects that these need.
    pub objects: Vec<HorizonObject>,
    /// What is condemned by an earlier horizon and is still there.
    pub carried: Vec<Condemned>,
    /// What nothing needs any more.
    pub unneeded: Vec<Object>,
    /// How many states of the newest horizon are given up.
    pub given_up: usize,
    /// Marks whose state cannot be kept any more.
    pub lost_marks: Vec<Txid>,
}

impl Outlook {
    /// How many bytes would be deleted.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.unneeded.iter().map(|object| object.size).sum()
    }
}

/// Plans the next horizon by this policy; without one, no state is given up. `marks` are those that are there.
pub(crate) async fn outlook(
    inventory: &mut Inventory,
    keep: Option<&Keep>,
    marks: &[Marked],
) -> Result<Outlook> {
    let carried = carried(inventory).await?;
    let shunned: Vec<Key> = carried.iter().map(|object| object.name).collect();
    inventory.survey.set_aside(shunned, "it is condemned");
    let head = inventory.survey.plan(Target::Latest, inventory.now).await?.stop;
    let selection = selection(inventory, keep, marks, head.state.txid()).await?;
    let (mut paths, mut states) = settled(inventory, &selection);
    let lost_marks = plan_others(inventory, &selection, &mut paths, &mut states).await?;
    let needed: BTreeSet<Key> = paths.objects.iter().map(|object| object.name).collect();
    let unneeded = unneeded(inventory, selection.window, &needed).await?;
    let before = inventory.survey.known().kept_states();
    let given_up = before.iter().filter(|old| !selection.states.contains_key(&old.txid));
    let given_up = given_up.filter(|old| old.txid < selection.window).count();
    Ok(Outlook {
        number: inventory.next_number(),
        now: inventory.now,
        head: head.state,
        window: selection.window,
        states: states.into_values().collect(),
        objects: paths.objects,
        carried,
        unneeded,
        given_up,
        lost_marks,
    })
}

/// The rows that the newest horizon has of states that are kept, as far as they can be taken over.
fn settled(inventory: &Inventory, selection: &Selection) -> (Paths, BTreeMap<Txid, Kept>) {
    let settled = Settled::of(inventory);
    let (mut paths, mut states) = (Paths::default(), BTreeMap::new());
    for (&txid, kept) in &selection.states {
        let Some((before, way)) = settled.row(txid) else { continue };
        let path = way.into_iter().map(|object| paths.number(object.clone())).collect();
        let state = HorizonState { why: why(kept, Some(before)), path, ..before.clone() };
        states.insert(txid, Kept { state, until: kept.until });
    }
    (paths, states)
}

/// Plans all other states. Returns the marks of which the state cannot be kept any more.
async fn plan_others(
    inventory: &mut Inventory,
    selection: &Selection,
    paths: &mut Paths,
    states: &mut BTreeMap<Txid, Kept>,
) -> Result<Vec<Txid>> {
    let mut lost_marks = Vec::new();
    for (&txid, kept) in &selection.states {
        if states.contains_key(&txid) {
            continue;
        }
        match inventory.survey.plan_for(txid).await? {
            Ok(plan) => {
                inventory.survey.learn_after(txid).await?;
                let plan = by_itself(inventory, plan);
                let path = paths.add(inventory, &plan);
                states.insert(txid, row(inventory, &plan.stop, kept, path).await?);
            }
            Err(_) if kept.why == [Why::Mark] => lost_marks.push(txid),
            Err(refusal) => return Err(PruneError::Damaged { txid, why: explain(&refusal) }),
        }
    }
    Ok(lost_marks)
}

/// What was condemned or held before and is still there: a listing may hide it, so each is asked for by its name.
async fn carried(inventory: &Inventory) -> Result<Vec<Condemned>> {
    let Some(stored) = inventory.horizon() else { return Ok(Vec::new()) };
    let contents = &stored.horizon.contents;
    let before = contents.condemned.iter().chain(&contents.held);
    let listed = inventory.by_name();
    let unlisted =
        before.clone().map(|object| object.name).filter(|name| !listed.contains_key(name));
    let gone = inventory.gone(unlisted.collect()).await?;
    Ok(before.filter(|object| !gone.contains(&object.name)).cloned().collect())
}

/// What the policy keeps.
async fn selection(
    inventory: &mut Inventory,
    keep: Option<&Keep>,
    marks: &[Marked],
    head: Txid,
) -> Result<Selection> {
    let (now, begun) = (inventory.now, inventory.survey.known().window());
    let Some(keep) = keep else {
        return Ok(Selection { window: begun, states: kept_states(inventory) });
    };
    let every = keep.period(Kind::EveryCommit);
    let log = logged(inventory);
    let young = first_young(&log, |stored| every.is_some_and(|every| every.covers(stored, now)));
    let candidates = candidates(inventory, young.unwrap_or(head.next())).await?;
    let first = log.iter().map(|object| object.first).min().unwrap_or(head).min(head);
    let present =
        Present { first: first.max(begun), head, candidates: &candidates, log: &log, marks };
    let mut selection = select(keep, &present, now);
    if selection.window <= begun {
        // What is given up does not come back: the window goes on from where it began.
        let base = begun.previous().filter(|_| inventory.horizon().is_some());
        if let Some(base) = base {
            let why = || KeptState { why: vec![Why::Base], until: None };
            selection.states.entry(base).or_insert_with(why);
        }
        selection.states.retain(|&txid, _| txid < begun);
        selection.window = begun;
    }
    Ok(selection)
}

/// The states that the newest horizon keeps, for the same reasons.
fn kept_states(inventory: &Inventory) -> BTreeMap<Txid, KeptState> {
    let states = inventory.survey.known().kept_states().iter();
    states.map(|state| (state.txid, KeptState { why: Vec::new(), until: None })).collect()
}

/// The plan with a snapshot and deltas that lead to the very state, if the history vouches for them later on: the planner
/// looks no further than the state.
fn by_itself(inventory: &Inventory, plan: Plan) -> Plan {
    let known = inventory.survey.known();
    match vouched_path(known, &plan.stop.state) {
        Some((snapshot, deltas)) => {
            Plan { snapshot: Some(snapshot), deltas, history: Vec::new(), ..plan }
        }
        None => plan,
    }
}

/// The objects of all plans, each once.
#[derive(Debug, Default)]
struct Paths {
    objects: Vec<HorizonObject>,
    numbers: BTreeMap<Key, u32>,
}

impl Paths {
    /// The objects of a plan in the order in which they apply, by their numbers.
    fn add(&mut self, inventory: &Inventory, plan: &Plan) -> Vec<u32> {
        let mut path = Vec::new();
        for object in plan.objects() {
            let Some(piece) = inventory.survey.known().piece(object.key) else { continue };
            path.push(self.number(HorizonObject::new(object.key, object.size, &piece.root)));
        }
        path
    }

    /// The number of an object, by which ways name it.
    fn number(&mut self, object: HorizonObject) -> u32 {
        let next = u32::try_from(self.objects.len()).unwrap_or(u32::MAX);
        let number = *self.numbers.entry(object.name).or_insert(next);
        if number == next {
            self.objects.push(object);
        }
        number
    }
}

/// The row of a state. Until when it was that of the database is known while the next entry is there, or from before.
async fn row(
    inventory: &Inventory,
    stop: &IndexState,
    kept: &KeptState,
    path: Vec<u32>,
) -> Result<Kept> {
    let (txid, time) = (stop.state.txid(), stop.state.time());
    let after = inventory.survey.time_after(txid).await?;
    let before = inventory.survey.known().kept(txid);
    let until = after.or(before.map(|state| state.until)).unwrap_or(time);
    let state = HorizonState::new(&stop.state, until.max(time), why(kept, before), path);
    Ok(Kept { state, until: kept.until })
}

/// Why a state is kept, in words; as before if there is no policy.
fn why(kept: &KeptState, before: Option<&HorizonState>) -> Vec<String> {
    if kept.why.is_empty() {
        return before.map(|state| state.why.clone()).unwrap_or_default();
    }
    kept.why.iter().map(ToString::to_string).collect()
}

fn explain(refusal: &Refusal) -> String {
    match refusal {
        Refusal::Damaged { culprits, .. } => {
            let culprit = |Culprit { key, why }: &Culprit| format!("{key}: {why}");
            culprits.iter().map(culprit).collect::<Vec<_>>().join("; ")
        }
        Refusal::Empty => "there is no entry".to_owned(),
        Refusal::Before | Refusal::NotKept => {
            "nothing that it could begin from is there".to_owned()
        }
        Refusal::Beyond { head } => format!("the history ends with txid {head}"),
    }
}
