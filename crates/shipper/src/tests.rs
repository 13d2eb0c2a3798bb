//! The shipper as a whole, into a store that fails as a test says.

mod encrypted;
mod levels;

use std::sync::Arc;
use std::time::Instant;

use ebbtide_replica::container::Index;
use ebbtide_replica::{
    Chain, Digest, Encryption as Encrypted, EntryState, Key, KeyPrefix, Manifest, Point, ReplicaId,
    Timestamp, Txid, page_hash,
};
use ebbtide_seal::{KeyId, Keys, SecretKey};
use ebbtide_state::{Origin, Position, State};
use ebbtide_store::{ErrorKind, KeyedStore, Keyring, MemoryStore, Store as _};
use ebbtide_testkit::faulty::{Call, Faulty, Outcome};
use ebbtide_testkit::wrapped::Recipient;
use ebbtide_wal::{Checksum, PageNumber, PageSize, Salts};
use tempfile::TempDir;

use crate::commit::{Appended, Blocking, Commit};
use crate::comparison::KnownPages as _;
use crate::destination::Destination;
use crate::encryption::Encryption;
use crate::error::Error;
use crate::options::Options;
use crate::pages::EachPage;
use crate::presence::Presence;
use crate::rate_limiter::Rate;
use crate::replay::Unconfirmed;
use crate::safety::Safety;
use crate::shipper::Shipper;
use crate::spool::Spool;

const PAGE_SIZE: PageSize = PageSize::new(512).unwrap();
const REPLICA: ReplicaId = ReplicaId::from_bytes([7; 16]);

/// A shipper into a replica whose only entry is the first one, of an empty database.
struct Setup {
    store: Faulty,
    shipper: Shipper,
    directory: TempDir,
}

/// The index key of the encrypted replica.
fn index_key() -> SecretKey {
    SecretKey::from_bytes([9; SecretKey::SIZE])
}

fn manifest(is_encrypted: bool) -> Manifest {
    let (created, created_by) = (Timestamp::EPOCH, "a test".to_owned());
    let encryption = is_encrypted.then(|| Encrypted::new(KeyId::of(&index_key())));
    Manifest { replica: REPLICA, page_size: PAGE_SIZE, created, created_by, encryption }
}

fn wal(frame: u32) -> ebbtide_wal::Position {
    ebbtide_wal::Position { salts: Salts([1; 8]), frame, checksum: Checksum { s0: 1, s1: 2 } }
}

fn first_position() -> Position {
    Position {
        replica: REPLICA,
        location: "memory".to_owned(),
        page_size: PAGE_SIZE,
        state: EntryState {
            point: Point { txid: Txid::FIRST, time: Timestamp::EPOCH },
            chain: Chain::genesis(REPLICA),
            digest: Digest::EMPTY,
            database_pages: 0,
        },
        wal: None,
        database: None,
        origin: Origin::Followed,
    }
}

impl Setup {
    async fn new(spool_bytes_max: u64) -> Setup {
        Setup::with(false, spool_bytes_max).await
    }

    /// One with a plain replica, and one with an encrypted one.
    async fn both(spool_bytes_max: u64) -> [Setup; 2] {
        [Setup::with(false, spool_bytes_max).await, Setup::with(true, spool_bytes_max).await]
    }

    async fn with(is_encrypted: bool, spool_bytes_max: u64) -> Setup {
        let keys: Keys = is_encrypted.then(index_key).into_iter().collect();
        let keyed =
            KeyedStore::new(Arc::new(MemoryStore::new()), Arc::new(Keyring::new(keys, None)));
        let store = Faulty::new(Arc::new(keyed));
        let manifest = manifest(is_encrypted);
        store.put(&Key::Manifest, manifest.to_json().into()).await.unwrap();
        let directory = tempfile::tempdir().unwrap();
        let encryption = is_encrypted.then(|| {
            let wrap = Arc::new(Recipient("owner"));
            Arc::new(Encryption::new(wrap, REPLICA, index_key(), directory.path()))
        });
        let to = Destination::new(Arc::new(store.clone()), Arc::default()).encrypted(encryption);
        let fill = State::create(directory.path()).unwrap();
        let state = State::publish(fill, first_position()).unwrap();
        let spool = Spool::new(directory.path(), spool_bytes_max, &to).unwrap();
        let presence = Arc::new(Presence::new(manifest, true, to));
        let options =
            Options { puts: Rate { per_second: 1e6, burst: 1e6 }, spool_bytes_max, wrap: None };
        let shipper = Shipper::new(state, None, None, presence, spool, options);
        Setup { store, shipper, directory }
    }

    /// Appends a commit that fills the pages 1 to `pages` with `byte`.
    fn append(&mut self, pages: u32, byte: u8) -> Appended {
        let frame = u32::try_from(self.shipper.last().txid.get()).unwrap();
        let commit = Commit {
            time: Timestamp::EPOCH,
            database_pages: pages,
            page_count: pages as usize,
            wal: wal(frame),
        };
        let appended = self.shipper.append(commit, Blocking::Allowed, fill(pages, byte));
        appended.unwrap()
    }

    /// Appends a commit and sends it on its way.
    fn put(&mut self, pages: u32, byte: u8) {
        assert_eq!(self.append(pages, byte), Appended::Taken);
        self.shipper.pump(Instant::now()).unwrap();
    }

    /// The log in the store must continue the first entry without a gap. The first txids of its segments.
    async fn history(&self) -> Vec<u64> {
        let (mut chain, mut firsts) = (first_position().state.chain, Vec::new());
        for object in self.store.list(KeyPrefix::Log, None).await.unwrap() {
            let manifest = self.shipper.presence().manifest();
            let fetched = ebbtide_catalog::read_index(&self.store, manifest, object).await;
            let index: Index = fetched.unwrap().index;
            assert_eq!(index.header().chain(), Some(chain), "{}", object.key);
            chain = index.footer().chain;
            firsts.push(index.entries()[0].txid.get());
        }
        assert_eq!(chain, self.shipper.durable().state.chain);
        firsts
    }
}

/// Visits the pages 1 to `pages`.
fn fill(pages: u32, byte: u8) -> impl FnOnce(&mut EachPage<'_, Error>) -> Result<(), Error> {
    move |each| {
        let image = [byte; 512];
        (1..=pages).filter_map(PageNumber::new).try_for_each(|page| each(page, &image))
    }
}

fn away(call: &Call) -> Option<Outcome> {
    matches!(call, Call::Put(_)).then_some(Outcome::Fail(ErrorKind::Unavailable))
}

/// Would catch a batch that is encoded behind the entry that comes after it, or with another digest.
#[tokio::test]
async fn small_and_large_commits_stay_in_order() {
    for mut setup in Setup::both(0).await {
        for (pages, byte) in [(1, 1), (2, 2), (200, 3), (200, 4), (3, 5)] {
            assert_eq!(setup.append(pages, byte), Appended::Taken);
        }
        assert_eq!(setup.shipper.last().txid.get(), 6);
        assert_eq!(setup.shipper.safety(), Safety::Buffered, "five entries are more than a few");
        setup.shipper.settle().await.unwrap();
        assert_eq!(setup.shipper.safety(), Safety::Durable);
        assert_eq!(setup.history().await, [2]);
        let pages = (1..=3).filter_map(PageNumber::new);
        let digest =
            pages.fold(Digest::EMPTY, |digest, page| digest.toggle(page_hash(page, &[5; 512])));
        assert_eq!(setup.shipper.digest(), digest);
        assert_eq!(setup.shipper.durable().wal, Some(wal(5)));
    }
}

/// Would catch segments that overtake each other on the way through the spool, and a spool that has a hole because the
/// segment that was in flight is not in it.
#[tokio::test]
async fn an_outage_goes_through_the_spool_in_order() {
    for mut setup in Setup::both(1 << 20).await {
        setup.store.script(away);
        setup.put(1, 1);
        setup.shipper.start_spooling();
        setup.put(1, 2);
        setup.shipper.flush().unwrap();
        setup.shipper.landed().await.unwrap();
        for byte in 3..6 {
            setup.put(1, byte);
            setup.shipper.flush().unwrap();
            setup.shipper.landed().await.unwrap();
        }
        assert_eq!(setup.shipper.safety(), Safety::Spooled);
        let spooled = setup.directory.path().join("spool/log");
        assert_eq!(setup.history().await, [0_u64; 0]);
        assert!(walk(&spooled) >= 3, "{}", spooled.display());
        setup.store.heal();
        setup.shipper.settle().await.unwrap();
        let firsts = setup.history().await;
        assert_eq!(firsts[0], 2);
        assert_eq!(setup.shipper.durable().state.txid().get(), 6);
        assert_eq!(walk(&spooled), 0, "what is durable leaves the spool");
        setup.put(1, 9);
        setup.shipper.settle().await.unwrap();
        assert_eq!(walk(&spooled), 0, "the outage is over");
    }
}

/// The number of files under a directory.
fn walk(directory: &std::path::Path) -> usize {
    let entries = std::fs::read_dir(directory).into_iter().flatten().map(Result::unwrap);
    entries.map(|entry| if entry.path().is_dir() { walk(&entry.path()) } else { 1 }).sum()
}

/// Would catch a transaction of any size that is streamed onto a disk without room for it, and a session that ends with
/// an error of the store instead of releasing the log.
#[tokio::test]
async fn a_large_commit_is_refused_while_the_spool_has_no_room() {
    for mut setup in Setup::both(1 << 20).await {
        setup.store.script(away);
        setup.put(1, 1);
        setup.shipper.start_spooling();
        let last = setup.shipper.last();
        assert_eq!(setup.append(20_000, 2), Appended::SpoolFull);
        assert_eq!(setup.shipper.last(), last);
        assert!(!setup.shipper.is_spool_full(), "a small commit has room");
        assert_eq!(setup.append(1, 3), Appended::Taken);
        let Setup { shipper, directory, .. } = setup;
        shipper.drain().await.unwrap();
        assert!(walk(&directory.path().join("spool/log")) >= 1);
    }
}

/// Would catch a large transaction that waits for the store while the application's writers wait for us.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_commit_is_streamed_only_if_it_may_block() {
    for (blocking, safety, is_encrypted) in [
        (Blocking::Allowed, Safety::NeedsLog, false),
        (Blocking::Allowed, Safety::NeedsLog, true),
        (Blocking::Forbidden, Safety::Buffered, true),
    ] {
        let mut setup = Setup::with(is_encrypted, 0).await;
        let pages = 40_000;
        let commit = Commit {
            time: Timestamp::EPOCH,
            database_pages: pages,
            page_count: pages as usize,
            wal: wal(1),
        };
        let each_page = |each: &mut EachPage<'_, Error>| {
            let mut random = ebbtide_testkit::Random::new(7);
            (1..=pages).filter_map(PageNumber::new).try_for_each(|page| {
                let image: Vec<u8> = (0..64).flat_map(|_| random.next().to_le_bytes()).collect();
                each(page, &image)
            })
        };
        let appended = setup.shipper.append(commit, blocking, each_page).unwrap();
        assert_eq!(appended, Appended::Taken);
        if blocking == Blocking::Forbidden {
            assert!(!setup.store.calls().contains(&Call::Upload(Key::Log(Txid::new(2).unwrap()))));
            setup.shipper.pump(Instant::now()).unwrap();
        }
        assert_eq!(setup.shipper.safety(), safety);
        setup.shipper.settle().await.unwrap();
        assert_eq!(setup.history().await, [2]);
    }
}

/// Would catch a replay that takes other commits for those of the replica.
#[tokio::test]
async fn a_replay_is_confirmed_only_by_the_commits_of_the_replica() {
    let mut setup = Setup::new(0).await;
    let known = first_position().state;
    setup.put(2, 1);
    setup.put(3, 2);
    setup.shipper.settle().await.unwrap();
    let there = setup.shipper.durable().clone();
    let mut expected = known.chain;
    for object in setup.store.list(KeyPrefix::Log, None).await.unwrap() {
        let manifest = manifest(false);
        let fetched = ebbtide_catalog::read_index(&setup.store, &manifest, object).await.unwrap();
        for entry in fetched.index.entries() {
            expected = crate::replay::carried_after(expected, entry.database_pages, &entry.content);
        }
    }
    for (bytes, is_same) in [([1, 2], true), ([2, 2], false)] {
        let mut again = Setup::new(0).await;
        let mut unconfirmed = Unconfirmed::new(2, known.chain, there.clone(), expected);
        for (pages, byte) in [2, 3].into_iter().zip(bytes) {
            unconfirmed.replay(&mut again.shipper, pages, fill(pages, byte)).unwrap();
        }
        assert_eq!(unconfirmed.left(), 0);
        assert_eq!(unconfirmed.confirm(&mut again.shipper, wal(9)).unwrap(), is_same);
        let txid = if is_same { there.state.txid() } else { known.txid() };
        assert_eq!(again.shipper.durable().state.txid(), txid);
    }
}
