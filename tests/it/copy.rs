//! A second replica. Would catch a copy that lacks commits, one that cannot be restored because it was interrupted, and
//! one that hides that the original is damaged.

use std::fs;
use std::ops::RangeInclusive;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use ebbtide_catalog::{Progress, Target};
use ebbtide_copy::{Options, copy, copy_since};
use ebbtide_fault::DIED;
use ebbtide_replica::{Key, Timestamp};
use ebbtide_restore::{Options as Restore, restore, verify};
use ebbtide_store::{DirectoryStore, Store};
use ebbtide_testkit::builder::{Builder, txid};
use ebbtide_testkit::horizons::{Says, put_horizon};
use ebbtide_testkit::s3_server::{Asked, Fault, S3Server};

use crate::support::{Ended, History, Setup};
use crate::tidy::tree::tracked;

/// A setup with a history of several starts: segments of one commit and of many, a snapshot, claims.
fn setup() -> Setup {
    let setup = Setup::new();
    let app = setup.app();
    for starts in 0..4 {
        let sidecar = setup.follow();
        for _ in 0..3 {
            app.insert(1 + starts, 900);
            setup.sync();
        }
        assert_eq!(sidecar.stop(), 0);
    }
    setup
}

fn copy_by(setup: &Setup, more: &[&str]) -> Ended {
    let args = ["copy", "--json", &setup.replica, &setup.text("copy")];
    setup.run(&[&args[..], more].concat())
}

fn remove_copy(setup: &Setup) {
    if setup.path("copy").exists() {
        fs::remove_dir_all(setup.path("copy")).unwrap();
    }
}

/// Both have the same entries, and each state of the copy is the original's.
fn assert_same(setup: &Setup) {
    let (original, copied) = (setup.history(), History::open(&setup.text("copy")));
    let directory = setup.directory.path();
    assert_eq!(copied.states(directory), original.states(directory));
}

fn objects(setup: &Setup, replica: &str) -> Vec<PathBuf> {
    let directories = fs::read_dir(setup.path(replica)).unwrap();
    let directories = directories.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    let files = directories.flat_map(|directory| fs::read_dir(directory).unwrap());
    let mut files: Vec<_> = files.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn a_copy_has_every_state_and_the_next_one_brings_what_was_added() {
    let setup = setup();
    let first = copy_by(&setup, &["--verify"]).exits(0).json();
    let count = objects(&setup, "backup").len();
    assert_eq!(first["copied"]["objects"], count, "{first}");
    assert_same(&setup);
    let again = copy_by(&setup, &[]).exits(0).json();
    assert_eq!(
        (&again["copied"]["objects"], &again["copied"]["present"]),
        (&0.into(), &count.into())
    );
    setup.app().insert(5, 900);
    setup.once().exits(0);
    let more = copy_by(&setup, &[]).exits(0).json();
    assert!(more["copied"]["objects"].as_u64().unwrap() >= 1, "{more}");
    assert_same(&setup);
}

#[test]
fn a_copy_goes_into_a_bucket_and_out_of_it() {
    let server = S3Server::start();
    let setup = setup().in_bucket(&server);
    setup.run(&["copy", &setup.text("backup"), &setup.replica]).exits(0);
    copy_by(&setup, &["--verify"]).exits(0);
    assert_same(&setup);
}

/// Would catch a copy that ends because a bucket refuses a put now and then, or that asks again without a pause.
#[test]
fn a_put_that_the_target_refuses_for_a_while_is_tried_again() {
    let server = S3Server::start();
    let setup = setup().in_bucket(&server);
    let mut refused = 0;
    let (told, asked) = mpsc::channel();
    server.script(move |asked: &Asked| {
        if asked.operation() != "PutObject" || !asked.path.contains("/log/") || refused >= 3 {
            return None;
        }
        refused += 1;
        told.send(Instant::now()).unwrap();
        Some(Fault::Refused(503, "SlowDown"))
    });
    setup.run(&["copy", &setup.text("backup"), &setup.replica]).exits(0);
    let times: Vec<Instant> = asked.try_iter().collect();
    assert_eq!(times.len(), 3);
    // A throttled pause has a least length: 200 ms after the first refusal.
    assert!(times[1] - times[0] >= Duration::from_millis(200), "{times:?}");
    copy_by(&setup, &[]).exits(0);
    assert_same(&setup);
}

/// Would catch an order of puts in which a kill leaves an entry without what it needs.
#[test]
fn a_copy_that_is_killed_is_a_replica_and_goes_on() {
    let setup = setup();
    let original = setup.history().states(setup.directory.path());
    let sources = tracked(".rs").filter(|(path, _)| path.starts_with("crates/copy/src/"));
    let places = sources.flat_map(|(_, text)| {
        let calls = text.split("point(\"").skip(1).map(|call| call.split('"').next().unwrap());
        calls.map(str::to_owned).collect::<Vec<_>>()
    });
    let mut deaths = 0;
    for place in places {
        for passage in 1.. {
            if !dies(&setup, &format!("{place}={passage}")) {
                break;
            }
            deaths += 1;
            // Until the first snapshot is there, there is nothing to restore.
            let out = setup.text("out.db");
            let restored = setup.run(&["restore", "--force", "-o", &out, &setup.text("copy")]);
            assert!([0, 3].contains(&restored.code()), "{place} {passage}: {}", restored.said);
            if restored.code() == 0 {
                let copied = History::open(&setup.text("copy")).states(setup.directory.path());
                assert_eq!(copied[..], original[..copied.len()], "{place} {passage}");
            }
            copy_by(&setup, &[]).exits(0);
            assert_same(&setup);
        }
    }
    assert!(deaths > 20, "it died {deaths} times");
}

/// Copies a thinned history with two marks; would catch a horizon that promises what is not there yet.
#[test]
fn h25_horizons_and_marks_are_copied_after_what_they_promise() {
    let (setup, builder) = crate::thinned::setup();
    for number in [5, 11] {
        let txid = format!("{number:x}");
        let name = format!("mark {number}");
        setup.run(&["mark", "--txid", &txid, &name, &setup.replica]).exits(0);
    }
    let restores = |args: &[&str]| {
        let (out, target) = (setup.text("out.db"), setup.text("copy"));
        let ended = setup.run(&[&["restore", "--force", "-o", &out, &target], args].concat());
        (ended.code() == 0).then(|| fs::read(out).unwrap())
    };
    let is_promised = || fs::read_dir(setup.path("copy/horizon")).is_ok_and(|it| it.count() > 0);
    for passage in 1.. {
        let is_over = !dies(&setup, &format!("copy.object.done={passage}"));
        for number in [5, 9, 10, 12] {
            let restored = restores(&["--txid", &format!("{number:x}")]);
            assert!(restored.is_some() || !is_promised(), "{number} after {passage}");
            let sound = restored.is_none_or(|image| image == builder.state(number).image());
            assert!(sound, "{number} after {passage}");
        }
        if is_over {
            break;
        }
    }
    assert!(is_promised());
    for number in [5, 11] {
        let restored = restores(&["--mark", &format!("mark {number}")]);
        assert_eq!(restored.unwrap(), builder.state(number).image());
    }
    let again = copy_by(&setup, &[]).exits(0).json();
    assert_eq!(again["copied"]["objects"], 0, "{again}");
    // Somebody prunes the copy by a policy of another place.
    let horizon = setup.path("copy/horizon/0000000000000001.seg");
    let mut other = fs::read(&horizon).unwrap();
    fs::remove_file(&horizon).unwrap();
    other.push(0);
    fs::write(&horizon, other).unwrap();
    copy_by(&setup, &[]).exits(4).says("horizon/0000000000000001.seg");
}

/// Would catch a copy that lacks a state from then on, one that claims to have what was left out, and one that cannot go on.
#[test]
fn a_copy_since_a_state_has_every_state_from_there_on_and_says_what_it_has() {
    for (since, begins, has) in [
        ("txid:2", 5, &[5, 9, 10, 11, 12][..]),
        ("txid:7", 5, &[5, 9, 10, 11, 12]),
        ("txid:9", 9, &[9, 10, 11, 12]),
        ("txid:b", 10, &[10, 11, 12]),
    ] {
        let (setup, builder) = crate::thinned::setup();
        for _ in 0..2 {
            let copied = copy_by(&setup, &["--since", since, "--verify"]).exits(0).json();
            assert_eq!(copied["first_txid"], format!("{begins:016x}"), "{since}: {copied}");
        }
        for number in 2..=12 {
            let (out, txid) = (setup.text("out.db"), format!("{number:x}"));
            let args = ["restore", "--force", "-o", &out, "--txid", &txid, &setup.text("copy")];
            let restored = setup.run(&args);
            if has.contains(&number) {
                let restored = restored.exits(0);
                assert!(fs::read(&out).unwrap() == builder.state(number).image(), "{restored:?}");
            } else {
                restored.exits(3);
            }
        }
    }
    // What is added later comes with the next one.
    let setup = setup();
    let since = ["--since", "txid:3"];
    copy_by(&setup, &since).exits(0);
    setup.app().insert(2, 900);
    setup.once().exits(0);
    let again = copy_by(&setup, &since).exits(0).json();
    assert!(again["copied"]["objects"].as_u64() >= Some(1), "{again}");
    let restored = |replica: &str| {
        let out = setup.text("out.db");
        setup.run(&["restore", "--force", "-o", &out, replica]).exits(0);
        fs::read(out).unwrap()
    };
    assert!(restored(&setup.text("copy")) == restored(&setup.replica));
    let refused = setup.run(&["copy", "--since", "txid:ffff", &setup.replica, &setup.text("late")]);
    refused.exits(3).says("the newest is");
}

/// Copies from the beginning, with an order for a failpoint. Whether it died there.
fn dies(setup: &Setup, order: &str) -> bool {
    remove_copy(setup);
    let mut command = setup.command(&["copy", &setup.replica, &setup.text("copy")]);
    command.env("FAILPOINTS", order);
    let ended = Ended::of(&mut command);
    if !ended.said.contains(DIED) {
        ended.exits(0);
        return false;
    }
    assert!(ended.status.signal().is_some(), "{}", ended.said);
    true
}

#[test]
fn what_is_damaged_at_the_source_is_named_and_not_copied() {
    let setup = setup();
    let names = objects(&setup, "backup");
    for name in &names {
        remove_copy(&setup);
        let sound = fs::read(name).unwrap();
        let mut damaged = sound.clone();
        // In the first block, or in the index.
        let at = damaged.len() / 3;
        damaged[at] ^= 1;
        fs::write(name, &damaged).unwrap();
        let ended = copy_by(&setup, &[]).exits(4);
        let key = name.strip_prefix(setup.path("backup")).unwrap();
        ended.says(key.to_str().unwrap());
        assert!(!setup.path("copy").join(key).exists(), "{}", key.display());
        assert_eq!(objects(&setup, "copy").len(), names.len() - 1);
        fs::write(name, &sound).unwrap();
    }
    copy_by(&setup, &[]).exits(0);
    assert_same(&setup);
}

#[test]
fn a_copy_overwrites_nothing() {
    let setup = setup();
    setup.run(&["copy", &setup.text("nothing"), &setup.text("copy")]).exits(3);
    setup.run(&["copy", &setup.replica, &setup.replica]).exits(2).says("both source and target");
    copy_by(&setup, &[]).exits(0);
    let last = objects(&setup, "copy").pop().unwrap();
    let shorter = fs::read(&last).unwrap()[1..].to_vec();
    fs::write(&last, &shorter).unwrap();
    copy_by(&setup, &[]).exits(4).says("one of them is damaged");
    assert_eq!(fs::read(&last).unwrap(), shorter);
    let other = Setup::with_rows(3).0;
    other.once().exits(0);
    let into = ["copy", &other.replica, &setup.text("copy")];
    other.run(&into).exits(5).says("a place of its own");
}

/// The way to another provider. Would catch a new place in which all pages are sent again, or another writer is seen.
#[test]
fn a_database_goes_on_in_the_copy() {
    let setup = setup();
    copy_by(&setup, &[]).exits(0);
    let before = setup.history().entries().len();
    setup.app().insert(1, 900);
    let moved = setup.called("app.db", "copy");
    moved.once().exits(0);
    let entries = moved.history().entries();
    let added: Vec<&str> = entries[before..].iter().map(|entry| entry.kind.name()).collect();
    assert_eq!(added.first(), Some(&"claim"), "{added:?}");
    moved.assert_exact();
}

/// A history of so many entries from `begin` on, with snapshots at some of them.
async fn history(builder: &mut Builder, entries: RangeInclusive<u64>, snapshots: &[u64]) {
    for number in entries {
        builder.commit(&[(0, number)], 2);
        builder.cut().await;
        if snapshots.contains(&number) {
            builder.snapshot().await;
        }
    }
}

async fn assert_restores(
    store: &(impl Store + Clone + 'static),
    builder: &Builder,
    numbers: &[u64],
) {
    let shared: Arc<dyn Store> = Arc::new(store.clone());
    let verified = verify(Arc::clone(&shared), &Arc::default()).await.unwrap();
    assert_eq!(verified.findings, []);
    for &number in numbers {
        let directory = tempfile::tempdir().unwrap();
        let output = directory.path().join("out.db");
        let target = Target::Txid(txid(number));
        let options = Restore::new(target, output.clone(), Timestamp::MAX);
        restore(Arc::clone(&shared), &options, &Arc::default()).await.unwrap();
        assert!(fs::read(output).unwrap() == builder.state(number).image(), "{number}");
    }
}

/// Would catch a copy from a monthly job that says it is whole, and lacks what its source has given up in between.
#[tokio::test]
async fn a_copy_since_a_state_that_comes_too_late_begins_once_more() {
    let mut builder = Builder::started(512, 2).await;
    history(&mut builder, 3..=12, &[5, 8]).await;
    let directory = tempfile::tempdir().unwrap();
    let to = DirectoryStore::new(directory.path()).unwrap();
    let from = Arc::new(builder.store.clone());
    let copied = |number| {
        let (from, to): (Arc<dyn Store>, Arc<dyn Store>) = (from.clone(), Arc::new(to.clone()));
        async move {
            let (options, progress) = (Options::default(), Progress::default());
            let since = Target::Txid(txid(number));
            copy_since(from, to, since, Timestamp::MAX, options, &progress).await.unwrap();
        }
    };
    copied(8).await;
    assert_restores(&to, &builder, &[8, 10, 12]).await;
    history(&mut builder, 13..=24, &[20]).await;
    let states = vec![(20, vec![Key::Snapshot(txid(20))])];
    let (condemned, held) = (Vec::new(), Vec::new());
    put_horizon(&builder, 0, Says { number: 1, window: 21, states, condemned, held }).await;
    for number in 3..=20 {
        builder.store.delete(&Key::Log(txid(number))).await.unwrap();
    }
    copied(21).await;
    assert_restores(&to, &builder, &[20, 21, 24]).await;
    history(&mut builder, 25..=26, &[]).await;
    copied(21).await;
    assert_restores(&to, &builder, &[20, 26]).await;
}

/// Would catch a repair from a mirror that brings back what a policy has given up.
#[tokio::test]
async fn what_a_policy_has_given_up_does_not_come_back_from_a_mirror() {
    let mut builder = Builder::started(512, 2).await;
    history(&mut builder, 3..=12, &[5, 8]).await;
    let states = vec![(8, vec![Key::Snapshot(txid(8))])];
    let (condemned, held) = (Vec::new(), Vec::new());
    put_horizon(&builder, 0, Says { number: 1, window: 9, states, condemned, held }).await;
    let first: Arc<dyn Store> = Arc::new(builder.store.clone());
    let directory = tempfile::tempdir().unwrap();
    let mirror: Arc<dyn Store> = Arc::new(DirectoryStore::new(directory.path()).unwrap());
    let copied = |from: &Arc<dyn Store>, to: &Arc<dyn Store>| {
        let (from, to) = (Arc::clone(from), Arc::clone(to));
        async move { copy(from, to, Options::default(), &Progress::default()).await.unwrap() }
    };
    copied(&first, &mirror).await;
    for number in [3, 4, 5, 6, 11] {
        first.delete(&Key::Log(txid(number))).await.unwrap();
    }
    let back = copied(&mirror, &first).await;
    assert_eq!(back.objects, 1, "entry 11 alone");
    assert_restores(&builder.store, &builder, &[8, 9, 12]).await;
}
