//! Kills at the named places of following a database (hazards B1, B2).

use std::collections::BTreeMap;
use std::sync::Mutex;

use ebbtide_replica::Txid;
use ebbtide_testkit::actor::{Actor, Ask};
use ebbtide_testkit::for_each_at_once;
use ebbtide_testkit::workload::{CheckpointMode, Options};
use ebbtide_wal::PageSize;

use super::armed::{Armed, End};
use crate::deltas::objects;
use crate::scene::{Compared, Scene};
use crate::support::{Setup, wait_until};
use crate::tally::Tally;
use crate::tidy::tree::tracked;

/// Small pages make long logs cheap.
const PAGES: PageSize = PageSize::new(512).unwrap();

/// How many runs are made at once for each CPU: much of each is waiting for what another process has to do.
const RUNS_PER_CPU: usize = 2;

/// What a sidecar goes through before and while it may die.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Course {
    /// The first start of all, and then everything that following has in it.
    First,
    /// A start after a kill, when the application has restarted its log.
    Return,
    /// A start that finds more of its own history in the replica than it knew to be durable.
    Replay,
    /// A transaction that is streamed.
    Large,
    /// An application that goes and comes back.
    Rest,
    /// Hours that end, so that deltas are made.
    Hours,
    /// The first start of an encrypted replica, whose keys are put.
    Sealed,
    /// A log that grows over its limit, because a reader keeps it from being checkpointed, so that writers are stopped for an
    /// exclusive checkpoint.
    OverLimit,
}

/// Where a place is passed. One that is new is looked for in the first course, and the test fails if it is not there.
fn course(place: &str) -> Course {
    match place {
        "shipper.replay.adopted" => Course::Replay,
        _ if SEALED.iter().any(|prefix| place.starts_with(prefix)) => Course::Sealed,
        _ if place.starts_with("shipper.part.") => Course::Large,
        _ if place.starts_with("shipper.delta.") => Course::Hours,
        _ if place.starts_with("watcher.exclusive.") => Course::OverLimit,
        _ if place.starts_with("watcher.rest.") || place.starts_with("watcher.rouse.") => {
            Course::Rest
        }
        // Unlike the checkpoints on a thread of their own, this is the exclusive one.
        "watcher.checkpoint.begin" | "watcher.checkpoint.unlocked" | "watcher.checkpoint.done" => {
            Course::OverLimit
        }
        "shipper.attach.read" => Course::Return,
        _ if place.starts_with("shipper.claim.") || place.starts_with("shipper.resync.") => {
            Course::Return
        }
        _ => Course::First,
    }
}

/// The names of all places, from the source.
pub(crate) fn places() -> Vec<String> {
    let mut names = Vec::new();
    let ours = |path: &str| path.contains("/src/") && !path.starts_with("crates/fault/");
    for (_, text) in tracked(".rs").filter(|(path, _)| ours(path)) {
        let calls = text.split("point(\"").skip(1);
        names.extend(calls.filter_map(|call| Some(call.split_once("\")")?.0.to_owned())));
    }
    names.sort();
    names.dedup();
    assert!(names.len() > 50, "the calls are found: {names:?}");
    names
}

#[test]
fn b01_killed_at_any_place_of_its_first_start_and_of_following() {
    kill_everywhere(Course::First);
}

#[test]
fn b01_killed_at_any_place_of_a_return() {
    kill_everywhere(Course::Return);
}

#[test]
fn b01_killed_while_it_reads_again_what_it_had_sent() {
    kill_everywhere(Course::Replay);
}

#[test]
fn b02_killed_while_the_writers_are_stopped() {
    kill_everywhere(Course::OverLimit);
}

#[test]
fn b01_killed_while_it_goes_to_rest_or_is_roused() {
    kill_everywhere(Course::Rest);
}

#[test]
fn h26_killed_while_a_delta_is_made() {
    kill_everywhere(Course::Hours);
}

#[test]
fn b01_killed_while_a_transaction_is_streamed() {
    kill_everywhere(Course::Large);
}

#[test]
fn h37_killed_while_an_encrypted_replica_is_begun_and_its_keys_are_put() {
    kill_everywhere(Course::Sealed);
}

/// Places of commands that have tests of their own.
const ELSEWHERE: [&str; 5] = ["restore.", "copy.", "mark.", "prune.", "drill."];

/// Those that only encrypted replicas have.
const SEALED: [&str; 4] =
    ["shipper.found.keyed", "shipper.found.wrapped", "shipper.key.", "state.key."];

/// Dies at each place that the course passes, at its first passages, at one in the middle and at the last.
fn kill_everywhere(course_: Course) {
    let (end, passed, _) = run(course_, "trace", true);
    assert_eq!(end, End::Stopped);
    let places = places();
    let places =
        places.iter().filter(|place| !ELSEWHERE.iter().any(|prefix| place.starts_with(prefix)));
    let due = places.filter(|place| course(place) == course_);
    let missing: Vec<&String> = due.filter(|place| !passed.contains_key(*place)).collect();
    assert!(missing.is_empty(), "{course_:?} does not pass {missing:?}, but {passed:?}");
    // What is streamed is long, so that course is taken for its own places alone. Whether writers have to be stopped
    // is a matter of chance but where they are pressing.
    let wanted = |place: &str| match course(place) {
        of if of == course_ => true,
        Course::OverLimit | Course::Sealed => false,
        _ if course_ == Course::Sealed => place.starts_with("shipper.found."),
        _ => {
            use Course::{Hours, Large, OverLimit, Rest};
            !matches!(course_, Large | OverLimit | Rest | Hours)
        }
    };
    let passed = passed.iter().filter(|(place, _)| wanted(place));
    let orders: Vec<_> = passed.flat_map(|(place, passages)| orders(place, *passages)).collect();
    let tally = Mutex::new(Tally::new("kill-place"));
    for_each_at_once(orders.into_iter(), RUNS_PER_CPU, |(order, passage)| {
        let (end, _, compared) = run(course_, &order, passage % 2 == 1);
        // How often a place is passed depends on who is faster, but not whether it is.
        assert!(end == End::Died || passage > 1, "{order}: it did not die");
        tally.lock().unwrap().add(u64::from(end == End::Died), &compared);
    });
    tally.into_inner().unwrap().print();
}

fn orders(place: &str, passages: u64) -> Vec<(String, u64)> {
    let mut some = vec![1, 2, passages / 2 + 1, passages];
    some.retain(|passage| *passage <= passages);
    some.sort_unstable();
    some.dedup();
    some.into_iter().map(|passage| (format!("{place}={passage}"), passage)).collect()
}

/// Goes through the course with this order, and then brings the replica to its end and looks at it.
fn run(course: Course, order: &str, ends_log: bool) -> (End, BTreeMap<String, u64>, Compared) {
    let mut scene = match course {
        Course::Sealed => Scene::of(Setup::in_memory().sealed()),
        _ => Scene::new(),
    };
    let mut actor = scene.start_actor(1, &Options::plain(PAGES));
    scene.act(&mut actor, Ask::InsertEach(5, 200));
    prepare(course, &mut scene, &mut actor);
    let mut armed = match course {
        Course::Hours => Armed::start_with_hours(&scene, order, 600),
        _ => Armed::start(&scene, order),
    };
    if let Some(last) = armed.follows() {
        actor = match course {
            Course::Rest => go_and_come_back(&mut scene, actor, &mut armed, last),
            _ => {
                go(course, &mut scene, &mut actor, &mut armed, last);
                actor
            }
        };
    }
    let (end, passed) = armed.end();
    let what = format!("{course:?} with {order}");
    let (before, known) = (scene.history().entries(), scene.acknowledged());
    scene.act(&mut actor, Ask::InsertEach(3, 200));
    if ends_log {
        scene.act(&mut actor, Ask::Checkpoint(CheckpointMode::Truncate));
        scene.act(&mut actor, Ask::InsertEach(2, 200));
    }
    let sidecar = scene.follow();
    scene.act(&mut actor, Ask::InsertEach(2, 200));
    assert_eq!(sidecar.stop(), 0, "{what}");
    actor.finish().unwrap();
    let mut compared = scene.compare();
    compared.compare_kept(&before, known.as_ref(), &scene.history().entries());
    compared.assert_right(&what);
    (end, passed, compared)
}

/// What comes before the start that may die.
fn prepare(course: Course, scene: &mut Scene, actor: &mut Actor) {
    match course {
        Course::First
        | Course::Large
        | Course::OverLimit
        | Course::Rest
        | Course::Hours
        | Course::Sealed => {}
        Course::Return => {
            let sidecar = scene.follow();
            scene.act(actor, Ask::InsertEach(5, 200));
            // Behind the claim and the first state. What is not acknowledged yet would lead down another way.
            wait_until("all to be acknowledged", || {
                scene.acknowledged().is_some_and(|known| known.state.txid().get() >= 7)
            });
            sidecar.kill();
            scene.act(actor, Ask::InsertEach(3, 200));
            scene.act(actor, Ask::Checkpoint(CheckpointMode::Truncate));
            scene.act(actor, Ask::InsertEach(3, 200));
        }
        Course::Replay => {
            let mut armed = Armed::start(scene, "shipper.segment.landed=3");
            armed.follows();
            wait_until("a confirmation that is lost", || {
                scene.act(actor, Ask::InsertEach(1, 200));
                armed.is_dead()
            });
            assert_eq!(armed.end().0, End::Died);
        }
    }
}

/// What the application does while it is followed: small commits, a log that is long enough for a checkpoint, one that
/// is long enough for an exclusive checkpoint, and restarts of the log.
fn go(course: Course, scene: &mut Scene, actor: &mut Actor, armed: &mut Armed, last: Txid) {
    let asks: &[Ask] = match course {
        Course::Large => &[Ask::Insert(300, 120_000), Ask::InsertEach(2, 200)],
        Course::OverLimit => &[
            Ask::InsertEach(5, 200),
            Ask::OpenReader,
            Ask::Insert(500, 800),
            Ask::Insert(500, 800),
            Ask::InsertEach(3, 200),
            Ask::CloseReader,
            Ask::InsertEach(300, 200),
        ],
        Course::Hours => &[Ask::InsertEach(20, 200)],
        Course::Sealed => {
            &[Ask::InsertEach(3, 200), Ask::Insert(300, 800), Ask::InsertEach(3, 200)]
        }
        _ => &[
            Ask::InsertEach(3, 200),
            Ask::Insert(1500, 800),
            Ask::InsertEach(3, 200),
            Ask::Rollback(5, 200),
            Ask::Insert(5000, 800),
            Ask::InsertEach(3, 200),
        ],
    };
    let mut expected = last.get();
    if course == Course::Hours {
        expected += scene.act(actor, Ask::Insert(3000, 800));
        wait_until("two deltas", || {
            expected += scene.act(actor, Ask::InsertEach(2, 200));
            armed.is_dead() || objects(scene, "delta").len() >= 2
        });
    }
    for ask in asks {
        if armed.is_dead() {
            return;
        }
        expected += scene.act(actor, *ask);
        settle(course, scene, armed, expected);
    }
}

/// The application closes the database, until nothing of the sidecar's is open either, and opens it again.
fn go_and_come_back(scene: &mut Scene, mut actor: Actor, armed: &mut Armed, last: Txid) -> Actor {
    let mut expected = last.get();
    for _ in 0..2 {
        expected += scene.act(&mut actor, Ask::InsertEach(3, 200));
        actor.finish().unwrap();
        wait_until("the sidecar to rest", || armed.is_dead() || !armed.has_log_open(scene));
        actor = scene.start_actor(1, &Options::plain(PAGES));
        expected += scene.act(&mut actor, Ask::InsertEach(3, 200));
        settle(Course::Rest, scene, armed, expected);
    }
    actor
}

/// Waits until everything is durable and a long log is copied back, as far as a reader lets it, or the sidecar has died.
fn settle(course: Course, scene: &Scene, armed: &mut Armed, expected: u64) {
    let replica = scene.history();
    wait_until("the sidecar to catch up", || {
        let durable = || replica.head().is_some_and(|head| head.get() >= expected);
        let copied = || {
            scene.index().is_some_and(|index| match course {
                Course::OverLimit => index.frames < 100 || index.backfilled > 0,
                _ => index.frames < 1000 || index.is_backfilled(),
            })
        };
        armed.is_dead() || (durable() && copied())
    });
}
