//! What everybody shares: three objects, two states that are made of them, the horizons, and a mark.

use ebbtide_testkit::search::Next;

use super::marker::Marker;
use super::pruner::Pruner;
use super::undo::Undo;

/// What a search allows, and which rules are kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    /// How many horizons there may be.
    pub(crate) horizons: u8,
    /// Which states somebody may mark, one of them.
    pub(crate) marks: &'static [u8],
    /// Which states a policy may keep.
    pub(crate) policies: &'static [u8],
    pub(crate) undoes: bool,
    /// Whether a pack comes, and the segment goes once every listing shows the pack.
    pub(crate) packs: bool,
    /// Whether a listing may miss what is younger than two days.
    pub(crate) lags: bool,

    /// How many days what is condemned stays.
    pub(crate) grace: u8,
    /// A horizon condemns before anything is deleted.
    pub(crate) condemns: bool,
    /// The name of a horizon that is taken is not given to another.
    pub(crate) create_only: bool,
    /// Before something is deleted the marks are listed again.
    pub(crate) lists_marks_again: bool,
    /// What is condemned is not relied on any more.
    pub(crate) shuns_condemned: bool,
    /// A mark that was put is looked at beside the newest horizon before it counts.
    pub(crate) judges_marks: bool,
    /// What is condemned stays so until it is asked for by its name and is gone.
    pub(crate) carries: bool,
    /// A horizon tells what an earlier one has condemned from what it condemns itself.
    pub(crate) tells_carried: bool,
    /// An undo is two horizons: one that stops the deleting, and one that promises again.
    pub(crate) stops_before_undo: bool,
    /// A plan takes a pack rather than the segment.
    pub(crate) plans_packs_first: bool,
    /// What the newest horizon says of a state is taken over, if all that it names for it is listed and not condemned.
    pub(crate) takes_over: bool,
    /// But not if it names a segment of which a pack is listed: then the state is planned again.
    pub(crate) replans_packed: bool,
    /// Where a horizon names a segment that is gone, a pack with its entries serves, whether it is named or not.
    pub(crate) replaces_segments: bool,
}

/// Objects, one a bit: a snapshot of the first state…
pub(crate) const SNAPSHOT: u8 = 1;
/// …the segment between the first state and the second…
pub(crate) const SEGMENT: u8 = 2;
/// …and a pack that has it, too.
pub(crate) const PACK: u8 = 4;
pub(crate) const OBJECTS: [u8; 3] = [SNAPSHOT, SEGMENT, PACK];

/// States, one a bit.
pub(crate) const STATES: [u8; 2] = [1, 2];

/// Ages are counted up to here.
const AGE_MAX: u8 = 3;

/// A listing shows what is so old.
pub(crate) const SHOWN: u8 = 2;

/// Whether the state that is called so can be had from these objects.
pub(crate) fn stands(state: u8, objects: u8) -> bool {
    objects & SNAPSHOT != 0 && (state == 1 || objects & (SEGMENT | PACK) != 0)
}

/// The ways to a state from these objects.
pub(crate) fn plans(state: u8, objects: u8, rules: &Rules) -> Vec<u8> {
    if !stands(state, objects) {
        return Vec::new();
    }
    if state == 1 {
        return vec![SNAPSHOT];
    }
    let last = [PACK, SEGMENT].into_iter().filter(|object| objects & object != 0);
    let most = if rules.plans_packs_first { 1 } else { 2 };
    last.take(most).map(|object| SNAPSHOT | object).collect()
}

/// The ways to a state that the next horizon may state after `seen`, which promises it or not: by a new plan, or as `seen` has
/// it.
pub(crate) fn ways(state: u8, seen: &Horizon, usable: u8, rules: &Rules) -> Vec<u8> {
    let mut ways = plans(state, usable, rules);
    if rules.takes_over && seen.number > 0 && seen.states & state != 0 {
        // Which of its objects it has for this state, it says; here, any that give it.
        let any = Rules { plans_packs_first: false, ..*rules };
        let stated = plans(state, seen.objects, &any).into_iter();
        let is_packed = |way: u8| way & SEGMENT != 0 && usable & PACK != 0;
        let stays = |way: &u8| usable & way == *way && !(rules.replans_packed && is_packed(*way));
        ways.extend(stated.filter(stays));
        ways.sort_unstable();
        ways.dedup();
    }
    ways
}

/// A horizon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Horizon {
    pub(crate) number: u8,
    pub(crate) age: u8,
    pub(crate) states: u8,
    pub(crate) objects: u8,
    pub(crate) condemned: u8,
    /// What an earlier horizon had condemned before.
    pub(crate) carried: u8,
    /// What is neither relied on nor deleted.
    pub(crate) held: u8,
}

impl Horizon {
    /// None: everything is there, and everything is promised.
    pub(crate) const NONE: Horizon = Horizon {
        number: 0,
        age: AGE_MAX,
        states: 3,
        objects: 7,
        condemned: 0,
        carried: 0,
        held: 0,
    };

    /// What this horizon has condemned itself.
    pub(crate) fn revocable(&self, rules: &Rules) -> u8 {
        if rules.tells_carried { self.condemned & !self.carried } else { self.condemned }
    }
}

/// A mark, and how old the horizons were when it was put.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Mark {
    pub(crate) state: u8,
    pub(crate) age: u8,
    /// The numbers and ages of the two newest horizons.
    pub(crate) beside: [(u8, u8); 2],
}

/// All there is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct World {
    pub(crate) there: u8,
    pub(crate) pack_age: u8,
    pub(crate) packed: bool,
    /// Somebody has decided to delete the segment.
    pub(crate) segment_goes: bool,
    pub(crate) newest: Horizon,
    pub(crate) previous: Horizon,
    pub(crate) pruners: [Pruner; 2],
    pub(crate) marker: Marker,
    pub(crate) mark: Option<Mark>,
    pub(crate) undo: Undo,
}

impl World {
    pub(crate) fn new() -> World {
        World {
            there: SNAPSHOT | SEGMENT,
            pack_age: 0,
            packed: false,
            segment_goes: false,
            newest: Horizon::NONE,
            previous: Horizon::NONE,
            pruners: [Pruner::Idle; 2],
            marker: Marker::Idle,
            mark: None,
            undo: Undo::Idle,
        }
    }

    /// Whether what is put now is seen by whoever deletes what a horizon of this age condemns.
    pub(crate) fn is_in_time(age: u8, rules: &Rules) -> bool {
        age + SHOWN <= rules.grace
    }

    /// What somebody may take for the newest horizon.
    pub(crate) fn newest_listed(&self, rules: &Rules) -> impl Iterator<Item = Horizon> {
        let hidden = rules.lags && self.newest.age < SHOWN;
        [Some(self.newest), hidden.then_some(self.previous)].into_iter().flatten()
    }

    /// What somebody may find in a listing of the objects.
    pub(crate) fn listed(&self, rules: &Rules) -> impl Iterator<Item = u8> {
        let hidden = rules.lags && self.pack_age < SHOWN && self.there & PACK != 0;
        [Some(self.there), hidden.then_some(self.there & !PACK)].into_iter().flatten()
    }

    /// What somebody may find in a listing of the marks.
    pub(crate) fn marks_listed(&self, rules: &Rules) -> impl Iterator<Item = Option<Mark>> {
        let hidden = self.mark.is_some_and(|mark| mark.age < SHOWN) && rules.lags;
        [Some(self.mark), hidden.then_some(None)].into_iter().flatten()
    }

    /// Makes states the same that differ only in what nobody can find out any more.
    pub(crate) fn forget(&mut self) {
        // Two pruners are alike.
        self.pruners.sort_unstable();
        if self.newest.age >= SHOWN {
            self.previous = Horizon::NONE;
        }
        if let (Marker::Kept, Some(mark)) = (self.marker, &mut self.mark) {
            mark.beside = [(0, 0); 2];
        }
    }

    /// Puts a horizon, whose name may be taken.
    pub(crate) fn put(&mut self, horizon: Horizon, rules: &Rules) -> bool {
        let horizon = Horizon { age: 0, ..horizon };
        if horizon.number == self.newest.number + 1 {
            self.previous = self.newest;
            self.newest = horizon;
            return true;
        }
        if horizon.number == self.newest.number && !rules.create_only {
            self.newest = horizon;
            return true;
        }
        false
    }

    /// What is wrong with this state, if anything is.
    pub(crate) fn wrong(&self, rules: &Rules) -> Option<&'static str> {
        let named = self.there & self.newest.objects;
        let segment_is_named = self.newest.objects & SEGMENT != 0;
        let replaced = if rules.replaces_segments && segment_is_named { PACK } else { 0 };
        let usable = named | self.there & replaced;
        for state in STATES.into_iter().filter(|state| self.newest.states & state != 0) {
            if !stands(state, usable) {
                return Some("a state that the newest horizon promises has no plan");
            }
        }
        match (self.marker, self.mark) {
            (Marker::Kept, Some(mark)) if !stands(mark.state, self.there) => {
                Some("a state that a mark promises has no plan")
            }
            _ => None,
        }
    }
}

/// What happens without anybody's decision, and the pack and its segment.
pub(crate) fn surroundings(world: &World, rules: &Rules, next: &mut Vec<Next<World>>) {
    let mut add = |who, what, step: &dyn Fn(&mut World)| {
        let mut after = world.clone();
        step(&mut after);
        if after != *world {
            next.push((who, what, after));
        }
    };
    add("clock", "a day passes", &|after| {
        let older = |age: u8| (age + 1).min(AGE_MAX);
        after.newest.age = older(after.newest.age);
        after.previous.age = older(after.previous.age);
        after.mark = after.mark.map(|mark| Mark { age: older(mark.age), ..mark });
        if after.there & PACK != 0 {
            after.pack_age = older(after.pack_age);
        }
    });
    if rules.packs && !world.packed && world.there & SEGMENT != 0 {
        add("packer", "puts a pack of the segment", &|after| {
            after.there |= PACK;
            after.packed = true;
        });
    }
    let is_old = world.there & PACK != 0 && world.pack_age >= SHOWN;
    if is_old && world.there & SEGMENT != 0 {
        add("deleter of packed segments", "decides", &|after| after.segment_goes = true);
    }
    if world.segment_goes {
        add("deleter of packed segments", "deletes the segment", &|after| {
            after.there &= !SEGMENT;
            after.segment_goes = false;
        });
    }
}
