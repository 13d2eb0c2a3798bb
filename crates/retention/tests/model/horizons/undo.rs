//! Somebody who takes a condemning back within the grace.

use ebbtide_testkit::search::Next;

use super::world::{Horizon, Rules, STATES, World, stands};

/// One undo.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Undo {
    Idle,
    /// It has seen this horizon in time, and will promise again what that has condemned.
    Decided(Horizon),
    /// Its horizon stops the deleting, and was put in time.
    Stopped(Horizon),
    Done,
}

pub(crate) fn steps(world: &World, rules: &Rules, next: &mut Vec<Next<World>>) {
    let mut add = |what, step: &dyn Fn(&mut World)| {
        let mut after = world.clone();
        step(&mut after);
        next.push(("undo", what, after));
    };
    match world.undo {
        Undo::Idle if rules.undoes => {
            for seen in world.newest_listed(rules) {
                let revocable = seen.revocable(rules) & world.there;
                if revocable != 0
                    && World::is_in_time(seen.age, rules)
                    && seen.number < rules.horizons
                {
                    add("sees a horizon in time", &|after| after.undo = Undo::Decided(seen));
                }
            }
        }
        Undo::Decided(seen) if rules.stops_before_undo => {
            add("puts a horizon that stops the deleting", &|after| {
                let revocable = seen.revocable(rules);
                let stop = Horizon {
                    number: seen.number + 1,
                    condemned: seen.condemned & !revocable,
                    held: seen.held | revocable,
                    ..seen
                };
                // The store tells when both were put.
                let is_in_time = World::is_in_time(after.newest.age, rules);
                let is_put = after.put(stop, rules) && is_in_time;
                after.undo = if is_put { Undo::Stopped(stop) } else { Undo::Done };
            });
        }
        Undo::Decided(seen) => add("promises again", &|after| {
            let promised = promise(seen, seen.revocable(rules), after.there);
            after.put(promised, rules);
            after.undo = Undo::Done;
        }),
        Undo::Stopped(stop) => add("promises again", &|after| {
            let promised = promise(stop, stop.held, after.there);
            after.put(promised, rules);
            after.undo = Undo::Done;
        }),
        Undo::Idle | Undo::Done => {}
    }
}

/// The horizon after `before` that relies on `spared` again, as far as it is there.
fn promise(before: Horizon, spared: u8, there: u8) -> Horizon {
    let objects = before.objects & there | spared & there;
    let states = STATES.into_iter().filter(|&state| stands(state, objects));
    Horizon {
        number: before.number + 1,
        age: 0,
        states: states.fold(before.states, |states, state| states | state),
        objects: before.objects | spared & there,
        condemned: before.condemned & !spared,
        carried: before.carried & !spared,
        held: 0,
    }
}
