//! What is written into encrypted replicas: with all keys it is what was committed, and without them nothing of it shows.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use ebbtide_replica::container::Header;
use ebbtide_replica::{ClaimedFile, Key, KeyPrefix, Manifest, Timestamp, Txid, page_hash};
use ebbtide_seal::{KeyId, KeyUse, Keys, Wrap};
use ebbtide_state::{State, add_index_key, index_keys};
use ebbtide_store::{ErrorKind, KeyedStore, Keyring, MemoryStore, Object, Store, open_key};
use ebbtide_testkit::Random;
use ebbtide_testkit::faulty::{Call, Faulty, Outcome};
use ebbtide_testkit::wrapped::{Identities, Recipient};
use ebbtide_wal::PageNumber;
use tempfile::TempDir;
use tokio::sync::Notify;

use super::{PAGE_SIZE, away, wal};
use crate::bodies::{BODIES, Bodies};
use crate::claim::claim;
use crate::commit::{Appended, Blocking, Commit};
use crate::create::FirstState;
use crate::error::Error;
use crate::evidence::{HeadRelation, ReplicaEvidence};
use crate::local::Local;
use crate::log_object::PACK_SEGMENTS;
use crate::look::{Consent, Found, look};
use crate::options::Options;
use crate::owner::Owner;
use crate::pack::pack;
use crate::pages::EachPage;
use crate::rate_limiter::Rate;
use crate::shipper::Shipper;
use crate::snapshot::{ship_delta, ship_snapshot};

/// What each row has, and a name that is only in claims.
const CANARY: &[u8; 16] = b"canary in a cage";
const HOST: &str = "host-of-the-canary";
const FILE: &str = "/srv/canary/app.db";

/// A place of a replica, and the local state of the host that writes it.
struct Place {
    store: Faulty,
    directory: TempDir,
    wrap: Option<Arc<dyn Wrap>>,
}

fn owner() -> Owner {
    let (host, session) = (HOST.to_owned(), "session".to_owned());
    Owner { host, pid: 1, session, version: "1.0".to_owned() }
}

/// The image of a page after a commit.
fn image(byte: u8) -> [u8; 512] {
    let mut image = [byte; 512];
    image[100..116].copy_from_slice(CANARY);
    image
}

fn page(number: u32) -> PageNumber {
    PageNumber::new(number).unwrap()
}

/// Visits the pages 1 to `pages`.
fn fill(pages: u32, byte: u8) -> impl FnOnce(&mut EachPage<'_, Error>) -> Result<(), Error> {
    move |each| (1..=pages).try_for_each(|number| each(page(number), &image(byte)))
}

/// Enough pages that do not compress to be streamed.
const NOISE_PAGES: u32 = 20_000;

/// Visits them.
fn noise(byte: u8) -> impl FnOnce(&mut EachPage<'_, Error>) -> Result<(), Error> {
    move |each| {
        let mut random = Random::new(7);
        (1..=NOISE_PAGES).try_for_each(|number| {
            let mut image: Vec<u8> = (0..64).flat_map(|_| random.next().to_le_bytes()).collect();
            image[0] = byte;
            image[100..116].copy_from_slice(CANARY);
            each(page(number), &image)
        })
    }
}

/// Appends them as one commit, which is streamed.
fn commit_noise(shipper: &mut Shipper, byte: u8) {
    let (pages, time) = (NOISE_PAGES, time(0));
    let commit = Commit { time, database_pages: pages, page_count: pages as usize, wal: wal(7) };
    let appended = shipper.append(commit, Blocking::Allowed, noise(byte)).unwrap();
    assert_eq!(appended, Appended::Taken);
    shipper.pump(Instant::now()).unwrap();
}

fn time(hour: i64) -> Timestamp {
    Timestamp::from_micros((1_000_000 + hour) * 3_600_000_000).unwrap()
}

impl Place {
    fn new() -> Place {
        let store = Faulty::new(Arc::new(MemoryStore::new()));
        let wrap: Arc<dyn Wrap> = Arc::new(Recipient("owner"));
        Place { store, directory: tempfile::tempdir().unwrap(), wrap: Some(wrap) }
    }

    fn state(&self) -> &Path {
        self.directory.path()
    }

    fn options(&self, spool_bytes_max: u64) -> Options {
        let puts = Rate { per_second: 1e6, burst: 1e6 };
        Options { puts, spool_bytes_max, wrap: self.wrap.clone() }
    }

    async fn look(&self) -> Result<Found, Error> {
        let state = State::open(self.state()).unwrap();
        let remembered = state.as_ref().map(|state| state.position().clone());
        let file = ClaimedFile { path: FILE.to_owned(), device: 1, inode: 2 };
        let local = Local {
            state,
            remembered,
            directory: self.state().to_path_buf(),
            database: None,
            file: Some(file),
            host: HOST.to_owned(),
            page_size: PAGE_SIZE,
        };
        let store = Arc::new(self.store.clone());
        look(store, Arc::default(), local, &self.options(1 << 20), Consent::default()).await
    }

    /// From now on the request after so many is never answered, and none is done; who is told when it comes.
    fn kill_at(&self, requests: usize) -> Arc<Notify> {
        let (hung, mut left) = (Arc::new(Notify::new()), requests);
        let notify = Arc::clone(&hung);
        self.store.script(move |_| {
            if left == 0 {
                notify.notify_one();
                return Some(Outcome::Hang);
            }
            left -= 1;
            None
        });
        hung
    }

    /// Begins the replica of a database of three pages.
    async fn create(&self) -> Result<Shipper, Error> {
        let first = FirstState { time: time(0), database_pages: 3, wal: wal(1) };
        let creator = self.look().await?.create()?;
        creator.create(&owner(), first, &self.options(1 << 20), fill(3, 1)).await
    }

    async fn resume(&self) -> Shipper {
        let mut shipper = self.look().await.unwrap().resume().await.unwrap();
        claim(&mut shipper, &owner(), time(0)).await.unwrap();
        shipper
    }

    /// The store as the owner of the identity reads it.
    fn owned(&self) -> Arc<dyn Store> {
        let identity = Arc::new(Identities(vec!["owner"]));
        let keyring = Arc::new(Keyring::new(Keys::NONE, Some(identity)));
        Arc::new(KeyedStore::new(Arc::new(self.store.clone()), keyring))
    }

    /// All pages of the newest state, each by its first byte, out of the newest snapshot and the log after it.
    async fn database(&self) -> Vec<u8> {
        let store = self.owned();
        let manifest = ebbtide_catalog::read_manifest(&*store).await.unwrap().unwrap();
        if let Some(encryption) = manifest.encryption {
            let id = encryption.index;
            open_key(&*store, manifest.replica, id, KeyUse::Index).await.unwrap();
        }
        let mut objects = store.list(KeyPrefix::Snapshot, None).await.unwrap();
        let Key::Snapshot(base) = objects.last().unwrap().key else { panic!() };
        objects.drain(..objects.len() - 1);
        objects.extend(store.list(KeyPrefix::Log, Some(&Key::Log(base))).await.unwrap());
        let mut pages = Vec::new();
        for object in objects {
            apply(&*store, &manifest, object, &mut pages).await;
        }
        pages
    }

    /// Every byte of the store, and of the local state but for what is its own: position, page hashes and index keys.
    async fn bytes(&self) -> Vec<(String, Vec<u8>)> {
        let mut all = Vec::new();
        for prefix in KeyPrefix::ALL {
            for Object { key, .. } in self.store.list(prefix, None).await.unwrap() {
                let body = self.store.get(&key, u64::MAX).await.unwrap();
                all.push((key.to_string(), body.to_vec()));
            }
        }
        let manifest = self.store.get(&Key::Manifest, u64::MAX).await.unwrap();
        all.push(("ebbtide.json".to_owned(), manifest.to_vec()));
        walk(self.state(), &mut all);
        let is_state = |name: &str| {
            let name = name.rsplit('/').next().unwrap_or_default();
            ["position.", "pages.", "journal."].iter().any(|begin| name.starts_with(begin))
        };
        all.retain(|(name, _)| !is_state(name));
        all
    }
}

fn walk(directory: &Path, all: &mut Vec<(String, Vec<u8>)>) {
    for entry in std::fs::read_dir(directory).unwrap().map(Result::unwrap) {
        let path = entry.path();
        match path.is_dir() {
            true => walk(&path, all),
            false => all.push((path.display().to_string(), std::fs::read(path).unwrap())),
        }
    }
}

/// Applies the pages of an object to a database.
async fn apply(store: &dyn Store, manifest: &Manifest, object: Object, pages: &mut Vec<u8>) {
    let mut index = ebbtide_catalog::read_index(store, manifest, object).await.unwrap().index;
    if let Some(id) = index.opener().missing() {
        open_key(store, manifest.replica, id, KeyUse::Pages).await.unwrap();
        index.add_keys(&ebbtide_store::keys_at_hand(store));
    }
    let (mut decoded, mut images) = (None, Vec::new());
    for (number, entry) in index.entries().iter().enumerate() {
        pages.resize(pages.len().max(entry.database_pages as usize), 0);
        for place in index.pages(number) {
            if decoded.replace(place.block) != Some(place.block) {
                let block = &index.page_blocks()[place.block];
                let stored = store.get_range(&object.key, block.offset..block.end()).await.unwrap();
                images = block.decode(index.opener(), &stored).unwrap();
            }
            let image = &images[place.index * 512..][..512];
            assert_eq!(&image[100..116], CANARY);
            pages[place.number.get() as usize - 1] = image[0];
        }
        pages.truncate(entry.database_pages as usize);
    }
}

/// Appends a commit and sends it on its way.
fn commit(shipper: &mut Shipper, hour: i64, pages: u32, byte: u8) {
    let frame = u32::try_from(shipper.last().txid.get()).unwrap();
    let (page_count, wal) = (pages as usize, wal(frame));
    let commit = Commit { time: time(hour), database_pages: pages, page_count, wal };
    let appended = shipper.append(commit, Blocking::Allowed, fill(pages, byte)).unwrap();
    assert_eq!(appended, Appended::Taken);
    shipper.pump(Instant::now()).unwrap();
}

fn shows(bytes: &[u8], what: &[u8]) -> bool {
    bytes.windows(what.len()).any(|window| window == what)
}

/// The page keys that the objects of a replica name, in the order of their names.
async fn page_keys(store: &Faulty) -> Vec<KeyId> {
    let mut ids = Vec::new();
    for object in store.list(KeyPrefix::Log, None).await.unwrap() {
        let head = store.get_range(&object.key, 0..Header::SIZE as u64).await.unwrap();
        ids.extend(Header::parse_any(&head).unwrap().1.unwrap().pages);
    }
    ids.dedup();
    ids
}

#[tokio::test]
async fn what_was_committed_is_there_for_whoever_has_the_identity() {
    let place = Place::new();
    let mut shipper = place.create().await.unwrap();
    assert_eq!(place.database().await, [1; 3]);
    for (pages, byte) in [(2, 2), (200, 3), (5, 4)] {
        commit(&mut shipper, 0, pages, byte);
        shipper.settle().await.unwrap();
        assert_eq!(place.database().await, vec![byte; pages as usize]);
    }
    // A snapshot and a delta of the state that is there.
    let snapshot = shipper.snapshot();
    ship_snapshot(snapshot, fill(5, 4)).await.unwrap();
    assert_eq!(place.database().await, [4; 5]);
    commit(&mut shipper, 0, 4, 5);
    shipper.settle().await.unwrap();
    let delta = shipper.delta(crate::Level::Hour).unwrap();
    let vouch = ship_delta(delta, fill(4, 5)).await.unwrap();
    let size = place.store.size(&vouch.object).await.unwrap().unwrap();
    let (store, mut pages) = (place.owned(), Vec::new());
    let manifest = ebbtide_catalog::read_manifest(&*store).await.unwrap().unwrap();
    open_key(&*store, manifest.replica, manifest.encryption.unwrap().index, KeyUse::Index)
        .await
        .unwrap();
    apply(&*store, &manifest, Object::new(vouch.object, size), &mut pages).await;
    assert_eq!(pages, [5; 4]);
    // And after a restart, with the index key alone.
    drop(shipper);
    let mut shipper = place.resume().await;
    commit(&mut shipper, 0, 6, 6);
    shipper.settle().await.unwrap();
    assert_eq!(place.database().await, [6; 6]);
}

/// H37: kills before any request to the store while a replica is begun.
#[tokio::test]
async fn h37_a_replica_is_begun_again_wherever_it_was_killed() {
    let mut killed = 0;
    loop {
        let place = Place::new();
        let hung = place.kill_at(killed);
        let is_done = tokio::select! {
            created = place.create() => created.is_ok(),
            () = hung.notified() => false,
        };
        place.store.heal();
        if is_done {
            break;
        }
        let mut shipper = place.create().await.unwrap();
        commit(&mut shipper, 0, 4, 2);
        shipper.settle().await.unwrap();
        assert_eq!(place.database().await, [2; 4], "killed before request {killed}");
        drop(shipper);
        commit_after_restart(&place).await;
        killed += 1;
    }
    assert!(killed > 8, "{killed} requests");
}

/// H37: the same while a new page key comes into use.
#[tokio::test]
async fn h37_a_new_page_key_may_be_killed_anywhere() {
    let mut killed = 0;
    loop {
        let place = Place::new();
        let mut shipper = place.create().await.unwrap();
        let hung = place.kill_at(killed);
        commit(&mut shipper, 24, 4, 2);
        let is_done = tokio::select! {
            settled = shipper.settle() => settled.is_ok(),
            () = hung.notified() => false,
        };
        drop(shipper);
        place.store.heal();
        let found = place.look().await.unwrap();
        let ReplicaEvidence::Known(known) = found.evidence().replica else { panic!() };
        let mut shipper = match known.head {
            HeadRelation::OwnCommitsSince => {
                let (mut shipper, mut unconfirmed) = found.replay().await.unwrap();
                unconfirmed.replay(&mut shipper, 4, fill(4, 2)).unwrap();
                assert!(unconfirmed.confirm(&mut shipper, wal(2)).unwrap());
                shipper
            }
            _ => found.resume().await.unwrap(),
        };
        claim(&mut shipper, &owner(), time(24)).await.unwrap();
        let database = place.database().await;
        assert!([vec![1; 3], vec![2; 4]].contains(&database), "killed before request {killed}");
        commit(&mut shipper, 25, 5, 3);
        shipper.settle().await.unwrap();
        assert_eq!(place.database().await, [3; 5]);
        if is_done {
            break;
        }
        killed += 1;
    }
    assert!(killed > 2, "{killed} requests");
}

async fn commit_after_restart(place: &Place) {
    let mut shipper = place.resume().await;
    commit(&mut shipper, 0, 5, 3);
    shipper.settle().await.unwrap();
    assert_eq!(place.database().await, [3; 5]);
}

/// H37: each key is in the store before the first object that names it, however often that fails, and the index key before
/// the manifest.
#[tokio::test]
async fn h37_a_key_is_durable_before_the_first_object_that_names_it() {
    let place = Place::new();
    let mut failures = 3;
    place.store.script(move |call| match call {
        Call::Put(Key::Wrapped { .. }) if failures > 0 => {
            failures -= 1;
            let kinds = [Outcome::Lose, Outcome::Fail(ErrorKind::Unavailable)];
            Some(kinds[failures % 2].clone())
        }
        _ => None,
    });
    let mut shipper = place.create().await.unwrap();
    for day in 0..4 {
        commit(&mut shipper, 24 * day, 3, 9);
        shipper.settle().await.unwrap();
    }
    let (mut there, mut checked) = (Vec::new(), 0);
    for call in place.store.calls() {
        let Call::Put(key) = call else { continue };
        match key {
            Key::Wrapped { id, .. } => there.push(id),
            Key::Manifest => {
                let manifest = ebbtide_catalog::read_manifest(&place.store).await.unwrap().unwrap();
                assert!(there.contains(&manifest.encryption.unwrap().index));
            }
            key => {
                let head = place.store.get_range(&key, 0..Header::SIZE as u64).await.unwrap();
                let envelope = Header::parse_any(&head).unwrap().1.unwrap();
                assert!(
                    there.contains(&envelope.index) && there.contains(&envelope.pages.unwrap())
                );
                checked += 1;
            }
        }
    }
    assert!(checked > 5, "{checked}");
    // H40: another key each day.
    assert_eq!(page_keys(&place.store).await.len(), 4);
    assert_eq!(place.database().await, [9; 3]);
}

/// H39: no row, no page hash, no digest, no chain and no name of a host or file shows anywhere but in the local state's own
/// files, whichever way it goes: directly, streamed, through the spool, in snapshots and packs.
#[tokio::test(flavor = "multi_thread")]
async fn h39_nothing_that_was_written_shows() {
    let place = Place::new();
    let mut shipper = place.create().await.unwrap();
    let mut secrets: Vec<Vec<u8>> = vec![
        CANARY.to_vec(),
        HOST.as_bytes().to_vec(),
        FILE.as_bytes().to_vec(),
        shipper.position().state.chain.as_bytes().to_vec(),
    ];
    // As many as the first and the second look for segments to merge take.
    for number in 0..PACK_SEGMENTS + 16 {
        commit(&mut shipper, 0, 3, u8::try_from(number % 200).unwrap());
        shipper.settle().await.unwrap();
    }
    shipper.settle_packs().await;
    assert!(!place.store.list(KeyPrefix::Pack, None).await.unwrap().is_empty());
    commit_noise(&mut shipper, 7);
    shipper.settle().await.unwrap();
    assert!(place.store.calls().iter().any(|call| matches!(call, Call::Finish(_))), "not streamed");
    ship_snapshot(shipper.snapshot(), noise(7)).await.unwrap();
    place.store.script(away);
    commit(&mut shipper, 0, 3, 8);
    shipper.start_spooling();
    commit(&mut shipper, 30, 4, 9);
    shipper.drain().await.unwrap();
    let bytes = place.bytes().await;
    assert!(bytes.iter().any(|(name, _)| name.contains("/spool/log/")), "nothing was spooled");
    assert!(bytes.iter().any(|(name, _)| name.contains("/spool/key/")));
    assert!(bytes.iter().any(|(name, _)| name.ends_with("recent.keys")));
    secrets.extend([6, 8, 9].map(|byte| page_hash(page(1), &image(byte)).as_bytes().to_vec()));
    for (name, bytes) in &bytes {
        for secret in &secrets {
            assert!(!shows(bytes, secret), "{name} shows {secret:?}");
        }
    }
    // The search finds what is there: the local state has page hashes in clear.
    let mut all = Vec::new();
    walk(place.state(), &mut all);
    let durable = State::open(place.state()).unwrap().unwrap().page(page(1)).unwrap();
    assert!(all.iter().any(|(_, bytes)| shows(bytes, durable.as_bytes())));
}

/// H37, H40: what was spooled is sent by the next process with the keys that lie beside it; without them it is not sent,
/// because nobody could open it.
#[tokio::test]
async fn h37_a_spool_is_sent_with_its_keys_and_never_without() {
    for has_keys in [true, false] {
        let place = Place::new();
        let mut shipper = place.create().await.unwrap();
        place.store.script(away);
        // The page key of the day after is in no store yet.
        commit(&mut shipper, 30, 3, 2);
        shipper.start_spooling();
        commit(&mut shipper, 60, 4, 3);
        shipper.drain().await.unwrap();
        place.store.heal();
        if !has_keys {
            std::fs::remove_dir_all(place.state().join("spool/key")).unwrap();
        }
        let before = place.store.calls().len();
        let mut shipper = place.resume().await;
        let expected = if has_keys { vec![3; 4] } else { vec![1; 3] };
        assert_eq!(place.database().await, expected);
        commit(&mut shipper, 61, 5, 4);
        shipper.settle().await.unwrap();
        assert_eq!(place.database().await, [4; 5]);
        assert!(place.store.calls().len() > before);
        drop(shipper);
        drop(place.resume().await);
        assert!(
            !place.state().join("spool/key").exists() || {
                std::fs::read_dir(place.state().join("spool/key")).unwrap().next().is_none()
            }
        );
    }
}

/// H35: an upload that is made again has another salt, and so other bytes. One that becomes visible late is taken neither
/// for another writer's nor for the one that was made again: the session ends, and the next one finds it.
#[tokio::test(flavor = "multi_thread")]
async fn h35_an_upload_that_becomes_visible_late_is_found_to_be_ours() {
    let place = Place::new();
    let mut shipper = place.create().await.unwrap();
    let key = Key::Log(shipper.last().txid.next());
    place.store.script(|call| match call {
        Call::Finish(_) => Some(Outcome::Lose),
        Call::Size(_) => Some(Outcome::Fail(ErrorKind::Unavailable)),
        _ => None,
    });
    commit_noise(&mut shipper, 2);
    let error = shipper.settle().await.unwrap_err();
    assert!(matches!(error, Error::Lost(_)), "{error}");
    drop(shipper);
    place.store.heal();
    let late = place.store.get(&key, u64::MAX).await.unwrap();
    place.store.delete(&key).await.unwrap();
    let mut shipper = place.look().await.unwrap().resume().await.unwrap();
    place.store.put(&key, late).await.unwrap();
    let error = claim(&mut shipper, &owner(), time(0)).await.unwrap_err();
    assert!(matches!(error, Error::SupersededOwnPut { .. }), "{error}");
    drop(shipper);
    let found = place.look().await.unwrap();
    let ReplicaEvidence::Known(known) = found.evidence().replica else { panic!() };
    assert_eq!(known.head, HeadRelation::OwnCommitsSince);
    let (mut shipper, mut unconfirmed) = found.replay().await.unwrap();
    unconfirmed.replay(&mut shipper, NOISE_PAGES, noise(2)).unwrap();
    assert!(unconfirmed.confirm(&mut shipper, wal(9)).unwrap());
    claim(&mut shipper, &owner(), time(0)).await.unwrap();
    assert_eq!(place.database().await, vec![2; NOISE_PAGES as usize]);
    commit(&mut shipper, 0, 4, 3);
    shipper.settle().await.unwrap();
    assert_eq!(place.database().await, [3; 4]);
}

#[tokio::test]
async fn h35_a_snapshot_of_the_same_state_is_found_to_be_there() {
    let place = Place::new();
    let mut shipper = place.create().await.unwrap();
    commit(&mut shipper, 0, 4, 2);
    shipper.settle().await.unwrap();
    let (first, second, third) = (shipper.snapshot(), shipper.snapshot(), shipper.snapshot());
    let made = ship_snapshot(first, fill(4, 2)).await.unwrap();
    let body = place.store.get(&made.object, u64::MAX).await.unwrap();
    assert_eq!(ship_snapshot(second, fill(4, 2)).await.unwrap(), made);
    assert_eq!(place.store.get(&made.object, u64::MAX).await.unwrap(), body);
    // One of other pages has never been there.
    assert!(ship_snapshot(third, fill(4, 3)).await.is_err());
}

/// H32: packs are made from memory, after a restart from what opens the last segments, and never from what cannot be
/// opened any more.
#[tokio::test]
async fn h32_packs_are_made_of_what_can_be_opened() {
    for keys_are_lost in [false, true] {
        let place = Place::new();
        let mut shipper = place.create().await.unwrap();
        for number in 0..PACK_SEGMENTS {
            commit(&mut shipper, 0, 3, u8::try_from(number % 200).unwrap());
            shipper.settle().await.unwrap();
        }
        shipper.settle_packs().await;
        let manifest = shipper.presence().manifest().clone();
        drop(shipper);
        BODIES.forget_through(manifest.replica, Txid::new(u64::MAX).unwrap());
        for pack in place.store.list(KeyPrefix::Pack, None).await.unwrap() {
            place.store.delete(&pack.key).await.unwrap();
        }
        if keys_are_lost {
            std::fs::remove_file(place.state().join("recent.keys")).unwrap();
        }
        let shipper = place.resume().await;
        let to = shipper.presence().destination();
        pack(to, &manifest, &Bodies::new(0), |_| ()).await.unwrap();
        let packs = place.store.list(KeyPrefix::Pack, None).await.unwrap();
        assert_eq!(packs.len(), usize::from(!keys_are_lost));
        let (store, mut pages) = (place.owned(), Vec::new());
        open_key(&*store, manifest.replica, manifest.encryption.unwrap().index, KeyUse::Index)
            .await
            .unwrap();
        for pack in packs {
            apply(&*store, &manifest, pack, &mut pages).await;
            assert_eq!(pages.len(), 3);
        }
    }
}

/// H33: before anything is put.
#[tokio::test]
async fn h33_what_is_configured_must_fit_the_replica() {
    let mut place = Place::new();
    drop(place.create().await.unwrap());
    let before = place.store.calls().len();
    place.wrap = None;
    let error = place.look().await.unwrap_err();
    assert!(matches!(error, Error::Encrypted { .. }), "{error}");
    let mut plain = Place { wrap: None, ..Place::new() };
    drop(plain.create().await.unwrap());
    plain.wrap = Some(Arc::new(Recipient("owner")));
    let error = plain.look().await.unwrap_err();
    assert!(matches!(error, Error::NotEncrypted { .. }), "{error}");
    let puts = |place: &Place, before: usize| {
        place.store.calls()[before..].iter().filter(|call| matches!(call, Call::Put(_))).count()
    };
    assert_eq!(puts(&place, before), 0);
}

/// H38: the local state can be rebuilt with the index key, the index key cannot.
#[tokio::test]
async fn h38_a_host_without_its_state_goes_on_and_one_without_its_index_key_does_not() {
    let place = Place::new();
    let mut shipper = place.create().await.unwrap();
    commit(&mut shipper, 0, 4, 2);
    shipper.settle().await.unwrap();
    let digest = shipper.position().state.digest;
    drop(shipper);
    let keys = index_keys(place.state()).unwrap();
    // The state is lost.
    for entry in std::fs::read_dir(place.state()).unwrap().map(Result::unwrap) {
        let name = entry.file_name();
        if name != "index.key" {
            let path = entry.path();
            if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) }
                .unwrap();
        }
    }
    let found = place.look().await.unwrap();
    let unverified = found.verify().await.unwrap();
    let mut shipper = unverified.accept().await.unwrap();
    assert_eq!(shipper.position().state.digest, digest);
    claim(&mut shipper, &owner(), time(0)).await.unwrap();
    commit(&mut shipper, 0, 5, 3);
    shipper.settle().await.unwrap();
    assert_eq!(place.database().await, [3; 5]);
    drop(shipper);
    // The index key is lost, too, and is put back.
    std::fs::remove_file(place.state().join("index.key")).unwrap();
    let error = place.look().await.unwrap_err();
    assert!(matches!(error, Error::NoIndexKey { .. }), "{error}");
    assert!(error.to_string().contains("ebbtide unlock"), "{error}");
    add_index_key(place.state(), &keys[0]).unwrap();
    commit_after_restart(&place).await;
}

/// An object that is not encrypted does not get into an encrypted replica, whoever made it.
#[tokio::test]
async fn h39_a_plain_object_is_not_put() {
    let place = Place::new();
    let shipper = place.create().await.unwrap();
    let to = shipper.presence().destination();
    let plain = MemoryStore::new();
    crate::pack::tests::replica(&plain, 9).await;
    let key = Key::Log(Txid::new(9).unwrap());
    let body = plain.get(&key, u64::MAX).await.unwrap();
    let error = crate::put::put(to, &key, body).await.unwrap_err();
    assert!(matches!(error, Error::PlainText { .. }), "{error}");
    assert_eq!(place.store.size(&key).await.unwrap(), None);
}
