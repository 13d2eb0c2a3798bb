//! Deletes segments: those that are in packs, and what lies below the horizon.

use ebbtide_testkit::search::Next;

use super::world::{Rules, World, bit};

/// The pruner that may sleep; others are quick.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Pruner {
    Idle,
    /// It has decided to delete what has this name.
    Decided(u8),
}

pub(crate) fn steps(world: &World, rules: &Rules, next: &mut Vec<Next<World>>) {
    let mut add = |who, what, step: &dyn Fn(&mut World)| {
        let mut after = world.clone();
        step(&mut after);
        next.push((who, what, after));
    };
    for name in 1..=rules.names {
        if may_delete(world, name, rules) {
            if world.pruner == Pruner::Idle && rules.sleepers {
                add("pruner", "decides to delete a segment", &|after| {
                    after.pruner = Pruner::Decided(name);
                });
            }
            add("another pruner", "deletes a segment", &|after| {
                after.log[usize::from(name)] = None;
            });
        }
        let is_condemned = name <= world.deletable(rules);
        if is_condemned && world.packs[usize::from(name)] != 0 {
            add("another pruner", "deletes a pack below the horizon", &|after| {
                after.packs[usize::from(name)] = 0;
                after.old_packs[usize::from(name)] = 0;
            });
        }
    }
    if let Pruner::Decided(name) = world.pruner {
        add("pruner", "deletes the segment", &|after| {
            after.pruner = Pruner::Idle;
            after.log[usize::from(name)] = None;
        });
    }
    if rules.condemns && world.freed < world.length {
        add("another pruner", "puts a horizon", &|after| {
            after.freed = after.length;
        });
    }
}

/// Whether the objects allow a pruner to delete what has this name.
fn may_delete(world: &World, name: u8, rules: &Rules) -> bool {
    let Some(segment) = world.segment(name) else { return false };
    let is_newest = !(name + 1..=rules.names).any(|name| world.segment(name).is_some());
    if is_newest && rules.keeps_newest {
        return false;
    }
    let is_fence = rules.fences && world.claims & bit(name) != 0;
    if world.is_packed(name, rules.ages) && !is_fence {
        return true;
    }
    let is_condemned = name <= world.deletable(rules);
    let is_void = segment.body.author != world.author(name);
    let may_be_void = match world.is_packed(name, false) {
        true => is_void,
        // A claim and a void claim cannot be told apart any more.
        false => !segment.body.claim || !rules.keeps_unjudged || !rules.fences,
    };
    is_condemned && (may_be_void || !segment.body.claim) && (!is_fence || may_be_void)
}
