//! Kills between any two steps of the copying of a mirror. What the mirror has is then exact by itself, lacks nothing that it
//! had and that is still promised, and is brought up to date by the next run.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::process::ExitStatusExt as _;

use ebbtide_catalog::PlanError;
use ebbtide_fault::{DIED, PASSED};
use ebbtide_replica::{EntryKind, Txid};
use ebbtide_restore::Error;
use tokio::runtime::Runtime;

use crate::deltas::{Times, objects};
use crate::kill::armed::{Armed, End};
use crate::prune::{age, copy, restored};
use crate::support::{Ended, History, Setup, Sidecar, wait_until};

use super::{assert_same, follow_by, wait_for_mirror};

/// A database with a replica and a mirror, and what each entry has to give.
struct Mirrored {
    setup: Setup,
    config: String,
    runtime: Runtime,
    states: BTreeMap<Txid, Vec<u8>>,
}

impl Mirrored {
    /// A replica with packs, a delta, a mark and a large transaction, and a mirror that has the segments before these alone.
    fn behind() -> Mirrored {
        let setup = Setup::new();
        let mirror = format!("mirror = [{:?}]", setup.text("mirror"));
        let config = setup
            .configure("", &format!("puts-per-second = 1000.0\nputs-burst = 1000.0\n{mirror}"));
        let app = setup.app();
        app.insert(200, 800);
        let args = ["replicate", "--log-format", "json", "--config", &config];
        let times = Times::hours(600);
        let sidecar = Sidecar::start_command(times.of(&mut setup.command(&args)));
        wait_until("a delta and a pack", || {
            app.insert(5, 300);
            !objects(&setup, "delta").is_empty() && !objects(&setup, "pack").is_empty()
        });
        wait_for_mirror(&setup, 0);
        assert_eq!(sidecar.stop(), 0);
        let half = Txid::new(setup.history().head().unwrap().get() / 2).unwrap();
        setup.run(&["mark", "--txid", &half.to_string(), "half", &setup.replica]).exits(0);
        // More than is read of the first replica at a time.
        app.execute("INSERT INTO t (b) VALUES (randomblob(9000000))", []).unwrap();
        setup.once().exits(0);
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let mut mirrored = Mirrored { setup, config, runtime, states: BTreeMap::new() };
        let entries = mirrored.setup.history().entries();
        let states = entries.iter().filter(|entry| entry.kind != EntryKind::Claim);
        let states: Vec<Txid> = states.map(|entry| entry.txid).collect();
        // Each restore takes its time: some of many small commits, and the last ones.
        let last = states.len() - 4;
        for txid in states.iter().step_by(24).chain(&states[last..]).chain([&half]).copied() {
            // The first ones are before the first snapshot.
            if let Some(bytes) = mirrored.state("backup", txid) {
                mirrored.states.insert(txid, bytes);
            }
        }
        assert!(mirrored.states.len() > 8, "{:?}", mirrored.states.keys());
        mirrored
    }

    /// The state after an entry, or nothing if it is refused as one that is not there.
    fn state(&self, replica: &str, txid: Txid) -> Option<Vec<u8>> {
        match self.runtime.block_on(restored(&self.setup.path(replica), txid)) {
            Ok(bytes) => Some(bytes),
            Err(Error::Plan(PlanError::Nothing(_))) => None,
            Err(error) => panic!("{replica}: {txid}: {error}"),
        }
    }

    /// Which states can be had. Each of them is what it was.
    fn restorable(&self, replica: &str) -> BTreeSet<Txid> {
        let states = self.states.iter().filter(|(txid, expected)| {
            let found = self.state(replica, **txid);
            assert!(found.as_ref().is_none_or(|found| found == *expected), "{replica}: {txid}");
            found.is_some()
        });
        states.map(|(txid, _)| *txid).collect()
    }

    /// Brings the mirror up to date, with an order for the failpoints.
    fn once(&self, order: &str) -> Ended {
        let args = ["replicate", "--once", "--config", &self.config];
        Ended::of(self.setup.command(&args).env("FAILPOINTS", order))
    }

    /// Dies at each place that a run passes for the mirror, each time that it does, and is up to date at last. The places.
    fn kill_everywhere(&self) -> BTreeSet<String> {
        let (mirror, start) = (self.setup.path("mirror"), self.setup.path("start"));
        fs::rename(&mirror, &start).unwrap();
        let begin_again = || {
            fs::remove_dir_all(&mirror).ok();
            copy(&start, &mirror);
        };
        begin_again();
        let traced = self.once("trace").exits(0);
        let ours = |place: &&str| place.starts_with("copy.") || place.starts_with("prune.");
        let passed = traced.said.lines().filter_map(|line| line.strip_prefix(PASSED));
        let mut passages: BTreeMap<&str, u64> = BTreeMap::new();
        for place in passed.map(str::trim).filter(ours) {
            *passages.entry(place).or_default() += 1;
        }
        let had = self.restorable("start");
        for (place, count) in &passages {
            // Of many that are alike the first, some in the middle, and the last ones.
            let some = (1..=*count)
                .filter(|at| *count <= 8 || *at <= 2 || *at + 2 > *count || at % 4 == 0);
            for passage in some {
                begin_again();
                let order = format!("{place}={passage}");
                let ended = self.once(&order);
                assert!(
                    ended.said.contains(DIED) && ended.status.signal().is_some(),
                    "{order}: {ended:?}"
                );
                let promised = self.restorable("backup");
                let mut still = had.intersection(&promised);
                let has = self.restorable("mirror");
                assert!(still.all(|txid| has.contains(txid)), "{order}: {has:?} of {had:?}");
                self.once("").exits(0);
                assert!(self.restorable("mirror").is_superset(&promised), "{order}");
            }
        }
        fs::remove_dir_all(&start).unwrap();
        passages.into_keys().map(str::to_owned).collect()
    }
}

/// Would catch an order of steps in which a kill leaves a mirror that promises what it has not, or that has lost what its
/// replica still has.
#[test]
fn h25_a_mirror_that_is_killed_between_any_two_steps_is_exact_and_goes_on() {
    let mirrored = Mirrored::behind();
    let (backup, mirror) = (mirrored.setup.path("backup"), mirrored.setup.path("mirror"));
    let mut places = mirrored.kill_everywhere();
    // Much of it is not kept any more, and segments are in packs that were put long ago.
    age(&backup, 72);
    let prune = ["prune", "--keep", "every-commit=1h,last=1", "--confirm", "--confirm-shrink"];
    let prune = || mirrored.setup.run(&[&prune[..], &[&mirrored.setup.replica]].concat());
    prune().exits(0);
    age(&mirror, 25);
    places.extend(mirrored.kill_everywhere());
    // What the horizon has condemned goes from both.
    age(&backup, 25);
    prune().exits(0);
    age(&mirror, 25);
    places.extend(mirrored.kill_everywhere());
    let all = crate::kill::place::places();
    let missing: Vec<&String> = all
        .iter()
        .filter(|place| place.starts_with("copy.") && *place != "copy.target.begun")
        // A mirror has no keys of its own.
        .filter(|place| !place.starts_with("copy.key."))
        .chain(all.iter().filter(|place| {
            place.starts_with("prune.delete.")
                || place.starts_with("prune.packed.")
                || ["prune.finish.begin", "prune.horizons.old"].contains(&place.as_str())
        }))
        .filter(|place| !places.contains(*place))
        .collect();
    assert!(missing.is_empty(), "{missing:?} of {places:?}");
    let (setup, mirror) = (&mirrored.setup, History::open(&mirrored.setup.text("mirror")));
    mirror.assert_ends_with(&setup.database, setup.directory.path());
    mirrored.setup.run(&["verify", &mirrored.setup.text("mirror")]).exits(0);
}

/// The same of one that is begun.
#[test]
fn h25_a_mirror_that_is_killed_while_it_is_begun_or_followed_is_exact_and_goes_on() {
    let (setup, app) = Setup::with_rows(3);
    let config = super::configure(&setup, &["one"]);
    let args = ["replicate", "--log-format", "json", "--config", &config];
    for order in [
        "copy.target.begun=1",
        "copy.listed=1",
        "copy.object.begun=2",
        "copy.object.done=3",
        "copy.object.begun=4",
        "copy.object.done=5",
    ] {
        let mut armed = Armed::run(&mut setup.command(&args), order);
        armed.follows();
        wait_until("it dies", || {
            app.insert(1, 300);
            armed.is_dead()
        });
        assert_eq!(armed.end().0, End::Died, "{order}");
        let directory = setup.directory.path();
        if setup.path("one/snap").exists() {
            let (original, copied) = (
                setup.history().states(directory),
                History::open(&setup.text("one")).states(directory),
            );
            assert_eq!(copied[..], original[..copied.len()], "{order}");
        }
        let sidecar = follow_by(&setup, &config);
        app.insert(1, 300);
        wait_for_mirror(&setup, 0);
        assert_eq!(sidecar.stop(), 0);
        assert_same(&setup, "one");
    }
}
