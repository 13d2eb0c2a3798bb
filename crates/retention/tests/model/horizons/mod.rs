//! Horizons, marks and pruners: what is promised keeps a plan.
//!
//! Two states are made of three objects: a snapshot is the first state, and with a segment, or a pack that has the same
//! entries, it is the second. The head has a base of its own. A policy may give up any state at any time, two pruners
//! plan and delete beside each other, the segment goes once its pack is older than today, somebody marks a state, and
//! somebody takes a condemning back. Everybody may sleep between any two steps, and for ever, which is what a kill is.
//!
//! A listing may miss what is younger than two days, and the grace is three.

mod marker;
mod pruner;
mod undo;
mod world;

use ebbtide_testkit::search::{Next, Searched, search_and_tell};

use world::{Rules, World};

/// All rules.
const RULES: Rules = Rules {
    horizons: 3,
    marks: &[],
    policies: &[0, 1, 2, 3],
    undoes: false,
    packs: false,
    lags: true,
    grace: 3,
    condemns: true,
    create_only: true,
    lists_marks_again: true,
    shuns_condemned: true,
    judges_marks: true,
    carries: true,
    tells_carried: true,
    stops_before_undo: true,
    plans_packs_first: true,
    takes_over: true,
    replans_packed: true,
    replaces_segments: true,
};

fn check(what: &str, rules: &Rules) -> Searched {
    let steps = |world: &World, next: &mut Vec<Next<World>>| {
        pruner::steps(world, rules, next);
        marker::steps(world, rules, next);
        undo::steps(world, rules, next);
        world::surroundings(world, rules, next);
        next.iter_mut().for_each(|(.., world)| world.forget());
    };
    search_and_tell(what, World::new(), steps, |world| world.wrong(rules))
}

#[track_caller]
fn holds(what: &str, rules: &Rules) {
    check(what, rules).holds(what);
}

#[track_caller]
fn finds(what: &str, rules: &Rules, expected: &str) {
    check(what, rules).finds(what, expected);
}

const MARKS: Rules = Rules { marks: &[1, 2], ..RULES };
const UNDOES: Rules = Rules { undoes: true, ..RULES };
const PACKS: Rules = Rules { packs: true, horizons: 2, ..RULES };

const HORIZON_BROKEN: &str = "a state that the newest horizon promises has no plan";
const MARK_BROKEN: &str = "a state that a mark promises has no plan";

#[test]
fn h07_two_pruners_keep_what_the_newest_horizon_promises() {
    holds("two pruners", &RULES);
    holds("two pruners, packs", &PACKS);
    holds("two pruners, an undo", &UNDOES);
    holds("two pruners, packs, an undo", &Rules { undoes: true, ..PACKS });
}

#[test]
fn h08_a_mark_that_counts_keeps_its_state() {
    holds("marks", &MARKS);
    holds("marks, packs", &MARKS_AND_PACKS);
}

#[test]
fn h08_a_mark_and_an_undo_keep_their_states() {
    holds("marks, an undo", &Rules { undoes: true, horizons: 2, ..MARKS });
}

/// The second state is marked, and a policy keeps it or not.
const MARKS_AND_PACKS: Rules = Rules { marks: &[2], policies: &[1, 3], ..PACKS };

#[test]
fn h07_a_pruner_that_deletes_without_a_horizon_breaks_a_promise() {
    finds("no horizon", &Rules { condemns: false, ..RULES }, HORIZON_BROKEN);
}

#[test]
fn h07_a_horizon_that_replaces_another_breaks_a_promise() {
    finds("horizons replaced", &Rules { create_only: false, ..RULES }, HORIZON_BROKEN);
}

#[test]
fn h08_a_grace_that_is_not_longer_than_two_listings_lag_breaks_a_mark() {
    finds("short grace", &Rules { grace: 2, ..MARKS }, MARK_BROKEN);
}

#[test]
fn h08_marks_that_are_not_listed_again_are_broken() {
    finds("marks not listed again", &Rules { lists_marks_again: false, ..MARKS }, MARK_BROKEN);
    let none = Rules { lists_marks_again: false, grace: 0, lags: false, ..MARKS };
    finds("marks not listed again, no grace", &none, MARK_BROKEN);
}

#[test]
fn h08_a_mark_that_is_not_judged_by_the_horizon_is_broken() {
    finds("marks not judged", &Rules { judges_marks: false, ..MARKS }, MARK_BROKEN);
}

#[test]
fn h08_a_mark_must_know_which_horizon_condemned_first() {
    finds("carried not told", &Rules { tells_carried: false, ..MARKS }, MARK_BROKEN);
}

#[test]
fn h07_a_plan_that_relies_on_what_is_condemned_breaks_a_promise() {
    finds("relies on condemned", &Rules { shuns_condemned: false, ..MARKS }, HORIZON_BROKEN);
}

#[test]
fn h17_what_is_condemned_is_not_forgotten_because_a_listing_hides_it() {
    finds("condemned forgotten", &Rules { carries: false, ..MARKS_AND_PACKS }, MARK_BROKEN);
}

#[test]
fn h14_an_undo_of_one_step_breaks_a_promise() {
    finds("undo at once", &Rules { stops_before_undo: false, ..UNDOES }, HORIZON_BROKEN);
}

#[test]
fn h07_a_plan_that_takes_the_segment_of_a_pack_breaks_a_promise() {
    finds("segments first", &Rules { plans_packs_first: false, ..PACKS }, HORIZON_BROKEN);
}

#[test]
fn h07_a_row_that_is_taken_over_with_the_segment_of_a_pack_breaks_a_promise() {
    finds("taken over with the segment", &Rules { replans_packed: false, ..PACKS }, HORIZON_BROKEN);
}

/// Planning everything again is still right.
#[test]
fn h07_two_pruners_of_which_none_takes_over_keep_what_is_promised() {
    holds("two pruners, packs, nothing taken over", &Rules { takes_over: false, ..PACKS });
}

#[test]
fn h07_a_segment_that_a_sleeping_pruner_relies_on_is_replaced_by_its_pack() {
    finds("nothing in its place", &Rules { replaces_segments: false, ..PACKS }, HORIZON_BROKEN);
}
