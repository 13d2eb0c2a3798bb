//! A random application, a random operator and a random store, against a model that knows every state the database had.
//!
//! A seed decides the steps: transactions that commit, spill and roll back, checkpoints of all four modes, readers that
//! stay, VACUUM, schema changes, limits of the log's size; the sidecar is stopped, killed and started, the application
//! is killed; the bucket is slow, refuses, throttles, breaks connections and loses answers. In the end every state of
//! the history is restored and compared, and nothing that was durable once may be missing or different.
//!
//! `EBBTIDE_SEEDS=10000 cargo test -p ebbtide-cli --test it model` runs ten thousand.

mod bucket;

use std::sync::Mutex;

use ebbtide_testkit::s3_server::S3Server;
use ebbtide_testkit::workload::Options;
use ebbtide_testkit::{Random, for_each_seed_at_once};

use crate::scene::Scene;
use crate::support::Setup;
use crate::tally::Tally;
use crate::trial::{Trial, Victim};

use bucket::Weather;

/// How many seeds are run, and how many at once for each CPU: nearly all the time of a seed is its sidecar's,
/// which waits until it may ask a bucket again that has refused.
const SEEDS: u64 = 200;
const SEEDS_PER_CPU: usize = 8;

/// Steps of each seed.
const STEPS: usize = 40;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Act(u32),
    Follow,
    BeginToFollow,
    Stop,
    Kill(Victim),
    Weather(Weather),
}

impl Step {
    fn random(random: &mut Random, follows: bool) -> Step {
        match random.below(100) {
            0..50 => Step::Act(random.between(1, 4)),
            50..65 => Step::Weather(Weather::random(random)),
            _ if !follows && random.one_in(3) => Step::BeginToFollow,
            _ if !follows => Step::Follow,
            65..80 => Step::Kill(Victim::Sidecar),
            80..86 => Step::Kill(Victim::Application),
            86..92 => Step::Kill(Victim::Both),
            _ => Step::Stop,
        }
    }
}

#[test]
fn every_state_that_was_acknowledged_is_restored_whatever_happened() {
    let tally = Mutex::new(Tally::new("model"));
    for_each_seed_at_once(SEEDS, SEEDS_PER_CPU, |seed| {
        let counted = run(seed);
        tally.lock().unwrap().merge(counted);
    });
    tally.into_inner().unwrap().print();
}

/// One seed; what it counted.
fn run(seed: u64) -> Tally {
    let mut random = Random::new(seed);
    let server = S3Server::start();
    let options = Options::random(&mut random);
    println!("seed {seed}: {options}");
    let scene = Scene::of(Setup::in_memory().in_bucket(&server));
    let mut trial = Trial::new(scene, seed, options);
    let mut done = Vec::new();
    let faults = bucket::forecast(&server, Weather::Fair, seed);
    for _ in 0..STEPS {
        let step = Step::random(&mut random, trial.sidecar.is_on());
        done.push(step);
        match step {
            Step::Act(steps) => trial.act(steps),
            Step::Follow => trial.follow(),
            Step::BeginToFollow => trial.begin_to_follow(),
            // An end waits for the store no longer than its time-out.
            Step::Stop => {
                faults.change(Weather::Fair);
                trial.stop();
            }
            Step::Kill(victim) => trial.kill(victim, &mut random),
            Step::Weather(weather) => faults.change(weather),
        }
    }
    faults.change(Weather::Fair);
    let mut tally = Tally::new("model");
    trial.end(faults.count(), &mut tally).assert_right(&format!("after {done:?}"));
    tally
}
