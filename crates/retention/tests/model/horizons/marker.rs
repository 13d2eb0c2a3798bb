//! Somebody who marks a state: the mark is put, then judged beside the newest horizon.

use ebbtide_testkit::search::Next;

use super::world::{Horizon, Mark, Rules, World, plans, stands};

/// The marker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Marker {
    Idle,
    /// The mark is there, and has not been judged.
    Put,
    /// Somebody was told that the state is kept.
    Kept,
    /// Somebody was told that it cannot be kept, and the mark is removed.
    Refused,
}

pub(crate) fn steps(world: &World, rules: &Rules, next: &mut Vec<Next<World>>) {
    let mut add = |what, step: &dyn Fn(&mut World)| {
        let mut after = world.clone();
        step(&mut after);
        next.push(("marker", what, after));
    };
    match (world.marker, world.mark) {
        (Marker::Idle, _) => {
            for &state in rules.marks.iter().filter(|&&state| stands(state, world.there)) {
                add("puts a mark", &|after| {
                    let beside = |horizon: Horizon| (horizon.number, horizon.age);
                    let beside = [beside(after.newest), beside(after.previous)];
                    after.mark = Some(Mark { state, age: 0, beside });
                    after.marker = if rules.judges_marks { Marker::Put } else { Marker::Kept };
                });
            }
        }
        (Marker::Put, Some(mark)) => {
            for seen in world.newest_listed(rules) {
                if may_count(world, mark, seen, rules) {
                    add("finds that the mark counts", &|after| after.marker = Marker::Kept);
                } else {
                    add("refuses, and removes the mark", &|after| {
                        after.marker = Marker::Refused;
                        after.mark = None;
                    });
                }
            }
        }
        _ => {}
    }
}

/// Whether nobody deletes what the mark needs without seeing the mark first.
fn may_count(world: &World, mark: Mark, seen: Horizon, rules: &Rules) -> bool {
    if seen.states & mark.state != 0 {
        return true;
    }
    // The mark was put so long before the deleting begins that whoever deletes sees it.
    let is_in_time =
        mark.beside.iter().find(|(number, _)| *number == seen.number).is_none_or(
            |&(number, age)| number > mark.beside[0].0 || World::is_in_time(age, rules),
        );
    let revocable = if is_in_time { seen.revocable(rules) } else { 0 };
    let lost = (seen.condemned | seen.held) & !revocable;
    let plan = plans(mark.state, world.there & !lost, rules);
    !plan.is_empty()
}
