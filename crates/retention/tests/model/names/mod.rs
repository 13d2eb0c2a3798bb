//! Names that are freed: sessions that put, packs, and pruners that delete beside them.
//!
//! Every segment has one entry. What an entry is made of is told by the session that encoded it, so two bodies are the
//! same if their authors and the entries before them are. The *history* is what a reader that was always there would
//! have: a segment that landed at its end and continues it.
//!
//! A day is as long as the grace, and as long as a listing may lag behind: what is of today may be missing in it, what
//! is older is shown. Nothing else has a time, so everybody may sleep between any two steps for as long as it takes.
//!
//! Left out: more than one entry a segment; a listing that still shows what is gone (who reads it finds nothing); a
//! reader that sleeps for a day between its listing and its reading while a void segment of the same length takes the
//! place of the one that was listed.

mod packer;
mod pruner;
mod session;
mod world;

use ebbtide_testkit::search::{Next, Searched, search_and_tell};

pub(crate) use world::{Rules, World};

/// All rules, and nothing that they need not stand: the configurations below take one away or add one.
const RULES: Rules = Rules {
    names: 4,
    starts: 2,
    spools: false,
    clones: false,
    dies: false,
    sleepers: true,
    lags: false,
    condemns: false,
    fences: true,
    looks_behind: true,
    looks_at_horizon: true,
    counts_adopted_late: true,
    one_body: true,
    one_spooled_body: true,
    keeps_newest: true,
    ages: true,
    packs_what_links: true,
    prefers_packs: true,
    keeps_unjudged: true,
};

fn check(what: &str, rules: &Rules) -> Searched {
    let steps = |world: &World, next: &mut Vec<Next<World>>| {
        if world.wrong.is_none() {
            session::steps(world, rules, next);
            packer::steps(world, rules, next);
            pruner::steps(world, rules, next);
            world::surroundings(world, rules, next);
        }
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

const FALSE_DURABLE: &str = "counts as durable what is not in the history";

const TAKES_VOID: &str = "a reader takes a void segment for history";

#[test]
fn sleeping_writers_and_starters_never_count_a_freed_name() {
    holds("two sessions", &Rules { lags: true, dies: true, ..RULES });
}

#[test]
fn a_session_after_another_never_counts_a_freed_name() {
    holds("three sessions", &Rules { starts: 3, sleepers: false, ..RULES });
}

#[test]
fn a_horizon_frees_nothing_that_somebody_may_still_put() {
    let rules = Rules { condemns: true, lags: true, sleepers: false, ..RULES };
    holds("two sessions and horizons", &rules);
}

/// Copies of a machine's disk, which send the same spool.
const SPOOLS: Rules = Rules { spools: true, clones: true, sleepers: false, ..RULES };

#[test]
fn h03_copies_of_a_spool_are_one_history_or_one_of_them_is_void() {
    holds("spools", &Rules { dies: true, lags: true, ..SPOOLS });
    holds("spools, three sessions", &Rules { starts: 3, ..SPOOLS });
}

#[test]
fn h01_without_fences_a_writer_that_wakes_counts_a_freed_name() {
    finds("no fences", &Rules { fences: false, ..RULES }, FALSE_DURABLE);
}

#[test]
fn h02_without_the_look_behind_a_starter_that_wakes_counts_a_freed_name() {
    finds("no look behind", &Rules { looks_behind: false, ..RULES }, FALSE_DURABLE);
}

/// With a listing that lags, the look sees the horizon if it does not see the log.
#[test]
fn h17_a_look_behind_at_a_listing_that_lags_asks_the_horizon_too() {
    let rules = Rules { condemns: true, lags: true, looks_at_horizon: false, ..RULES };
    finds("no look at the horizon", &rules, FALSE_DURABLE);
}

#[test]
fn h17_without_a_grace_a_look_behind_misses_what_a_listing_does_not_show_yet() {
    finds("no grace", &Rules { ages: false, lags: true, ..RULES }, FALSE_DURABLE);
}

/// An earlier request of a machine's own arrives under a name that was freed, while its next start sleeps between the
/// listing and the head.
#[test]
fn h04_what_a_start_finds_of_its_own_counts_only_after_the_look_behind() {
    let rules = Rules { starts: 3, dies: true, clones: true, sleepers: false, ..RULES };
    finds("adopts early", &Rules { counts_adopted_late: false, ..rules }, FALSE_DURABLE);
}

#[test]
fn a_session_that_encodes_a_name_twice_counts_a_freed_name() {
    finds("two bodies", &Rules { one_body: false, ..RULES }, FALSE_DURABLE);
}

#[test]
fn a_session_that_encodes_a_spooled_name_twice_counts_a_freed_name() {
    finds("two bodies, one spooled", &Rules { one_spooled_body: false, ..SPOOLS }, FALSE_DURABLE);
}

/// The look at the horizon would void every claim then, so that nobody could ever start again.
#[test]
fn without_its_newest_segment_the_log_has_another_head() {
    let rules = Rules { condemns: true, keeps_newest: false, looks_at_horizon: false, ..RULES };
    finds("newest deleted", &rules, FALSE_DURABLE);
}

#[test]
fn h05_a_packer_that_does_not_read_on_packs_a_void_segment() {
    let rules = Rules { packs_what_links: false, ..RULES };
    finds("packs without a look at the next", &rules, "a pack has what is not in the history");
}

#[test]
fn h05_a_reader_that_takes_segments_before_packs_takes_a_void_one() {
    finds("segments first", &Rules { prefers_packs: false, ..RULES }, TAKES_VOID);
}

#[test]
fn a_claim_below_the_horizon_that_no_pack_judges_is_a_fence() {
    let rules = Rules { condemns: true, keeps_unjudged: false, ..RULES };
    finds("unjudged claims deleted", &rules, FALSE_DURABLE);
}
