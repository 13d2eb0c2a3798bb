//! A replica in the making, with a clock of its own, and an oracle that knows every state.

use std::collections::BTreeSet;
use std::sync::Arc;

use ebbtide_catalog::{Nothing, PlanError, Progress, Target};
use ebbtide_replica::{EntryKind, Key, Timestamp, Txid};
use ebbtide_restore::{Error, Options, Report, restore, verify};
use ebbtide_retention::{Keep, Pass, PruneError, Pruned, prune};
use ebbtide_store::{MemoryStore, Store, StoreError};
use ebbtide_testkit::Random;

use ebbtide_testkit::builder::{Builder, START, micros, txid};

pub(crate) const HOUR: i64 = 3_600_000_000;
pub(crate) const DAY: i64 = 24 * HOUR;

/// So many segments make a pack.
const PACKED: u64 = 6;

/// A replica whose time passes.
pub(crate) struct History {
    pub(crate) builder: Builder,
    /// The store's time.
    pub(crate) now: i64,
    /// Since when the store has had the object with each entry.
    pub(crate) stored: Vec<i64>,
    /// The first entry that is in no pack.
    unpacked: u64,
    packs: bool,
    deltas: Option<Deltas>,
}

/// Where the next delta of an hour and of a day begin, and when.
struct Deltas {
    hour: (u64, i64),
    day: (u64, i64),
}

impl History {
    pub(crate) async fn begin(packs: bool) -> History {
        let builder = Builder::started(512, 4).await;
        builder.store.set_now(micros(START));
        let mut history = History {
            builder,
            now: START,
            stored: vec![START; 2],
            unpacked: 3,
            packs,
            deltas: None,
        };
        history.commit(1).await;
        history
    }

    /// From now on deltas are made at the ends of hours and days.
    pub(crate) fn make_deltas(&mut self) {
        let next = self.head().get() + 1;
        self.deltas = Some(Deltas { hour: (next, self.now / HOUR), day: (next, self.now / DAY) });
    }

    /// Makes the delta of what has ended, before anything else is committed.
    async fn end_hours(&mut self) {
        let (last, hour, day) = (self.head().get(), self.now / HOUR, self.now / DAY);
        let Some(deltas) = &mut self.deltas else { return };
        let first = match (day > deltas.day.1, hour > deltas.hour.1) {
            (true, _) => deltas.day.0,
            (false, true) => deltas.hour.0,
            (false, false) => return,
        };
        if first > last {
            return;
        }
        if day > deltas.day.1 {
            deltas.day = (last + 1, day);
        }
        deltas.hour = (last + 1, hour);
        self.builder.delta(first).await;
    }

    async fn snapshot(&mut self) {
        self.builder.snapshot().await;
        if self.deltas.is_some() {
            self.make_deltas();
        }
    }

    /// Lets time pass, for the application and for the store.
    pub(crate) fn wait(&mut self, duration: i64) {
        self.builder.wait(duration);
        self.now += duration;
        self.builder.store.set_now(micros(self.now));
    }

    pub(crate) async fn commit(&mut self, seed: u64) {
        let size = 4 + usize::try_from(seed % 3).unwrap();
        self.builder.commit(&[(usize::try_from(seed % 4).unwrap(), seed)], size);
        self.cut().await;
    }

    /// Another process takes over.
    pub(crate) async fn claim(&mut self) {
        self.builder.claim();
        self.cut().await;
    }

    async fn cut(&mut self) {
        self.builder.cut().await;
        self.stored.push(self.now);
        let last = self.head().get();
        if self.packs && last - self.unpacked >= PACKED {
            self.builder.pack(self.unpacked, last - 1).await;
            self.unpacked = last;
        }
    }

    pub(crate) fn head(&self) -> Txid {
        self.builder.last().txid
    }

    /// Marks the state after an entry, without judging whether it can be kept.
    pub(crate) async fn mark(&self, number: u64, lasts: Option<&str>) -> Key {
        let mark = self.builder.mark_of(number, lasts);
        self.builder.put_mark(&mark).await;
        mark.key()
    }

    pub(crate) async fn prune(&self, keep: &str) -> Result<Pruned, PruneError> {
        prune(self.store(), &pass(keep)).await
    }

    pub(crate) fn store(&self) -> Arc<dyn Store> {
        Arc::new(self.builder.store.clone())
    }

    /// Some hours or days of it.
    pub(crate) async fn live(&mut self, random: &mut Random, until: i64) {
        while self.now < until {
            let pause = match random.below(8) {
                0 => 5 * HOUR + i64::from(random.below(20)) * HOUR,
                1 => 0,
                _ => i64::from(random.below(100)) * 60_000_000,
            };
            self.wait(pause);
            self.end_hours().await;
            match random.below(40) {
                0 => self.claim().await,
                1 => self.snapshot().await,
                _ => self.commit(random.next()).await,
            }
        }
    }

    /// Nothing is wrong with the replica, and each state that is kept is proved.
    pub(crate) async fn assert_sound(&self) {
        let verification = verify(self.store(), &Arc::new(Progress::default())).await.unwrap();
        // A mark that was for three days may be there longer than its state.
        let mut findings = verification.findings.clone();
        findings.retain(|finding| !finding.what.contains("that it marked for 3d"));
        assert_eq!(findings, []);
        if let Some(thinned) = verification.thinned {
            assert_eq!(thinned.proved, thinned.states, "{thinned:?}");
            let window = self.head().get() - thinned.window.get() + 1;
            assert_eq!(verification.counts.digests, window, "{thinned:?}");
        }
    }

    /// Every entry gives its state or is refused as one that is not kept; which ones give it.
    pub(crate) async fn restorable(&self) -> BTreeSet<Txid> {
        let mut found = BTreeSet::new();
        for state in &self.builder.states {
            match restored(&self.builder.store, Target::Txid(state.txid)).await {
                Ok((bytes, _)) => {
                    assert!(bytes == state.image(), "{} is not what it was", state.txid);
                    found.insert(state.txid);
                }
                Err(Error::Plan(PlanError::Nothing(
                    Nothing::Kept { .. } | Nothing::Before { .. },
                ))) => {}
                Err(error) => panic!("{}: {error}", state.txid),
            }
        }
        let (bytes, _) = restored(&self.builder.store, Target::Latest).await.unwrap();
        assert!(bytes == self.builder.last().image(), "the newest state");
        found
    }

    /// The last entry at or before a time.
    fn at(&self, time: Timestamp) -> Option<Txid> {
        let states = self.builder.states.iter();
        states.filter(|state| state.time <= time).map(|state| state.txid).next_back()
    }

    /// A time gives the state of that time, or is refused: and it gives it if that state is kept.
    pub(crate) async fn check_time(&self, time: Timestamp, restorable: &BTreeSet<Txid>) {
        let expected = self.at(time);
        let result = restored(&self.builder.store, Target::Time(time)).await;
        match (result, expected) {
            (Ok((bytes, report)), Some(expected)) => {
                let state = self.builder.state(expected.get());
                assert!(bytes == state.image(), "{time} gives txid {expected}");
                assert_eq!(report.outline.point.state.txid(), expected, "{time}");
            }
            (Err(error), Some(expected)) => {
                assert!(!restorable.contains(&expected), "{time}, txid {expected}: {error}");
                let Error::Plan(PlanError::Nothing(nothing)) = &error else {
                    panic!("{time}: {error}")
                };
                if let Nothing::At { nearest, .. } = nothing {
                    let (before, after) = (nearest.before.unwrap(), nearest.after.unwrap());
                    assert!(before.txid < expected && expected < after.txid, "{time}: {error}");
                    for point in [before, after] {
                        assert!(restorable.contains(&point.txid), "{time}: {error}");
                    }
                }
            }
            (Ok(_), None) => panic!("{time} is before the first state"),
            (Err(_), None) => {}
        }
    }

    /// The claims' segments, which are never deleted.
    pub(crate) fn fences(&self) -> Vec<Key> {
        let claims = self.builder.states.iter().filter(|state| state.kind == EntryKind::Claim);
        claims.map(|state| Key::Log(state.txid)).collect()
    }

    pub(crate) async fn is_there(&self, key: Key) -> Result<bool, StoreError> {
        Ok(self.builder.store.size(&key).await?.is_some())
    }
}

pub(crate) fn pass(keep: &str) -> Pass {
    Pass {
        keep: Some(keep.parse::<Keep>().unwrap()),
        confirm_shrink: true,
        thorough: true,
        by: "a test".to_owned(),
    }
}

pub(crate) fn number(number: u64) -> Txid {
    txid(number)
}

/// The bytes of a state, restored into a directory that is gone afterwards.
pub(crate) async fn restored(
    store: &MemoryStore,
    target: Target,
) -> Result<(Vec<u8>, Report), Error> {
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("out.db");
    let options = Options {
        target,
        output: output.clone(),
        force: false,
        state: None,
        expect: None,
        check: None,
        bytes_per_second: None,
        now: Timestamp::MAX,
    };
    let report = restore(Arc::new(store.clone()), &options, &Arc::new(Progress::default())).await?;
    Ok((std::fs::read(&output).unwrap(), report))
}
