//! `ebbtide prune` as a person runs it, on a replica whose every state is known. Would catch one that deletes what is
//! kept, or that leaves something wrong when it is killed.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, UNIX_EPOCH};

use ebbtide_catalog::{Nothing, PlanError, Progress, Target};
use ebbtide_fault::DIED;
use ebbtide_replica::{Key, Timestamp, Txid};
use ebbtide_restore::{Error, Options, restore};
use ebbtide_store::{DirectoryStore, Store as _};
use ebbtide_testkit::builder::{Builder, START, micros};
use ebbtide_testkit::s3_server::{Asked, Fault, S3Server};
use serde_json::Value;

use crate::support::{Ended, Setup, Sidecar, wait_until};
use crate::tidy::tree::tracked;

const HOUR: i64 = 3_600_000_000;

/// A policy by which most of the first days goes.
const KEEP: &str = "every-commit=2d,last=3";

/// Five days of a database: a snapshot and some commits each, most of them in packs.
async fn five_days() -> (Builder, i64) {
    let mut builder = Builder::started(512, 4).await;
    let mut unpacked = 3;
    for day in 0..5 {
        for commit in 0..12 {
            builder.wait(2 * HOUR);
            builder.store.set_now(micros(builder.micros));
            builder.commit(&[(commit % 4, commit as u64 + 20 * day)], 4 + commit % 3);
            builder.cut().await;
            let last = builder.last().txid.get();
            if last - unpacked >= 8 {
                builder.pack(unpacked, last - 1).await;
                unpacked = last;
            }
        }
        builder.snapshot().await;
    }
    // An entry that vouches for the last snapshot.
    builder.commit(&[(1, 999)], 4);
    builder.cut().await;
    let now = builder.micros;
    (builder, now)
}

/// Writes the objects into a directory, as old as they are.
fn write(builder: &Builder, now: i64, directory: &Path) {
    let since = ebbtide_sidecar::clock::now().as_micros().unsigned_abs();
    let real_now = UNIX_EPOCH + Duration::from_micros(since);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let listing = runtime.block_on(ebbtide_catalog::list(&builder.store)).unwrap();
    for (name, body) in builder.store.objects() {
        let path = directory.join(&name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &body).unwrap();
        let stored = listing.objects().find(|object| object.key.to_string() == name);
        let age = now - stored.map_or(START, |object| object.modified.as_micros().max(START));
        let modified = real_now - Duration::from_micros(age.unsigned_abs());
        File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
    }
}

/// Makes everything in a directory older.
pub(crate) fn age(directory: &Path, hours: u64) {
    for path in files(directory) {
        let file = File::options().write(true).open(&path).unwrap();
        let modified = file.metadata().unwrap().modified().unwrap();
        file.set_modified(modified - Duration::from_secs(hours * 3600)).unwrap();
    }
}

pub(crate) fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// A setup whose replica is those five days.
struct Five {
    setup: Setup,
    builder: Builder,
    /// The states of the full snapshots.
    snapshots: Vec<Txid>,
}

impl Five {
    fn new() -> Five {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (builder, now) = runtime.block_on(five_days());
        let setup = Setup::new();
        write(&builder, now, &setup.path("backup"));
        let snapshots =
            builder.store.objects().into_iter().filter_map(|(name, _)| match name.parse::<Key>() {
                Ok(Key::Snapshot(txid)) => Some(txid),
                _ => None,
            });
        let snapshots = snapshots.collect();
        Five { setup, builder, snapshots }
    }

    fn prune(&self, more: &[&str]) -> Ended {
        self.setup.run(&[&["prune", &self.setup.replica, "--keep", KEEP], more].concat())
    }

    /// Every entry gives its state, or is refused as one that is not kept. Which ones give it.
    fn restorable(&self) -> BTreeSet<Txid> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let states = self.builder.states.iter().filter(|state| {
            match runtime.block_on(restored(&self.setup.path("backup"), state.txid)) {
                Ok(bytes) => {
                    assert!(bytes == state.image(), "{} is not what it was", state.txid);
                    true
                }
                Err(Error::Plan(PlanError::Nothing(
                    Nothing::Kept { .. } | Nothing::Before { .. },
                ))) => false,
                Err(error) => panic!("{}: {error}", state.txid),
            }
        });
        states.map(|state| state.txid).collect()
    }

    /// What the policy promises: a day of commits and more, and the newest three full snapshots.
    fn assert_promised(&self) -> BTreeSet<Txid> {
        let restorable = self.restorable();
        let newest = self.builder.last().time.as_micros();
        let young = self.builder.states.iter();
        let young = young.filter(|state| newest - state.time.as_micros() < 20 * HOUR);
        let snapshots = self.snapshots.iter().rev().take(3).copied();
        for txid in young.map(|state| state.txid).chain(snapshots) {
            assert!(restorable.contains(&txid), "{txid} is promised");
        }
        restorable
    }
}

pub(crate) async fn restored(replica: &Path, txid: Txid) -> Result<Vec<u8>, Error> {
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("out.db");
    let options = Options {
        target: Target::Txid(txid),
        output: output.clone(),
        force: false,
        state: None,
        expect: None,
        check: None,
        bytes_per_second: None,
        now: Timestamp::MAX,
    };
    let store = Arc::new(DirectoryStore::new(replica).unwrap());
    restore(store, &options, &Arc::new(Progress::default())).await?;
    Ok(fs::read(&output).unwrap())
}

fn numbers(value: &Value) -> u64 {
    value.as_u64().unwrap()
}

#[test]
fn what_would_go_is_shown_and_nothing_is_changed() {
    let five = Five::new();
    let before = files(&five.setup.path("backup"));
    let shown = five.prune(&[]).exits(0);
    shown.prints("policy: every-commit=2d,last=3");
    shown.prints("kept: every commit from txid");
    shown.prints("goes now, because it is in packs");
    shown.prints("would be condemned, because nothing that is kept needs it");
    shown.prints("nothing was changed: --confirm does it");
    let json = five.prune(&["--json"]).exits(0).json();
    assert_eq!(json["changed"], false);
    assert!(json["outlook"]["unneeded"].as_array().unwrap().len() > 5, "{json}");
    let mut states = json["outlook"]["states"].as_array().unwrap().iter();
    assert!(states.any(|state| state["why"].to_string().contains("base")), "{json}");
    assert_eq!(files(&five.setup.path("backup")), before);
    five.setup.run(&["verify", &five.setup.replica]).exits(0);
}

#[test]
fn it_is_condemned_then_deleted_and_what_is_kept_is_exact() {
    let five = Five::new();
    let replica = five.setup.path("backup");
    let all = five.restorable();
    let first = five.prune(&["--confirm", "--json"]).exits(0).json();
    assert_eq!(first["horizon"], 1);
    assert!(numbers(&first["packed"]["objects"]) > 30, "{first}");
    let log = five.setup.run(&["log", &five.setup.replica]).exits(0);
    log.prints("every commit is kept from txid");
    log.prints("the first prune after");
    five.assert_promised();
    age(&replica, 25);
    let second = five.prune(&["--confirm", "--json"]).exits(0).json();
    assert!(numbers(&second["condemned_before"]["objects"]) > 5, "{second}");
    let kept = five.assert_promised();
    assert!(kept.len() < all.len());
    five.setup.run(&["verify", &five.setup.replica]).exits(0);
    let log = five.setup.run(&["log", "--json", &five.setup.replica]).exits(0).json_lines();
    let window = log.last().unwrap()["every_commit_from"].as_str().unwrap().to_owned();
    let entries = log.iter().filter(|line| line["what"] == "commit");
    let txids: Vec<&str> = entries.map(|line| line["txid"].as_str().unwrap()).collect();
    assert!(txids[0] >= window.as_str() && txids.len() > 20, "{window}: {txids:?}");
    let states = log.iter().filter(|line| line["what"] == "state");
    assert!(states.clone().count() >= 1, "{log:?}");
    assert!(states.clone().all(|state| state["txid"].as_str().unwrap() < window.as_str()));
    assert_eq!(log.last().unwrap()["first_txid_missing"], Value::Null);
}

/// Would catch a list that goes on to announce what is done.
#[test]
fn what_is_deleted_is_not_listed_as_condemned() {
    let five = Five::new();
    let condemned = || {
        let log = five.setup.run(&["log", &five.setup.replica]).exits(0);
        log.out.contains("condemned: ")
    };
    five.prune(&["--confirm"]).exits(0);
    assert!(condemned());
    for _ in 0..10 {
        age(&five.setup.path("backup"), 50);
        let pruned = five.prune(&["--confirm", "--json"]).exits(0).json();
        assert_eq!(condemned(), pruned["horizon"].is_u64(), "{pruned}");
        if pruned["horizon"].is_null() {
            return;
        }
    }
    panic!("there was always more to condemn");
}

#[test]
fn h14_it_is_taken_back() {
    let five = Five::new();
    let all = five.restorable();
    five.setup.run(&["prune", &five.setup.replica, "--undo"]).exits(3);
    five.prune(&["--confirm"]).exits(0).prints("--undo takes it back");
    assert!(five.restorable().len() < all.len());
    age(&five.setup.path("backup"), 12);
    five.setup.run(&["prune", &five.setup.replica, "--undo"]).exits(0).prints("taken back");
    assert_eq!(five.restorable(), all);
}

#[test]
fn h14_policies_are_refused_with_what_was_meant() {
    let five = Five::new();
    let keep = |keep: &str| five.setup.run(&["prune", &five.setup.replica, "--keep", keep]);
    keep("dayly=7d").exits(2).says("daily");
    keep("every-commit=7m").exits(2).says("7d");
    let all = five.setup.run(&["prune", &five.setup.replica, "--keep", "last=1", "--confirm"]);
    all.exits(2).says("--confirm-shrink");
    let configured = |line: &str| {
        let config = five.setup.configure("", line);
        five.setup.run(&["prune", &five.setup.text("app.db"), "--config", &config])
    };
    configured("keep = { every-commit = \"2d\", last = 2 }")
        .exits(0)
        .prints("every-commit=2d,last=2");
    configured("keep = { evry-commit = \"2d\" }").exits(2).says("every-commit");
    configured("keep = { every-commit = 2 }").exits(2).says("every-commit");
    configured("prune = \"there\"").exits(2).says("elsewhere");
}

/// Of an application that writes no more, only the newest state is left at last.
#[test]
fn only_the_newest_state_may_be_kept_and_is_sound() {
    Setup::in_each_form().into_iter().for_each(assert_newest_is_kept);
}

fn assert_newest_is_kept(setup: Setup) {
    let app = setup.app();
    let sidecar = setup.follow();
    for _ in 0..5 {
        app.insert(1, 100);
        setup.sync();
    }
    assert_eq!(sidecar.stop(), 0);
    let replica = setup.path("backup");
    age(&replica, 72);
    for _ in 0..2 {
        let args = ["prune", "--keep", "every-commit=1h,last=1", "--confirm", &setup.replica];
        setup.run(&args).exits(0);
        let verified = setup.run(&["verify", "--json", &setup.replica]).exits(0).json();
        let ranges = verified["verification"]["restorable"].as_array().unwrap();
        assert!(!ranges.is_empty(), "{verified}");
        assert!(ranges.iter().all(|range| range[0] == range[1]), "{verified}");
        age(&replica, 25);
    }
    setup.assert_exact();
    setup
        .run(&["log", &setup.replica])
        .exits(0)
        .prints("can be restored: each state that is listed");
    // And it is written on.
    let sidecar = setup.follow();
    app.insert(1, 100);
    setup.assert_exact_after(sidecar);
    setup.run(&["verify", &setup.replica]).exits(0);
}

/// H23: a downtime that is longer than every period, while somebody else prunes.
#[test]
fn h23_a_downtime_longer_than_what_is_kept_is_caught_up_with() {
    Setup::in_each_form().into_iter().for_each(assert_caught_up);
}

fn assert_caught_up(setup: Setup) {
    let app = setup.app();
    let sidecar = setup.follow();
    for _ in 0..5 {
        app.insert(3, 500);
        setup.sync();
    }
    assert_eq!(sidecar.stop(), 0);
    for _ in 0..3 {
        age(&setup.path("backup"), 1000);
        let args = ["prune", "--keep", "every-commit=1h", "--confirm", "--confirm-shrink"];
        setup.run(&[&args[..], &[&setup.replica]].concat()).exits(0);
    }
    app.insert(20, 500);
    app.checkpoint("TRUNCATE");
    let sidecar = setup.follow();
    app.insert(1, 100);
    setup.assert_exact_after(sidecar);
    setup.run(&["verify", &setup.replica]).exits(0);
}

/// H6: at each place, each time that it is passed.
#[test]
fn h06_a_prune_that_is_killed_loses_nothing_and_the_next_one_goes_on() {
    let five = Five::new();
    // One in which something is due, something is in packs, and something more is not needed any more.
    let replica = five.setup.path("backup");
    let fresh = five.setup.path("fresh");
    copy(&replica, &fresh);
    let segments: Vec<PathBuf> = files(&replica.join("log"));
    five.prune(&["--confirm"]).exits(0);
    age(&replica, 25);
    for segment in segments.iter().filter(|segment| !segment.exists()).take(10) {
        let txid = segment.file_stem().unwrap().to_str().unwrap();
        let key = Key::parse(&format!("log/{txid}.seg")).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let body = runtime.block_on(five.builder.body(key));
        fs::write(segment, body).unwrap();
    }
    let start = five.setup.path("start");
    fs::rename(&replica, &start).unwrap();
    let mut deaths = 0;
    for place in places() {
        let undo = place.starts_with("prune.undo.");
        for passage in 1.. {
            if replica.exists() {
                fs::remove_dir_all(&replica).unwrap();
            }
            copy(if undo { &fresh } else { &start }, &replica);
            if undo {
                five.prune(&["--confirm"]).exits(0);
            }
            if !dies(&five, undo, &format!("{place}={passage}")) {
                break;
            }
            deaths += 1;
            five.assert_promised();
            five.prune(&["--confirm"]).exits(0);
            five.assert_promised();
        }
    }
    assert!(deaths >= 8, "it died {deaths} times");
}

fn places() -> BTreeSet<String> {
    let sources = tracked(".rs").filter(|(path, _)| path.starts_with("crates/retention/src/"));
    let places = sources.flat_map(|(_, text)| {
        let calls = text.split("point(\"").skip(1).map(|call| call.split('"').next().unwrap());
        calls.map(str::to_owned).collect::<Vec<_>>()
    });
    places.filter(|place| place.starts_with("prune.")).collect()
}

pub(crate) fn copy(from: &Path, to: &Path) {
    for path in files(from) {
        let target = to.join(path.strip_prefix(from).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(&path, &target).unwrap();
        let modified = fs::metadata(&path).unwrap().modified().unwrap();
        File::options().write(true).open(&target).unwrap().set_modified(modified).unwrap();
    }
}

/// Prunes, or takes it back, with an order for a failpoint. Whether it died there.
fn dies(five: &Five, undo: bool, order: &str) -> bool {
    let replica = five.setup.replica.as_str();
    let args: &[&str] = match undo {
        true => &["prune", replica, "--undo"],
        false => &["prune", replica, "--keep", KEEP, "--confirm"],
    };
    let mut command = five.setup.command(args);
    command.env("FAILPOINTS", order);
    let ended = Ended::of(&mut command);
    if !ended.said.contains(DIED) {
        ended.exits(0);
        return false;
    }
    assert!(ended.status.signal().is_some(), "{}", ended.said);
    true
}

/// H15: without the right to delete, what stays is counted, and that is no failure.
#[test]
fn h15_a_store_that_lets_nothing_go_retains_it() {
    let server = S3Server::start();
    let five = Five::new();
    let directory = five.setup.path("backup");
    let five = Five { setup: five.setup.in_bucket(&server), ..five };
    copy(&directory, &server.file("app"));
    server.script(|asked: &Asked| {
        asked.operation().starts_with("DeleteObject").then_some(Fault::Refused(403, "AccessDenied"))
    });
    let pruned = five.prune(&["--confirm", "--json"]).exits(0).json();
    assert_eq!(pruned["packed"]["objects"], 0, "{pruned}");
    let retained = pruned["packed"]["retained"].as_array().unwrap();
    assert!(retained.len() > 30, "{pruned}");
    assert!(retained[0]["why"].as_str().unwrap().contains("access denied"), "{pruned}");
    assert_eq!(pruned["horizon"], 1);
    let asked = server.asked();
    let deletes = asked.iter().filter(|asked| asked.operation() == "DeleteObjects").count();
    assert!(deletes < 10, "{deletes} requests to delete, which are refused");
}

/// H9, second half: verify and restore beside a prune that deletes what they read, again and again.
#[test]
fn h09_a_reader_beside_a_prune_is_exact_or_says_why_not() {
    let five = Five::new();
    let replica = five.setup.path("backup");
    five.prune(&["--confirm"]).exits(0);
    age(&replica, 25);
    let lost = five.builder.states.iter().find(|state| state.txid.get() == 20).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let reading = std::thread::scope(|scope| {
        let reading = scope.spawn(|| {
            let results = (0..40).map(|_| runtime.block_on(restored(&replica, lost.txid)));
            results.collect::<Vec<_>>()
        });
        five.prune(&["--confirm"]).exits(0);
        reading.join().unwrap()
    });
    for result in reading {
        match result {
            Ok(bytes) => assert!(bytes == lost.image()),
            Err(error) => assert!(matches!(error, Error::Plan(_)), "{error}"),
        }
    }
}

/// A running process prunes by itself, a while after its start.
#[test]
fn a_running_process_deletes_segments_that_are_in_packs() {
    let setup = Setup::new();
    let app = setup.app();
    let config = setup.configure("", "puts-per-second = 1000.0\nputs-burst = 1000.0");
    let follow = || {
        Sidecar::start_command(&mut setup.command(&[
            "replicate",
            "--log-format",
            "json",
            "--config",
            &config,
        ]))
    };
    let sidecar = follow();
    let replica = setup.path("backup");
    let begun = Instant::now();
    while !replica.join("pack").exists() || files(&replica.join("pack")).is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{}", setup.report());
        app.insert(1, 100);
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(sidecar.stop(), 0);
    let segments = files(&replica.join("log")).len();
    assert!(segments > 256, "{segments}");
    age(&replica, 25);
    let sidecar = follow();
    let begun = Instant::now();
    while setup.report()["pruned"].is_null() {
        assert!(begun.elapsed() < Duration::from_secs(90), "{}", setup.report());
        std::thread::sleep(Duration::from_millis(200));
    }
    let report = setup.report();
    assert!(numbers(&report["pruned"]["deleted_objects"]) >= 250, "{report}");
    assert_eq!(report["healthy"], true, "{report}");
    // A day after this one, once other databases had their turn, and nothing is thinned.
    let due_in = || {
        // Not known while this one is under way.
        let due: Timestamp = setup.report()["next_prune"].as_str()?.parse().unwrap();
        Some(ebbtide_sidecar::clock::now().until(due))
    };
    wait_until("the next prune", || {
        due_in().is_some_and(|due| due > Duration::from_secs(23 * 3600))
    });
    assert_eq!(report["history"]["every_commit_from_txid"], "0000000000000002", "{report}");
    assert_eq!(report["history"]["older_states"], 0, "{report}");
    let text = setup.run(&["status"]).exits(0);
    text.prints("every commit is kept from ");
    text.prints("; the next prune is due at ");
    app.insert(1, 100);
    setup.assert_exact_after(sidecar);
    assert!(files(&replica.join("log")).len() + 240 < segments);
}

/// The replica is pruned by another machine, and the process that writes it says what is left.
#[test]
fn a_running_process_tells_what_a_pruner_elsewhere_has_left() {
    let setup = Setup::new();
    let app = setup.app();
    let config = setup.configure("", "prune = \"elsewhere\"");
    let args = ["replicate", "--log-format", "json", "--config", &config];
    let sidecar = Sidecar::start_command(&mut setup.command(&args));
    for _ in 0..5 {
        app.insert(1, 100);
        setup.sync();
    }
    assert_eq!(sidecar.stop(), 0);
    age(&setup.path("backup"), 72);
    let prune = ["prune", "--keep", "every-commit=1h,last=1", "--confirm", &setup.replica];
    let pruned = setup.run(&[&prune[..], &["--json"]].concat()).exits(0).json();
    let sidecar = Sidecar::start_command(&mut setup.command(&args));
    let begun = Instant::now();
    while setup.report()["history"].is_null() {
        assert!(begun.elapsed() < Duration::from_secs(90), "{}", setup.report());
        std::thread::sleep(Duration::from_millis(200));
    }
    let report = setup.report();
    assert_eq!(report["next_prune"], Value::Null, "{report}");
    let history = &report["history"];
    let states = pruned["outlook"]["states"].as_array().unwrap();
    assert_eq!(history["older_states"], states.len(), "{report} {pruned}");
    assert_eq!(history["oldest_txid"], states[0]["txid"], "{report} {pruned}");
    assert_eq!(history["oldest_time"], states[0]["time"], "{report} {pruned}");
    assert_eq!(
        history["every_commit_from_txid"], pruned["outlook"]["every_commit_from"],
        "{report}"
    );
    setup.run(&["status"]).exits(0).prints("before that, the oldest of ");
    setup.assert_exact_after(sidecar);
}

#[test]
fn asking_the_time_of_a_directory_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let store = DirectoryStore::new(directory.path().join("backup")).unwrap();
    runtime.block_on(store.begin()).unwrap();
    runtime.block_on(store.now()).unwrap();
    assert!(files(directory.path()).is_empty());
}
