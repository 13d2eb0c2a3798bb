//! An application in a process of its own, its database, its replica, and what is known of every commit: where faults are
//! tried.

use std::fs::File;
use std::ops::Deref;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use ebbtide_catalog::Target;
use ebbtide_replica::{Entry, EntryFlags, EntryKind, Txid};
use ebbtide_state::{Position, State, state_directory};
use ebbtide_testkit::actor::{Actor, Ask};
use ebbtide_testkit::oracle::Image;
use ebbtide_testkit::workload::Options;
use ebbtide_testkit::writer::{Commit, micros_now};
use ebbtide_wal::{INDEX_BYTES, Index};

use crate::support::{Setup, image};
use crate::trial::ACTOR;

/// A [`Setup`] with an application in a process of its own, and the states that the database was in.
pub(crate) struct Scene {
    pub(crate) setup: Setup,
    /// Every state that a commit left and when, in µs since the epoch; in order, without repetitions.
    pub(crate) told: Vec<(Image, u64)>,
    /// How long the longest step of the application took.
    pub(crate) step_max: Duration,
    /// The longest log that was seen.
    pub(crate) log_bytes_max: u64,
}

/// What was found when a history was compared with what the application did.
#[derive(Debug, Default, Clone)]
pub(crate) struct Compared {
    /// States that were restored.
    pub(crate) states: usize,
    /// Resyncs that stand for commits which nobody saw.
    pub(crate) gaps: usize,
    /// Resyncs to a state that is older than what the replica had.
    pub(crate) forks: usize,
    /// States that the database never had, or not after the one before.
    pub(crate) phantoms: usize,
    /// Commits that are left out although no gap is told of.
    pub(crate) missing: usize,
    /// What was durable once and is not there any more, or is another.
    pub(crate) acknowledged_lost: usize,
    /// All of that, and whether the end is the database's state, in words.
    pub(crate) wrong: Vec<String>,
}

impl Compared {
    /// Fails with all that is wrong.
    #[track_caller]
    pub(crate) fn assert_right(&self, what: &str) {
        assert!(self.wrong.is_empty(), "{what}:\n{}", self.wrong.join("\n"));
    }

    /// What was durable before must still be there, and the same.
    pub(crate) fn compare_kept(
        &mut self,
        before: &[Entry],
        known: Option<&Position>,
        after: &[Entry],
    ) {
        for entry in before {
            if find(after, entry.txid) != Some(entry) {
                self.acknowledged_lost += 1;
                self.wrong.push(format!("durable {} is lost or has changed", entry.txid));
            }
        }
        let Some(known) = known else { return };
        if find(after, known.state.txid()).is_none_or(|entry| entry.digest != known.state.digest) {
            self.acknowledged_lost += 1;
            self.wrong.push(format!("acknowledged {} is lost or has changed", known.state.txid()));
        }
    }
}

fn find(entries: &[Entry], txid: Txid) -> Option<&Entry> {
    entries.iter().find(|entry| entry.txid == txid)
}

impl Deref for Scene {
    type Target = Setup;

    fn deref(&self) -> &Setup {
        &self.setup
    }
}

impl Scene {
    /// With the replica in a directory, in memory where that can be.
    pub(crate) fn new() -> Scene {
        Scene::of(Setup::in_memory())
    }

    pub(crate) const fn of(setup: Setup) -> Scene {
        Scene { setup, told: Vec::new(), step_max: Duration::ZERO, log_bytes_max: 0 }
    }

    /// Starts an application on the database.
    pub(crate) fn start_actor(&mut self, seed: u64, options: &Options) -> Actor {
        let actor = Actor::start(ACTOR, &self.database, seed, options).unwrap();
        self.see(actor.begin(), micros_now());
        actor
    }

    /// Has the application do something; how many commits that made.
    pub(crate) fn act(&mut self, actor: &mut Actor, ask: Ask) -> u64 {
        let told = actor.act(ask);
        self.tell(&told.commits);
        self.step_max = self.step_max.max(told.took);
        let log = self.database.with_extension("db-wal").metadata();
        self.log_bytes_max = self.log_bytes_max.max(log.map_or(0, |log| log.len()));
        told.commits.len() as u64
    }

    /// The application told these commits.
    pub(crate) fn tell(&mut self, commits: &[Commit]) {
        for commit in commits {
            self.see(commit.image.unwrap(), commit.micros);
        }
    }

    /// The database was seen in this state.
    pub(crate) fn see(&mut self, image: Image, micros: u64) {
        if self.told.last().is_none_or(|(last, _)| *last != image) {
            self.told.push((image, micros));
        }
    }

    /// Looks what an application left that was killed, which may be one commit more than it told.
    pub(crate) fn look(&mut self) -> Image {
        let image = image(&self.database);
        self.see(image, micros_now());
        image
    }

    /// How old the oldest commit is that the replica does not have; nothing if it has all.
    pub(crate) fn tail(&self) -> Duration {
        let replica = self.history();
        // Who is killed while it begins a replica leaves a claim, and none of its successors need get further.
        if replica.entries().iter().all(|entry| entry.kind == EntryKind::Claim) {
            return Duration::ZERO;
        }
        let (_, image) = replica.restore(Target::Latest, self.directory.path());
        let place = self.told.iter().rposition(|(told, _)| *told == image);
        let next = place.and_then(|place| self.told.get(place + 1));
        next.map_or(Duration::ZERO, |(_, then)| {
            Duration::from_micros(micros_now().saturating_sub(*then))
        })
    }

    /// What the wal-index says, unless it is being written just now.
    pub(crate) fn index(&self) -> Option<Index> {
        let mut bytes = [0; INDEX_BYTES];
        let shm = File::open(self.database.with_extension("db-shm")).ok()?;
        shm.read_exact_at(&mut bytes, 0).ok()?;
        Index::parse(&bytes).ok()
    }

    /// Up to where a sidecar that is gone knew its history to be durable. Its state is left as it is.
    pub(crate) fn acknowledged(&self) -> Option<Position> {
        let directory = state_directory(&self.database);
        let copy = self.directory.path().join("state-copy");
        if !directory.is_dir() {
            return None;
        }
        std::fs::create_dir(&copy).unwrap();
        for file in std::fs::read_dir(directory).unwrap() {
            let file = file.unwrap();
            // The spool is a directory, and is not part of what is acknowledged.
            if file.file_type().unwrap().is_file() {
                std::fs::copy(file.path(), copy.join(file.file_name())).unwrap();
            }
        }
        let position = State::open(&copy).unwrap().map(|state| state.position().clone());
        std::fs::remove_dir_all(&copy).unwrap();
        position
    }

    /// Restores every state of the history and compares it with what the application did: each must be one that was
    /// told, in the same order, each commit must come right after the one before it, and the last must be what the
    /// database is now.
    pub(crate) fn compare(&self) -> Compared {
        let states = self.history().states(self.directory.path());
        let mut found = Compared { states: states.len(), ..Compared::default() };
        let mut at: Option<usize> = None;
        for (entry, image) in &states {
            found.gaps += usize::from(ebbtide_catalog::missed_since(entry).is_some());
            found.forks += usize::from(entry.flags.contains(EntryFlags::FORK));
            // A state that the database fell back to was told again.
            let Some(place) = self.place(*image, at) else {
                found.phantoms += 1;
                let (kind, txid) = (entry.kind.name(), entry.txid);
                found.wrong.push(format!("{kind} {txid} is no state after {at:?}"));
                continue;
            };
            // Right after the one before it, or after the same state, told again.
            let follows = |before: usize| {
                place <= before + 1 || self.told[place - 1].0 == self.told[before].0
            };
            if entry.kind == EntryKind::Commit && !at.is_none_or(follows) {
                found.missing += 1;
                found.wrong.push(format!("commits are missing before {}", entry.txid));
            }
            at = Some(place);
        }
        let last = image(&self.database);
        let told = self.told.last().map(|(image, _)| *image);
        assert_eq!(told, Some(last), "the test knows every commit");
        if states.last().map(|(_, image)| *image) != Some(last) {
            found.wrong.push("the history does not end with the database's state".to_owned());
        }
        found
    }

    /// Which of the states this is, looking from `from` on.
    fn place(&self, image: Image, from: Option<usize>) -> Option<usize> {
        let from = from.unwrap_or(0);
        self.told[from..].iter().position(|(told, _)| *told == image).map(|place| from + place)
    }
}
