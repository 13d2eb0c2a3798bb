//! A sidecar that is started, stopped and killed again and again, and what was durable whenever it was gone.

use ebbtide_replica::Entry;
use ebbtide_state::Position;
use nix::sys::signal::Signal;

use crate::scene::{Compared, Scene};
use crate::support::Sidecar;

/// The runs of a sidecar, one after the other.
#[derive(Default)]
pub(crate) struct Runs {
    sidecar: Option<Sidecar>,
    /// Whether it was started and may not follow yet.
    is_begun: bool,
    /// What the replica had, and what the local state knew to be durable, at the end of each.
    durable: Vec<(Vec<Entry>, Option<Position>)>,
    /// How many ended by a kill.
    pub(crate) kills: u64,
}

impl Runs {
    /// Whether the sidecar runs.
    pub(crate) const fn is_on(&self) -> bool {
        self.sidecar.is_some()
    }

    /// Starts the sidecar, unless it runs, and does not wait until it follows.
    pub(crate) fn begin(&mut self, scene: &Scene) {
        if self.sidecar.is_none() {
            self.sidecar = Some(scene.spawn());
            self.is_begun = true;
        }
    }

    /// Waits until it follows, if it was started and may not yet.
    pub(crate) fn wait(&mut self) {
        if let Some(sidecar) = &self.sidecar
            && std::mem::take(&mut self.is_begun)
        {
            sidecar.wait_until_it_follows();
        }
    }

    /// Has it end with everything durable, if it runs.
    pub(crate) fn stop(&mut self, scene: &Scene) {
        // Before it follows, it may not even have heard of signals.
        self.wait();
        if let Some(sidecar) = self.sidecar.take() {
            assert_eq!(sidecar.stop(), 0, "everything is durable at the end");
            self.note(scene);
        }
    }

    /// SIGKILL, if it runs; [`Runs::bury`] waits for its end.
    pub(crate) fn kill(&self) {
        if let Some(sidecar) = &self.sidecar {
            sidecar.process().signal(Signal::SIGKILL).unwrap();
        }
    }

    /// Waits for the end of one that was killed; whether there was one.
    pub(crate) fn bury(&mut self, scene: &Scene) -> bool {
        let Some(mut sidecar) = self.sidecar.take() else { return false };
        sidecar.reap();
        self.is_begun = false;
        self.kills += 1;
        self.note(scene);
        true
    }

    /// The sidecar is gone: remembers what it knew to be durable, and what the replica has.
    fn note(&mut self, scene: &Scene) {
        self.durable.push((scene.history().entries(), scene.acknowledged()));
    }

    /// What was durable at the end of any run must be in the replica now, and the same.
    pub(crate) fn compare_kept(&self, scene: &Scene, compared: &mut Compared) {
        let after = scene.history().entries();
        for (before, known) in &self.durable {
            compared.compare_kept(before, known.as_ref(), &after);
        }
    }
}
