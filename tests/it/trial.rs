//! An application and a sidecar that are killed, stopped and started again, and all that must hold of their history.

use std::time::Duration;

use ebbtide_replica::Entry;
use ebbtide_state::Position;
use ebbtide_testkit::Random;
use ebbtide_testkit::actor::{self, Actor, Ask};
use ebbtide_testkit::workload::Options;
use nix::sys::signal::Signal;

use crate::scene::{Compared, Scene};
use crate::support::{Replica, Sidecar};
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

/// What runs, and what was durable at each kill of the sidecar.
pub(crate) struct Trial {
    pub(crate) scene: Scene,
    pub(crate) sidecar: Option<Sidecar>,
    pub(crate) kills: u64,
    /// Whether the sidecar was started and may not follow yet.
    is_begun: bool,
    variables: Vec<(&'static str, &'static str)>,
    options: Options,
    actor: Actor,
    seed: u64,
    durable: Vec<(Vec<Entry>, Option<Position>)>,
    tails: Vec<Duration>,
}

impl Trial {
    /// An application that runs, and nobody who follows it yet.
    pub(crate) fn new(
        mut scene: Scene,
        variables: &[(&'static str, &'static str)],
        seed: u64,
        options: Options,
    ) -> Trial {
        let actor = scene.start_actor(seed, &options);
        Trial {
            scene,
            sidecar: None,
            is_begun: false,
            kills: 0,
            variables: variables.to_vec(),
            options,
            actor,
            seed,
            durable: Vec::new(),
            tails: Vec::new(),
        }
    }

    /// So many steps of the application, whatever they are.
    pub(crate) fn act(&mut self, steps: u32) {
        for _ in 0..steps {
            self.scene.act(&mut self.actor, Ask::Any);
        }
    }

    /// Starts the sidecar, unless it runs.
    pub(crate) fn follow(&mut self) {
        if self.sidecar.is_none() {
            let (database, replica) = (&self.scene.database, &self.scene.replica);
            self.sidecar = Some(Sidecar::start_in(database, replica, &self.variables));
        }
    }

    /// Starts the sidecar, unless it runs, and does not wait until it follows.
    pub(crate) fn begin_to_follow(&mut self) {
        if self.sidecar.is_none() {
            let (database, replica) = (&self.scene.database, &self.scene.replica);
            self.sidecar = Some(Sidecar::spawn_in(database, replica, &self.variables));
            self.is_begun = true;
        }
    }

    /// Has the sidecar end with everything durable, if it runs.
    pub(crate) fn stop(&mut self) {
        if let Some(sidecar) = self.sidecar.take() {
            // Before it follows, it may not even have heard of signals.
            if std::mem::take(&mut self.is_begun) {
                sidecar.wait_until_it_follows();
            }
            assert_eq!(sidecar.stop(), 0, "everything is durable at the end");
            self.note();
        }
    }

    /// Kills in the midst of a step of the application.
    pub(crate) fn kill(&mut self, victim: Victim, random: &mut Random) {
        self.actor.ask(Ask::Any);
        // The moment of the kill is what is random here; nothing waits for it.
        std::thread::sleep(Duration::from_micros(random.below(15_000).into()));
        let sidecar = if victim == Victim::Application { None } else { self.sidecar.take() };
        if let Some(sidecar) = &sidecar {
            sidecar.process().signal(Signal::SIGKILL).unwrap();
            self.is_begun = false;
            self.kills += 1;
        }
        if victim != Victim::Sidecar {
            self.actor.process().signal(Signal::SIGKILL).unwrap();
            self.kills += 1;
        }
        let killed = sidecar.map(|mut sidecar| sidecar.reap()).is_some();
        if victim == Victim::Sidecar {
            let told = self.actor.answer();
            self.scene.tell(&told.commits);
        } else {
            self.replace_actor();
        }
        if killed {
            self.note();
            self.tails.push(self.scene.tail());
        }
    }

    /// Kills everybody, lets something become of the files, and starts the application again.
    pub(crate) fn kill_all(&mut self, random: &mut Random, then: impl FnOnce(&Scene, &mut Random)) {
        self.kills += 1;
        self.is_begun = false;
        self.actor.process().signal(Signal::SIGKILL).unwrap();
        let told = self.actor.reap().unwrap();
        self.scene.tell(&told);
        if let Some(mut sidecar) = self.sidecar.take() {
            sidecar.process().signal(Signal::SIGKILL).unwrap();
            sidecar.reap();
            self.kills += 1;
            self.note();
        }
        then(&self.scene, random);
        self.restart_actor();
    }

    /// Takes what a killed application had told, and starts another one in its place.
    fn replace_actor(&mut self) {
        let told = self.actor.reap().unwrap();
        self.scene.tell(&told);
        self.restart_actor();
    }

    fn restart_actor(&mut self) {
        self.scene.look();
        self.seed += 1_000_000;
        self.actor = self.scene.start_actor(self.seed, &self.options);
    }

    /// The sidecar is gone: remembers what it knew to be durable, and what the replica has.
    fn note(&mut self) {
        let entries = Replica::open(&self.scene.objects).entries();
        self.durable.push((entries, self.scene.acknowledged()));
    }

    /// Brings the replica to its end and compares. `faults` were injected besides the kills.
    pub(crate) fn end(mut self, faults: u64, tally: &mut Tally) -> Compared {
        self.follow();
        self.stop();
        self.actor.finish().unwrap();
        let after = Replica::open(&self.scene.objects).entries();
        let mut compared = self.scene.compare();
        for (before, known) in &self.durable {
            compared.compare_kept(before, known.as_ref(), &after);
        }
        tally.add(self.kills + faults, &compared);
        tally.seeds += 1;
        tally.tails.extend(self.tails);
        tally.step_max = tally.step_max.max(self.scene.step_max);
        tally.log_bytes_max = tally.log_bytes_max.max(self.scene.log_bytes_max);
        compared
    }
}
