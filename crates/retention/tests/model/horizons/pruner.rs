//! A pruner: it looks and plans, puts a horizon, and, once that is old enough, deletes what it condemns.

use ebbtide_testkit::search::Next;

use super::world::{Horizon, Mark, OBJECTS, Rules, STATES, World, plans, ways};

/// One pruner. It may sleep between any two steps, and for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Pruner {
    Idle,
    /// It has looked, and this is the horizon that it will put.
    Planned(Horizon),
    /// It has found the newest horizon old enough, has listed the marks, and deletes these objects.
    Deleting(u8),
}

const WHO: [&str; 2] = ["pruner 1", "pruner 2"];

pub(crate) fn steps(world: &World, rules: &Rules, next: &mut Vec<Next<World>>) {
    for (at, who) in WHO.into_iter().enumerate() {
        let mut add = |what, step: &dyn Fn(&mut World)| {
            let mut after = world.clone();
            step(&mut after);
            next.push((who, what, after));
        };
        let mut becomes = |what, pruner| add(what, &|after| after.pruners[at] = pruner);
        match world.pruners[at] {
            Pruner::Idle => {
                for planned in horizons(world, rules) {
                    becomes("looks and plans", Pruner::Planned(planned));
                }
                for doomed in finishes(world, rules) {
                    becomes(
                        "finds the newest horizon old enough, and lists the marks again",
                        Pruner::Deleting(doomed),
                    );
                }
            }
            Pruner::Planned(horizon) if rules.condemns => {
                let is_taken = !world.clone().put(horizon, rules);
                let what = if is_taken { "finds the name taken" } else { "puts a horizon" };
                add(what, &|after| {
                    after.put(horizon, rules);
                    after.pruners[at] = Pruner::Idle;
                });
            }
            Pruner::Planned(horizon) => {
                becomes("goes on without a horizon", Pruner::Deleting(horizon.condemned));
            }
            Pruner::Deleting(doomed) => {
                for object in OBJECTS.into_iter().filter(|object| doomed & object != 0) {
                    add("deletes an object", &|after| {
                        after.there &= !object;
                        let rest = doomed & !object;
                        let is_done = rest == 0;
                        after.pruners[at] =
                            if is_done { Pruner::Idle } else { Pruner::Deleting(rest) };
                    });
                }
                add("is killed while it deletes", &|after| after.pruners[at] = Pruner::Idle);
            }
        }
    }
}

/// Every horizon that may be planned by what can be seen now, whatever the policy is.
fn horizons(world: &World, rules: &Rules) -> Vec<Horizon> {
    let mut horizons = Vec::new();
    for seen in world.newest_listed(rules) {
        if seen.number >= rules.horizons {
            continue;
        }
        for listed in world.listed(rules) {
            for mark in world.marks_listed(rules) {
                for policy in rules.policies {
                    let states = seen.states & policy;
                    // What was condemned is asked for by its name.
                    let there = if rules.carries { seen.condemned & world.there } else { 0 };
                    horizons.extend(horizon(seen, listed | there, mark, states, rules));
                }
            }
        }
    }
    horizons.retain(|horizon| horizon.condemned != 0 || horizon.number == 1);
    horizons
}

/// The horizons after `seen` that keep these states, and that of the mark if it can be kept. None if there is no plan for
/// one of the states: then something is damaged, and nothing is condemned.
fn horizon(
    seen: Horizon,
    listed: u8,
    mark: Option<Mark>,
    states: u8,
    rules: &Rules,
) -> Vec<Horizon> {
    let shunned = if rules.shuns_condemned { seen.condemned | seen.held } else { 0 };
    let usable = listed & !shunned;
    let mut kept = vec![(states, 0)];
    for state in STATES {
        let is_marked = mark.is_some_and(|mark| mark.state == state);
        if states & state == 0 && !is_marked {
            continue;
        }
        let ways = ways(state, &seen, usable, rules);
        if ways.is_empty() && states & state == 0 {
            continue;
        }
        let with = |&(states, objects): &(u8, u8)| {
            let both = move |way: &u8| (states | state, objects | way);
            ways.iter().map(both).collect::<Vec<_>>()
        };
        kept = kept.iter().flat_map(with).collect();
    }
    let of = |(states, objects): (u8, u8)| Horizon {
        number: seen.number + 1,
        age: 0,
        states,
        objects,
        condemned: listed & !objects,
        carried: listed & !objects & (seen.condemned | seen.held),
        held: 0,
    };
    kept.into_iter().map(of).collect()
}

/// What may be deleted by what can be seen now.
fn finishes(world: &World, rules: &Rules) -> Vec<u8> {
    let mut finishes = Vec::new();
    for seen in world.newest_listed(rules) {
        let condemned = seen.condemned & world.there;
        if seen.age < rules.grace || condemned == 0 {
            continue;
        }
        for mark in world.marks_listed(rules).map(|mark| mark.filter(|_| rules.lists_marks_again)) {
            let ways = mark.map(|mark| plans(mark.state, world.there, rules)).unwrap_or_default();
            for needed in ways.into_iter().chain(mark.is_none().then_some(0)) {
                finishes.push(condemned & !needed);
            }
        }
    }
    finishes.retain(|doomed| *doomed != 0);
    finishes
}
