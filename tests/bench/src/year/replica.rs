//! A database and its replica, driven as a session of `replicate` drives them: commit by commit, hour by hour, with one
//! pass of retention a day. All of it is the code that ships; the clocks are arguments.

use std::borrow::Cow;
use std::sync::{Arc, PoisonError, RwLock};

use ebbtide_replica::{Key, Timestamp};
use ebbtide_retention::{Keep, Pass, prune};
use ebbtide_shipper::{
    self as shipper, Blocking, Commit, Consent, EachPage, FirstState, Level, Local, Options, Owner,
    Rate, Shipper, StoreHealth, look, ship_delta, ship_snapshot,
};
use ebbtide_sidecar::track::{Track, Worth};
use ebbtide_store::Store;
use ebbtide_testkit::Random;
use ebbtide_wal::{Checksum, PageNumber, PageSize, Position, Salts, lock_page};
use tempfile::TempDir;

use super::metered::Metered;
use crate::Result;

const SECOND: i64 = 1_000_000;
pub(crate) const HOUR: i64 = 3600 * SECOND;
pub(crate) const DAY: i64 = 24 * HOUR;

/// 2026-01-01T00:00:00Z.
pub(crate) const BEGIN: i64 = 1_767_225_600 * SECOND;

/// What was made since the beginning.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Made {
    pub(crate) commits: u64,
    pub(crate) hours: u64,
    pub(crate) days: u64,
    pub(crate) snapshots: u64,
    pub(crate) horizons: u64,
}

/// A database with pages of 4 KiB, and what an application does to it.
pub(crate) trait Application: Send + Sync + 'static {
    /// How many pages it has.
    fn pages(&self) -> u32;

    /// One of them.
    fn page(&self, page: u32) -> Cow<'_, [u8]>;

    /// A commit on this day. The pages that it wrote, in order.
    fn commit(&mut self, today: i64, random: &mut Random) -> Vec<u32>;

    /// All pages but the lock page.
    fn all(&self) -> impl Iterator<Item = u32> + use<Self> {
        let lock = PageSize::new(4096).map(lock_page).map_or(0, PageNumber::get);
        (1..=self.pages()).filter(move |page| *page != lock)
    }
}

/// A database and its replica.
pub(crate) struct Replica<A> {
    pub(crate) database: Arc<RwLock<A>>,
    pub(crate) store: Metered,
    pub(crate) made: Made,
    random: Random,
    shipper: Shipper,
    track: Track,
    owner: Owner,
    keep: Keep,
    /// The hour of the last look whether the replica is there, and the day of the last pass.
    looked: i64,
    pruned: i64,
    _directory: TempDir,
}

type ShipError = shipper::Error;

impl<A: Application> Replica<A> {
    /// Begins with the first snapshot.
    pub(crate) async fn begin(database: A, keep: Keep, seed: u64) -> Result<Replica<A>> {
        let store = Metered::default();
        store.set_now(BEGIN);
        let directory = tempfile::tempdir()?;
        let local = local(&directory)?;
        let (options, consent) = (options(), Consent::default());
        let found = look(shared(&store), Arc::default(), local, &options, consent).await?;
        let creator = found.create()?;
        let first =
            FirstState { time: timestamp(BEGIN), database_pages: database.pages(), wal: wal() };
        let database = Arc::new(RwLock::new(database));
        let owner = owner();
        let pages = every_page(&database);
        let mut shipper = creator.create::<ShipError>(&owner, first, &options, pages).await?;
        shipper.take_appended();
        let newest = shipper.durable().state.point;
        let track = Track::new(&shipper, Some(newest));
        Ok(Replica {
            database,
            store,
            made: Made::default(),
            random: Random::new(seed),
            shipper,
            track,
            owner,
            keep,
            looked: BEGIN / HOUR,
            pruned: BEGIN / DAY,
            _directory: directory,
        })
    }

    /// The application commits at `now`, and that is put.
    pub(crate) async fn commit(&mut self, now: i64) -> Result<()> {
        self.append(now).await?;
        self.put().await
    }

    /// The application commits at `now`; what has ended before is done first.
    pub(crate) async fn append(&mut self, now: i64) -> Result<()> {
        self.pass_time(now).await?;
        let written = {
            let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
            database.commit(now / DAY, &mut self.random)
        };
        let database = Arc::clone(&self.database);
        let pages = database.read().unwrap_or_else(PoisonError::into_inner).pages();
        let commit = Commit {
            time: timestamp(now),
            database_pages: pages,
            page_count: written.len(),
            wal: wal(),
        };
        let each = |each: &mut EachPage<'_, ShipError>| visit(&database, written, each);
        let _taken = self.shipper.append(commit, Blocking::Allowed, each)?;
        self.made.commits += 1;
        Ok(())
    }

    /// The hour or the day ends, and the store's clock goes on.
    pub(crate) async fn pass_time(&mut self, now: i64) -> Result<()> {
        self.store.set_now(now);
        if let Some(ended) = self.track.ended(timestamp(now)) {
            // What is read of the database now must be what was appended.
            self.put().await?;
            self.end(ended, now).await?;
            self.track.pass(timestamp(now));
        }
        if now / HOUR > self.looked {
            self.looked = now / HOUR;
            self.shipper.presence().check().await?;
        }
        if now / DAY > self.pruned {
            self.pruned = now / DAY;
            let by = "a benchmark".to_owned();
            let keep = Some(self.keep);
            let pass = Pass { keep, confirm_shrink: false, thorough: false, by };
            let pruned = prune(shared(&self.store), &pass).await?;
            self.made.horizons += u64::from(pruned.horizon.is_some());
        }
        Ok(())
    }

    /// Puts what is appended.
    pub(crate) async fn put(&mut self) -> Result<()> {
        self.shipper.settle().await?;
        self.shipper.settle_packs().await;
        self.track.appended(self.shipper.take_appended());
        Ok(())
    }

    /// What `Snapshots` of the sidecar does at the end of an hour.
    async fn end(&mut self, ended: Level, now: i64) -> Result<()> {
        let store = shared(&self.store);
        if let Some(asked) = self.track.ask(&store, timestamp(now)) {
            self.track.found(asked.await?);
        }
        self.track.appended(self.shipper.take_appended());
        match self.track.worth(ended, &self.shipper) {
            Worth::Nothing => Ok(()),
            Worth::Snapshot => self.snapshot().await,
            Worth::Delta(level) => self.delta(level).await,
        }
    }

    pub(crate) async fn snapshot(&mut self) -> Result<()> {
        self.made.snapshots += 1;
        let snapshot = self.shipper.snapshot();
        self.shipper.begin_levels(Level::Day);
        let vouch = ship_snapshot::<ShipError>(snapshot, every_page(&self.database)).await?;
        self.shipper.presence().set_base(Some(vouch.object));
        self.vouch(vouch, None).await
    }

    async fn delta(&mut self, level: Level) -> Result<()> {
        let Some(delta) = self.shipper.delta(level) else { return Ok(()) };
        match level {
            Level::Hour => self.made.hours += 1,
            Level::Day => self.made.days += 1,
        }
        let base = self.shipper.level(level).map(|(base, _)| base.txid());
        let ranges = delta.pages().to_vec();
        let database = Arc::clone(&self.database);
        let pages = move |each: &mut EachPage<'_, ShipError>| {
            visit(&database, ranges.into_iter().flatten(), each)
        };
        self.shipper.begin_levels(level);
        let vouch = ship_delta::<ShipError>(delta, pages).await?;
        self.vouch(vouch, base).await
    }

    async fn vouch(
        &mut self,
        vouch: ebbtide_replica::Vouch,
        base: Option<ebbtide_replica::Txid>,
    ) -> Result<()> {
        let bytes = self.store.size(&vouch.object).await?.ok_or("it was just put")?;
        let pages = self.database.read().unwrap_or_else(PoisonError::into_inner).pages();
        let vouches = self.track.made(vouch, bytes, base, pages);
        shipper::vouch(&mut self.shipper, &self.owner, &vouches)?;
        self.shipper.levels_vouched();
        self.put().await
    }

    /// All objects with their lengths.
    pub(crate) fn objects(&self) -> Vec<(Key, u64)> {
        let objects = self.store.objects();
        objects.into_iter().filter_map(|(name, bytes)| Some((name.parse().ok()?, bytes))).collect()
    }

    /// The database, once nobody else has it.
    pub(crate) fn into_database(self) -> Option<A> {
        let Replica { database, shipper, .. } = self;
        drop(shipper);
        let database = Arc::into_inner(database)?;
        Some(database.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    /// A start without local state, up to the table of page hashes.
    pub(crate) async fn start_anew(&self) -> Result<()> {
        let directory = tempfile::tempdir()?;
        let local = local(&directory)?;
        let health = Arc::<StoreHealth>::default();
        let found =
            look(shared(&self.store), health, local, &options(), Consent::default()).await?;
        let shipper = found.rebuild().await?;
        let (there, here) = (shipper.position().state, self.shipper.position().state);
        if (there.digest, there.chain) != (here.digest, here.chain) {
            return Err("the rebuilt table is another one".into());
        }
        Ok(())
    }
}

pub(crate) fn shared(store: &Metered) -> Arc<dyn Store> {
    Arc::new(store.clone())
}

pub(crate) fn timestamp(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros).unwrap_or(Timestamp::MAX)
}

fn visit(
    database: &RwLock<impl Application>,
    pages: impl IntoIterator<Item = u32>,
    each: &mut EachPage<'_, ShipError>,
) -> std::result::Result<(), ShipError> {
    let database = database.read().unwrap_or_else(PoisonError::into_inner);
    let pages = pages.into_iter().filter(|page| *page <= database.pages());
    for page in pages.filter_map(PageNumber::new) {
        each(page, &database.page(page.get()))?;
    }
    Ok(())
}

fn every_page<A: Application>(
    database: &Arc<RwLock<A>>,
) -> impl FnOnce(&mut EachPage<'_, ShipError>) -> std::result::Result<(), ShipError>
+ Send
+ 'static
+ use<A> {
    let database = Arc::clone(database);
    move |each| {
        let all = database.read().unwrap_or_else(PoisonError::into_inner).all();
        visit(&database, all, each)
    }
}

fn local(directory: &TempDir) -> Result<Local> {
    Ok(Local {
        state: None,
        remembered: None,
        directory: directory.path().join("state"),
        database: None,
        file: None,
        host: "host".to_owned(),
        page_size: PageSize::new(4096).ok_or("a page size")?,
    })
}

/// A put for each commit.
fn options() -> Options {
    Options { puts: Rate { per_second: 1e6, burst: 1e6 }, spool_bytes_max: 1 << 30, wrap: None }
}

fn owner() -> Owner {
    Owner {
        host: "host".to_owned(),
        pid: 1,
        session: "a-session-of-the-year".to_owned(),
        version: "0.0.0".to_owned(),
    }
}

fn wal() -> Position {
    Position { salts: Salts([1; 8]), frame: 1, checksum: Checksum { s0: 1, s1: 2 } }
}
