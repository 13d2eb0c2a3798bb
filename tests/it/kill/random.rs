//! Kills at any moment: of the sidecar, of the application, of both (hazards A1, A3, A5, B1).

use std::sync::Mutex;

use ebbtide_testkit::workload::Options;
use ebbtide_testkit::{Random, for_each_seed_at_once};

use crate::scene::Scene;
use crate::support::Setup;
use crate::tally::Tally;
use crate::trial::{Trial, Victim};

const ROUNDS: u64 = 10;

/// Would catch a state that is saved before what it says is durable, a commit that is taken from a log although it was
/// never published, and one that is lost when everybody dies and the next to come recovers the log.
#[test]
fn b01_a01_a03_a05_killed_at_any_moment() {
    kill_at_any_moment(40, Setup::in_memory);
}

/// The same of an encrypted replica; would catch an object whose key was not put before it, too.
#[test]
fn b01_h37_killed_at_any_moment_with_an_encrypted_replica() {
    kill_at_any_moment(8, || Setup::in_memory().sealed());
}

fn kill_at_any_moment(seeds: u64, setup: impl Fn() -> Setup + Sync) {
    let tally = Mutex::new(Tally::new("kill-random"));
    for_each_seed_at_once(seeds, 4, |seed| {
        let mut random = Random::new(seed);
        let mut trial = Trial::new(Scene::of(setup()), seed, Options::random(&mut random));
        for _ in 0..ROUNDS {
            trial.follow();
            trial.act(random.below(6));
            let victims = [Victim::Sidecar, Victim::Sidecar, Victim::Application, Victim::Both];
            trial.kill(*random.choose(&victims), &mut random);
            trial.act(random.below(2));
        }
        let mut counted = Tally::new("kill-random");
        trial.end(0, &mut counted).assert_right("after the kills");
        tally.lock().unwrap().merge(counted);
    });
    tally.into_inner().unwrap().print();
}
