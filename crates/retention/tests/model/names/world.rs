//! What everybody shares: the objects, the horizon, and the history as it really is.

use ebbtide_testkit::search::Next;

use super::packer::Packer;
use super::pruner::Pruner;
use super::session::{Disk, Session};

/// So many names there are at most, and one that is not used: names count from 1.
pub(crate) const NAMES_MAX: usize = 6;

/// What a search allows, and which rules are kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    /// How many names the history may have.
    pub(crate) names: u8,
    /// How many sessions begin.
    pub(crate) starts: u8,
    /// Whether sessions spool.
    pub(crate) spools: bool,
    /// Whether a machine's disk is copied to the other machine, once.
    pub(crate) clones: bool,
    /// Whether a request of a dead session may land later, once.
    pub(crate) dies: bool,
    /// Whether a packer and a pruner sleep between their steps.
    pub(crate) sleepers: bool,
    /// Whether a listing may miss what is of today.
    pub(crate) lags: bool,
    /// Whether a horizon condemns history.
    pub(crate) condemns: bool,

    /// R1: a claim's segment is never deleted.
    pub(crate) fences: bool,
    /// R2: a session counts its first put only after a look at what comes behind it.
    pub(crate) looks_behind: bool,
    /// The look asks the horizon, too.
    pub(crate) looks_at_horizon: bool,
    /// What a start finds of an earlier session of its own counts only after the look.
    pub(crate) counts_adopted_late: bool,
    /// R3: a session never puts two bodies under one name.
    pub(crate) one_body: bool,
    /// The same for what it has spooled and not sent.
    pub(crate) one_spooled_body: bool,
    /// R4: the newest segment is never deleted.
    pub(crate) keeps_newest: bool,
    /// Nothing is deleted on the day on which its pack or its horizon was put.
    pub(crate) ages: bool,
    /// R5: a pack is put only if the segment after it continues it.
    pub(crate) packs_what_links: bool,
    /// A reader takes a pack rather than a segment.
    pub(crate) prefers_packs: bool,
    /// A claim below the horizon is taken for void only while a pack says so.
    pub(crate) keeps_unjudged: bool,
}

/// What a segment is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Body {
    /// Who encoded it.
    pub(crate) author: u8,
    /// Who encoded the entry that it continues.
    pub(crate) before: u8,
    pub(crate) claim: bool,
}

/// An object, and whether it is older than today.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Segment {
    pub(crate) body: Body,
    pub(crate) old: bool,
}

/// All there is. Sets of names and authors are bits.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct World {
    pub(crate) log: [Option<Segment>; NAMES_MAX],
    /// For each name, the authors of the entries that packs have there; packs may be cut in any way.
    pub(crate) packs: [u16; NAMES_MAX],
    pub(crate) old_packs: [u16; NAMES_MAX],
    /// The author of each entry of the history.
    pub(crate) history: [u8; NAMES_MAX],
    pub(crate) length: u8,
    /// Which entries of the history are claims.
    pub(crate) claims: u8,
    /// The newest horizon: what lies up to here is condemned. 0 without one.
    pub(crate) freed: u8,
    /// The newest that is older than today.
    pub(crate) old_freed: u8,
    pub(crate) sessions: [Session; 2],
    pub(crate) disks: [Disk; 2],
    pub(crate) packer: Packer,
    pub(crate) pruner: Pruner,
    /// A request that is still on its way although its session is dead.
    pub(crate) late: Option<(u8, Body)>,
    pub(crate) died: bool,
    pub(crate) cloned: bool,
    pub(crate) started: u8,
    pub(crate) wrong: Option<&'static str>,
}

/// Who created the replica.
const CREATOR: u8 = 1;

pub(crate) fn bit(name: u8) -> u8 {
    1 << name
}

pub(crate) fn author_bit(author: u8) -> u16 {
    1 << author
}

impl World {
    /// A replica with a claim, and two machines of which neither has a session.
    pub(crate) fn new() -> World {
        let mut world = World {
            log: [None; NAMES_MAX],
            packs: [0; NAMES_MAX],
            old_packs: [0; NAMES_MAX],
            history: [0; NAMES_MAX],
            length: 0,
            claims: 0,
            freed: 0,
            old_freed: 0,
            sessions: [Session::GONE; 2],
            disks: [Disk::EMPTY; 2],
            packer: Packer::Idle,
            pruner: Pruner::Idle,
            late: None,
            died: false,
            cloned: false,
            started: CREATOR,
            wrong: None,
        };
        world.land(1, Body { author: CREATOR, before: 0, claim: true });
        world
    }

    pub(crate) fn segment(&self, name: u8) -> Option<Segment> {
        self.log[usize::from(name)]
    }

    /// Who encoded the entry of the history, 0 if there is none.
    pub(crate) fn author(&self, name: u8) -> u8 {
        self.history[usize::from(name)]
    }

    /// Whether a pack has the entry of the history that is called so.
    pub(crate) fn is_packed(&self, name: u8, old: bool) -> bool {
        let packs = if old { &self.old_packs } else { &self.packs };
        packs[usize::from(name)] & author_bit(self.author(name)) != 0
    }

    /// A request arrives. False when the name is taken by another body.
    pub(crate) fn land(&mut self, name: u8, body: Body) -> bool {
        if let Some(there) = self.segment(name) {
            return there.body == body;
        }
        self.log[usize::from(name)] = Some(Segment { body, old: false });
        if name > self.length {
            let continues = name == self.length + 1 && body.before == self.author(self.length);
            if !continues {
                self.wrong = Some("the newest segment does not continue the history");
                return true;
            }
            self.length = name;
            self.history[usize::from(name)] = body.author;
            if body.claim {
                self.claims |= bit(name);
            }
        }
        true
    }

    /// Somebody is told that this entry is durable.
    pub(crate) fn count(&mut self, name: u8, author: u8) {
        if self.author(name) != author {
            self.wrong = Some("a session counts as durable what is not in the history");
        }
    }

    /// Up to where what is condemned may be deleted.
    pub(crate) fn deletable(&self, rules: &Rules) -> u8 {
        if rules.ages { self.old_freed } else { self.freed }
    }

    /// The newest names that a listing may end with.
    pub(crate) fn newest_listed(&self, rules: &Rules) -> impl Iterator<Item = u8> {
        let there = |name: &u8| self.segment(*name).is_some();
        let newest = (1..=rules.names).rev().find(there);
        let sure = |name: &u8| self.segment(*name).is_some_and(|segment| segment.old);
        let least = if rules.lags { (1..=rules.names).rev().find(sure) } else { newest };
        (least.unwrap_or(1)..=newest.unwrap_or(0)).filter(there)
    }

    /// What is wrong with this state, if anything is.
    pub(crate) fn wrong(&self, rules: &Rules) -> Option<&'static str> {
        if self.wrong.is_some() {
            return self.wrong;
        }
        for name in 1..=rules.names {
            let right = author_bit(self.author(name));
            let packs = self.packs[usize::from(name)];
            if packs & !right != 0 {
                return Some("a pack has what is not in the history");
            }
            if name > self.length || name <= self.freed {
                continue;
            }
            match self.segment(name) {
                Some(segment) if segment.body.author == self.author(name) => {}
                Some(_) if packs == 0 || !rules.prefers_packs => {
                    return Some("a reader takes a void segment for history");
                }
                None if packs == 0 => return Some("an entry that is promised is gone"),
                _ => {}
            }
        }
        None
    }
}

/// What happens without anybody's doing.
pub(crate) fn surroundings(world: &World, rules: &Rules, next: &mut Vec<Next<World>>) {
    let mut day = world.clone();
    day.log.iter_mut().flatten().for_each(|segment| segment.old = true);
    day.old_packs = day.packs;
    day.old_freed = day.freed;
    if day != *world {
        next.push(("clock", "a day passes", day));
    }
    if let Some((name, body)) = world.late {
        let mut after = world.clone();
        after.late = None;
        after.land(name, body);
        next.push(("network", "a request of a dead session arrives", after));
    }
    if rules.clones && !world.cloned && world.disks[0] != Disk::EMPTY {
        let mut after = world.clone();
        after.cloned = true;
        after.disks[1] = after.disks[0];
        next.push(("operator", "the first machine's disk is copied to the second", after));
    }
}
