//! An application and a sidecar that are killed, stopped and started again, and all that must hold of their history.

use std::time::Duration;

use ebbtide_testkit::Random;
use ebbtide_testkit::actor::{self, Actor, Ask};
use ebbtide_testkit::workload::Options;
use nix::sys::signal::Signal;

use crate::runs::Runs;
use crate::scene::{Compared, Scene};
use crate::tally::Tally;

/// Not a test: the application, when this binary is started as one.
#[test]
fn actor() {
    actor::run_if_asked();
}

/// The name of that.
pub(crate) const ACTOR: &str = "trial::actor";

/// Who is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Victim {
    Sidecar,
    Application,
    Both,
}

/// What runs, and what became of it.
pub(crate) struct Trial {
    pub(crate) scene: Scene,
    pub(crate) sidecar: Runs,
    kills: u64,
    options: Options,
    actor: Actor,
    seed: u64,
    tails: Vec<Duration>,
}

impl Trial {
    /// An application that runs, and nobody who follows it yet.
    pub(crate) fn new(mut scene: Scene, seed: u64, options: Options) -> Trial {
        let actor = scene.start_actor(seed, &options);
        let sidecar = Runs::default();
        Trial { scene, sidecar, kills: 0, options, actor, seed, tails: Vec::new() }
    }

    /// So many steps of the application, whatever they are.
    pub(crate) fn act(&mut self, steps: u32) {
        for _ in 0..steps {
            self.scene.act(&mut self.actor, Ask::Any);
        }
    }

    /// Starts the sidecar, unless it runs, and waits until it follows if it was not started before.
    pub(crate) fn follow(&mut self) {
        if !self.sidecar.is_on() {
            self.sidecar.begin(&self.scene);
            self.sidecar.wait();
        }
    }

    /// Starts the sidecar, unless it runs, and does not wait until it follows.
    pub(crate) fn begin_to_follow(&mut self) {
        self.sidecar.begin(&self.scene);
    }

    /// Has the sidecar end with everything durable, if it runs.
    pub(crate) fn stop(&mut self) {
        self.sidecar.stop(&self.scene);
    }

    /// Kills in the midst of a step of the application.
    pub(crate) fn kill(&mut self, victim: Victim, random: &mut Random) {
        self.actor.ask(Ask::Any);
        // The moment of the kill is what is random here; nothing waits for it.
        std::thread::sleep(Duration::from_micros(random.below(15_000).into()));
        if victim != Victim::Application {
            self.sidecar.kill();
        }
        if victim != Victim::Sidecar {
            self.actor.process().signal(Signal::SIGKILL).unwrap();
            self.kills += 1;
        }
        if victim == Victim::Sidecar {
            let told = self.actor.answer();
            self.scene.tell(&told.commits);
        } else {
            self.bury_actor();
        }
        let was_killed = victim != Victim::Application && self.sidecar.bury(&self.scene);
        if victim != Victim::Sidecar {
            self.start_actor();
        }
        if was_killed {
            self.tails.push(self.scene.tail());
        }
    }

    /// Kills everybody, lets something become of the files, and starts the application again.
    pub(crate) fn kill_all(&mut self, random: &mut Random, then: impl FnOnce(&Scene, &mut Random)) {
        self.kills += 1;
        self.actor.process().signal(Signal::SIGKILL).unwrap();
        self.bury_actor();
        self.sidecar.kill();
        self.sidecar.bury(&self.scene);
        then(&self.scene, random);
        self.start_actor();
    }

    /// Takes what a killed application had told.
    fn bury_actor(&mut self) {
        let told = self.actor.reap().unwrap();
        self.scene.tell(&told);
    }

    fn start_actor(&mut self) {
        self.scene.look();
        self.seed += 1_000_000;
        self.actor = self.scene.start_actor(self.seed, &self.options);
    }

    /// Brings the replica to its end and compares. `faults` were injected besides the kills.
    pub(crate) fn end(mut self, faults: u64, tally: &mut Tally) -> Compared {
        self.follow();
        self.stop();
        self.actor.finish().unwrap();
        let mut compared = self.scene.compare();
        self.sidecar.compare_kept(&self.scene, &mut compared);
        tally.add(self.kills + self.sidecar.kills + faults, &compared);
        tally.seeds += 1;
        tally.tails.extend(self.tails);
        tally.step_max = tally.step_max.max(self.scene.step_max);
        tally.log_bytes_max = tally.log_bytes_max.max(self.scene.log_bytes_max);
        compared
    }
}
