//! A model checker for the protocol of the watcher: checks every reachable state.
//!
//! The model has an application with up to two writers and two checkpointers (one PASSIVE, one that uses TRUNCATE),
//! each taken apart at every point where SQLite lets others in; recovery; writers that are killed, also in the midst of
//! publishing; power that fails and takes unsynced frames with it; and the sidecar, whose steps are those of
//! `Follower`, with its own passive, exclusive and truncating checkpoints, killed and started again at any point. What holds in
//! every state:
//!
//! - a committed transaction that was not captured is in the log, at every step of the sidecar;
//! - every captured transaction was committed, and transactions are captured in the order of the commits;
//! - the log never contradicts the wal-index while it is held, or while a start has the restart lock;
//! - an image of the database has the pages of its position, wherever each is read from, and so has a transaction whose
//!   pages are read again after they were proved;
//! - a start resumes only where the history behind it is that of the replica;
//! - the database has not lost a committed transaction;
//! - what an operator moves or copies into the database's place while nobody has it open gets neither a log nor a
//!   wal-index that was the other file's, and its commits are not taken for that file's.
//!
//! The last is what the WAL-reset bug of SQLite before 3.51.3 breaks: a checkpointer that has read the wal-index before
//! a restart of the log marks frames as copied that it has never seen. The model finds it in an application alone, and
//! beside a sidecar that hands its hold over without *checkpoint-lock-first*; with *checkpoint-lock-first*, or with the
//! checkpoint lock kept, it is gone.
//!
//! The rules of `policy::decide` are left out but for those that safety needs: the model may perform each action at any
//! time.
//!
//! What the model leaves out: torn frames (the checksum chain finds them), more than one page a transaction, shared
//! read marks, rollbacks (frames that are overwritten before anything names them), and everything that depends on time.

mod application;
mod sidecar;
mod world;

use ebbtide_testkit::search::{Next, Searched, search_and_tell};
use world::{Follows, Rules, World};

const ALONE: Follows = Follows {
    runs: false,
    kills: false,
    checkpoint_lock_first: true,
    keeps_lock: true,
    checkpoints: true,
    aside: false,
    doubts_lock: true,
    takes_restart_lock: true,
    notices_missed: true,
    policy: true,
    images: false,
    reads_twice: false,
    rests: false,
    empties: true,
    closes: true,
    looks_at_file: true,
    takes_backfill_lock: true,
    looks_again: true,
};

const FOLLOWED: Follows = Follows { runs: true, ..ALONE };

const PASSIVE: &[bool] = &[false];
const BOTH: &[bool] = &[false, true];
const TRUNCATES: &[bool] = &[true];

const RULES: Rules = Rules {
    tries: 3,
    writers: 2,
    checkpointers: BOTH,
    patched: true,
    kills: false,
    power_loss: false,
    sidecar: FOLLOWED,
};

fn check(what: &str, rules: &Rules) -> Searched {
    let steps = |world: &World, next: &mut Vec<Next<World>>| {
        if world.is_beyond(rules) {
            return;
        }
        application::steps(world, rules, next);
        application::ends(world, rules, next);
        sidecar::steps(world, rules, next);
        sidecar::surroundings(world, rules, next);
        // Two writers are alike.
        next.iter_mut().for_each(|(.., world)| alike(world));
    };
    search_and_tell(what, World::new(), steps, |world| world.wrong(rules))
}

/// Makes states the same that differ only in which writer does what: an idle one comes last.
fn alike(world: &mut World) {
    use world::Owner;
    let [one, two] = world.writers;
    if one < two {
        world.writers = [two, one];
        world.write = match world.write {
            Owner::Writer(number) => Owner::Writer(1 - number),
            other => other,
        };
    }
}

#[track_caller]
fn holds(what: &str, rules: &Rules) {
    check(what, rules).holds(what);
}

#[track_caller]
fn finds(what: &str, rules: &Rules, expected: &str) {
    check(what, rules).finds(what, expected);
}

const NEITHER: &[bool] = &[];

/// A sidecar without checkpoints of its own.
const HANDS_OVER: Follows = Follows { checkpoints: false, ..FOLLOWED };

#[test]
fn two_writers_and_their_checkpoints_never_get_past_a_hold() {
    holds(
        "two writers, a passive checkpointer",
        &Rules { checkpointers: PASSIVE, sidecar: HANDS_OVER, ..RULES },
    );
}

#[test]
fn a_checkpointer_that_truncates_never_gets_past_a_hold() {
    holds(
        "a writer, a passive and a truncating checkpointer",
        &Rules { writers: 1, sidecar: HANDS_OVER, ..RULES },
    );
}

#[test]
fn checkpoints_of_our_own_of_every_kind_miss_nothing() {
    holds(
        "a writer, a passive checkpointer, all that the sidecar does",
        &Rules { writers: 1, checkpointers: PASSIVE, ..RULES },
    );
}

const DIES: Rules =
    Rules { writers: 1, checkpointers: PASSIVE, kills: true, power_loss: true, ..RULES };

#[test]
fn kills_recovery_and_starts_leave_an_exact_history() {
    let kills = Follows { kills: true, ..HANDS_OVER };
    let rules = Rules { tries: 2, power_loss: false, sidecar: kills, ..DIES };
    holds("everybody may die", &rules);
}

#[test]
fn power_loss_and_starts_leave_an_exact_history() {
    let kills = Follows { kills: true, ..HANDS_OVER };
    let rules = Rules { tries: 2, kills: false, sidecar: kills, ..DIES };
    holds("the sidecar may die, and the power fail", &rules);
}

#[test]
fn a_sidecar_that_dies_in_any_checkpoint_leaves_an_exact_history() {
    let kills = Follows { kills: true, ..FOLLOWED };
    let rules = Rules {
        tries: 2,
        checkpointers: NEITHER,
        kills: false,
        power_loss: false,
        sidecar: kills,
        ..DIES
    };
    holds("the sidecar may die, all that it does", &rules);
}

/// Another process was stopped within a restart, with exclusive locks on the read marks.
#[test]
fn a_start_without_the_restart_lock_notices_what_it_has_missed() {
    let unguarded = Follows { kills: true, takes_restart_lock: false, ..HANDS_OVER };
    let rules = Rules { tries: 2, power_loss: false, sidecar: unguarded, ..DIES };
    holds("everybody may die, no restart lock", &rules);
}

/// The model found this in the sidecar: a start that resumes has not read all frames from before its hold, so the log
/// may be restarted before it has.
#[test]
fn a_start_that_does_not_look_whether_it_has_read_everything_misses_commits() {
    let careless =
        Follows { kills: true, takes_restart_lock: false, notices_missed: false, ..HANDS_OVER };
    finds(
        "a careless start",
        &Rules { sidecar: careless, ..DIES },
        "neither captured nor in the log",
    );
}

/// An application whose SQLite has the WAL-reset bug.
const UNPATCHED: Rules =
    Rules { tries: 4, writers: 1, checkpointers: PASSIVE, patched: false, ..RULES };

#[test]
fn an_unpatched_application_alone_loses_commits() {
    finds("unpatched, alone", &Rules { sidecar: ALONE, ..UNPATCHED }, "has lost");
}

#[test]
fn an_unpatched_application_loses_commits_beside_a_hold_that_is_handed_on_too_soon() {
    let naive = Follows { checkpoint_lock_first: false, keeps_lock: false, ..HANDS_OVER };
    finds(
        "unpatched, without checkpoint-lock-first",
        &Rules { sidecar: naive, ..UNPATCHED },
        "has lost",
    );
}

#[test]
fn an_unpatched_application_keeps_its_commits_with_checkpoint_lock_first() {
    let checkpoint_lock_first = Follows { keeps_lock: false, ..HANDS_OVER };
    holds(
        "unpatched, with checkpoint-lock-first",
        &Rules { sidecar: checkpoint_lock_first, ..UNPATCHED },
    );
}

#[test]
fn an_unpatched_application_keeps_its_commits_beside_a_sidecar_that_keeps_the_checkpoint_lock() {
    holds("unpatched, with the lock", &Rules { sidecar: HANDS_OVER, ..UNPATCHED });
}

#[test]
fn a_checkpoint_on_another_thread_while_we_capture_misses_nothing() {
    let aside = Follows { aside: true, ..FOLLOWED };
    holds("unpatched, checkpoints on another thread", &Rules { sidecar: aside, ..UNPATCHED });
}

/// The task that captures does not know when the checkpoint on the other thread has dropped the checkpoint lock, so it
/// must take the lock for lost until the checkpoint has ended.
#[test]
fn a_checkpoint_on_another_thread_that_is_trusted_with_the_lock_breaks_checkpoint_lock_first() {
    let trusting = Follows { aside: true, doubts_lock: false, policy: false, ..FOLLOWED };
    finds("unpatched, trusting", &Rules { sidecar: trusting, ..UNPATCHED }, "has lost");
}

/// Images at a start that cannot resume, and whenever the sidecar likes.
const READS_IMAGES: Follows = Follows { images: true, ..HANDS_OVER };

#[test]
fn an_image_is_that_of_its_position() {
    let rules = Rules { writers: 1, checkpointers: PASSIVE, sidecar: READS_IMAGES, ..RULES };
    holds("images, a writer, a passive checkpointer", &rules);
}

#[test]
fn an_image_is_that_of_its_position_beside_checkpoints_of_our_own_of_every_kind() {
    let all = Follows { images: true, ..FOLLOWED };
    let rules = Rules { writers: 1, checkpointers: NEITHER, sidecar: all, ..RULES };
    holds("images, all that the sidecar does", &rules);
}

/// The watcher once had this fault: if an image reads the database file alone, the application may restart the log
/// while the image is read.
#[test]
fn an_image_that_does_not_look_at_the_log_again_has_pages_of_another_generation() {
    let trusting = Follows { looks_again: false, ..READS_IMAGES };
    let rules = Rules { writers: 1, checkpointers: PASSIVE, sidecar: trusting, ..RULES };
    finds("images, trusting", &rules, "not of its position");
}

/// A start without the restart lock that finds transactions which do not fit into memory.
const READS_TWICE: Follows =
    Follows { kills: true, takes_restart_lock: false, reads_twice: true, ..HANDS_OVER };

#[test]
fn a_large_transaction_is_captured_with_its_own_pages() {
    let rules = Rules { tries: 2, power_loss: false, sidecar: READS_TWICE, ..DIES };
    holds("everybody may die, large transactions, no restart lock", &rules);
}

#[test]
fn a_large_transaction_that_is_read_again_without_a_look_at_the_log_has_pages_of_another() {
    let trusting = Follows { looks_again: false, ..READS_TWICE };
    let rules = Rules { kills: false, power_loss: false, sidecar: trusting, ..DIES };
    finds("large transactions, trusting", &rules, "pages of another");
}

/// The application comes and goes, its file is replaced while it is away, and the sidecar rests meanwhile.
const RESTS: Follows = Follows { rests: true, ..FOLLOWED };

const COMES_AND_GOES: Rules = Rules {
    tries: 3,
    writers: 1,
    checkpointers: PASSIVE,
    kills: false,
    power_loss: false,
    sidecar: RESTS,
    ..RULES
};

#[test]
fn an_application_that_comes_and_goes_is_followed_and_another_file_is_noticed() {
    holds("rest, a writer, a passive checkpointer", &Rules { tries: 2, ..COMES_AND_GOES });
    let hands_over = Follows { checkpoints: false, ..RESTS };
    let truncates =
        Rules { tries: 1, checkpointers: TRUNCATES, sidecar: hands_over, ..COMES_AND_GOES };
    holds("rest, a writer, a truncating checkpointer", &truncates);
    let dies = Follows { kills: true, ..hands_over };
    holds("rest, the sidecar may die", &Rules { tries: 1, sidecar: dies, ..COMES_AND_GOES });
}

/// A sidecar that keeps the log during a rest: SQLite recovers the log into the file that is moved into place.
#[test]
fn a_rest_with_a_log_that_is_not_empty_has_it_played_over_another_file() {
    let hoards = Follows { empties: false, ..RESTS };
    finds("a hoarder", &Rules { sidecar: hoards, ..COMES_AND_GOES }, "played over another file");
}

#[test]
fn a_rest_with_an_open_connection_keeps_the_wal_index_of_another_file() {
    let stays = Follows { closes: false, ..RESTS };
    finds("one that stays", &Rules { sidecar: stays, ..COMES_AND_GOES }, "was alive");
}

#[test]
fn a_rest_after_which_nobody_looks_at_the_file_takes_commits_of_another_file() {
    let careless = Follows { looks_at_file: false, ..RESTS };
    let rules = Rules { sidecar: careless, ..COMES_AND_GOES };
    finds("careless at the end of a rest", &rules, "another file was captured");
}

#[test]
fn a_rest_in_which_the_log_may_be_checkpointed_and_restarted_misses_commits() {
    let unguarded = Follows { takes_backfill_lock: false, ..RESTS };
    let rules = Rules { sidecar: unguarded, ..COMES_AND_GOES };
    finds("a rest without the backfill lock", &rules, "neither captured nor in the log");
}
