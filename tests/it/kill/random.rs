//! Kills at any moment: of the sidecar, of the application, of both (hazards A1, A3, A5, B1).

use std::time::Duration;

use ebbtide_replica::Entry;
use ebbtide_replica::state::Position;
use ebbtide_testkit::actor::{Actor, Ask};
use ebbtide_testkit::workload::Options;
use ebbtide_testkit::writer::micros_now;
use ebbtide_testkit::{Random, for_each_seed};
use nix::sys::signal::Signal;

use super::place::ACTOR;
use crate::scene::Scene;
use crate::support::{Replica, Sidecar};
use crate::tally::Tally;

const ROUNDS: u64 = 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Sidecar,
    Application,
    Both,
}

/// Would catch a state that is saved before what it says is durable, a commit that is taken from a log although it was
/// never published, and one that is lost when everybody dies and the next to come recovers the log.
#[test]
fn b01_a01_a05_killed_at_any_moment() {
    let mut tally = Tally::new("kill-random");
    for_each_seed(8, |seed| {
        let mut random = Random::new(seed);
        let options = Options::random(&mut random);
        let mut trial = Trial::new(seed, options);
        for _ in 0..ROUNDS {
            trial.round(&mut random);
        }
        trial.end(&mut tally);
        tally.seeds += 1;
    });
    tally.print();
}

/// What runs, and what was durable at each kill.
struct Trial {
    scene: Scene,
    options: Options,
    actor: Actor,
    sidecar: Sidecar,
    seed: u64,
    kills: u64,
    durable: Vec<(Vec<Entry>, Option<Position>)>,
    tails: Vec<Duration>,
}

impl Trial {
    fn new(seed: u64, options: Options) -> Trial {
        let mut scene = Scene::new();
        let actor = Actor::start(ACTOR, &scene.database, seed, &options).unwrap();
        scene.see(actor.begin(), micros_now());
        let sidecar = Sidecar::start(&scene.database, &scene.replica);
        let (durable, tails) = (Vec::new(), Vec::new());
        Trial { scene, options, actor, sidecar, seed, kills: 0, durable, tails }
    }

    /// A few steps, a kill in the midst of another one, and everybody is started again.
    fn round(&mut self, random: &mut Random) {
        for _ in 0..random.below(6) {
            self.scene.act(&mut self.actor, Ask::Any);
        }
        let victims = [Victim::Sidecar, Victim::Sidecar, Victim::Application, Victim::Both];
        let victim = *random.choose(&victims);
        self.actor.ask(Ask::Any);
        // The moment of the kill is what is random here; nothing waits for it.
        std::thread::sleep(Duration::from_micros(random.below(15_000).into()));
        self.kill(victim);
        if random.one_in(2) {
            self.scene.act(&mut self.actor, Ask::Any);
        }
        if victim != Victim::Application {
            self.sidecar = Sidecar::start(&self.scene.database, &self.scene.replica);
        }
    }

    fn kill(&mut self, victim: Victim) {
        self.kills += 1 + u64::from(victim == Victim::Both);
        if victim != Victim::Application {
            self.sidecar.process().signal(Signal::SIGKILL).unwrap();
        }
        if victim != Victim::Sidecar {
            self.actor.process().signal(Signal::SIGKILL).unwrap();
        }
        if victim != Victim::Application {
            self.sidecar.reap();
        }
        if victim == Victim::Sidecar {
            let told = self.actor.answer();
            self.scene.tell(&told.commits);
        } else {
            let told = self.actor.reap().unwrap();
            self.scene.tell(&told);
            self.scene.look();
            self.seed += 1_000_000;
            let (path, options) = (&self.scene.database, &self.options);
            self.actor = Actor::start(ACTOR, path, self.seed, options).unwrap();
            self.scene.see(self.actor.begin(), micros_now());
        }
        if victim != Victim::Application {
            let entries = Replica::open(&self.scene.replica).entries();
            self.durable.push((entries, self.scene.acknowledged()));
            self.tails.push(self.scene.tail());
        }
    }

    fn end(self, tally: &mut Tally) {
        let what = format!("{} kills, seed {}", self.kills, self.seed);
        assert_eq!(self.sidecar.stop(), 0, "{what}");
        self.actor.finish().unwrap();
        let after = Replica::open(&self.scene.replica).entries();
        let mut compared = self.scene.compare();
        for (before, known) in &self.durable {
            compared.compare_kept(before, known.as_ref(), &after);
        }
        tally.add(self.kills, &compared);
        compared.assert_right(&what);
        tally.tails.extend(self.tails);
        tally.step_max = tally.step_max.max(self.scene.step_max);
        tally.log_bytes_max = tally.log_bytes_max.max(self.scene.log_bytes_max);
    }
}
