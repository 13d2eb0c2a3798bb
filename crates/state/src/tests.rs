//! The local state against a model, with a kill after every single byte that it writes.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::Path;

use ebbtide_wal::{Checksum, PageNumber, PageSize, Salts, lock_page};
use proptest::prelude::*;

use super::record::{self, Slot};
use super::*;
use ebbtide_replica::{Chain, Digest, EntryState, PageHash, Point, ReplicaId, Timestamp, Txid};

thread_local! {
    static BYTES_LEFT: Cell<Option<usize>> = const { Cell::new(None) };
}

/// How many of `bytes` still get written before the simulated kill, if it comes within them.
pub(super) fn killed_after(bytes: usize) -> Option<usize> {
    let left = BYTES_LEFT.get()?;
    BYTES_LEFT.set(Some(left.saturating_sub(bytes)));
    (left < bytes).then_some(left)
}

fn page(number: u32) -> PageNumber {
    PageNumber::new(number).unwrap()
}

fn hash(seed: u64) -> PageHash {
    PageHash::from_bytes(*blake3::hash(&seed.to_le_bytes()).as_bytes().first_chunk().unwrap())
}

fn page_size() -> PageSize {
    PageSize::new(65536).unwrap()
}

/// How many bytes further each kill comes. Each run begins at another one.
const STRIDE: usize = 5;

/// What the state ought to be.
#[derive(Debug, Clone, Default)]
struct Model {
    pages: BTreeMap<u32, PageHash>,
    database_pages: u32,
    txid: u64,
}

impl Model {
    /// The model after one more commit of `updates`.
    fn after(&self, database_pages: u32, updates: &[(PageNumber, PageHash)]) -> Model {
        let mut pages = self.pages.clone();
        pages.extend(updates.iter().map(|&(page, hash)| (page.get(), hash)));
        pages.retain(|&number, _| {
            number <= database_pages && page(number) != lock_page(page_size())
        });
        Model { pages, database_pages, txid: self.txid + 1 }
    }

    fn position(&self) -> Position {
        Position {
            replica: ReplicaId::from_bytes([7; 16]),
            location: "s3://bucket/prefix".to_owned(),
            page_size: page_size(),
            state: EntryState {
                point: Point { txid: Txid::new(self.txid).unwrap(), time: Timestamp::EPOCH },
                chain: Chain::from_bytes([self.txid.to_le_bytes()[0]; 32]),
                digest: self.pages.values().copied().collect(),
                database_pages: self.database_pages,
            },
            wal: Some(ebbtide_wal::Position {
                salts: Salts([3; 8]),
                frame: u32::try_from(self.txid).unwrap(),
                checksum: Checksum { s0: 1, s1: 2 },
            }),
            database: Some(FileIdentity { device: 1, inode: 2 }),
            origin: Origin::Followed,
        }
    }

    fn assert_is(&self, state: &State) {
        assert_eq!(*state.position(), self.position());
        assert!(state.verify().unwrap());
        let wanted =
            |number| self.pages.get(&number).copied().unwrap_or(PageHash::from_bytes([0; 16]));
        let hashes = state.pages(PageNumber::ONE, self.database_pages + 10).unwrap();
        for (number, hash) in (1..).zip(hashes) {
            assert_eq!(hash, wanted(number), "page {number}");
        }
        let numbers: Vec<PageNumber> =
            self.pages.keys().step_by(3).map(|&number| page(number)).collect();
        for (number, hash) in numbers.iter().zip(state.look_up(&numbers).unwrap()) {
            assert_eq!(hash, wanted(number.get()), "page {number}");
        }
    }
}

fn create(directory: &Path, model: &Model) -> State {
    let fill = State::create(directory).unwrap();
    for (&number, &hash) in &model.pages {
        fill.set(page(number), &[hash]).unwrap();
    }
    State::publish(fill, model.position()).unwrap()
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

/// A directory in memory if there is such a place: thousands of small directories are made and removed.
fn quick_directory() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap()
}

/// Runs `act` with a kill after `bytes` more bytes. Says whether the kill came.
fn killed(bytes: usize, act: impl FnOnce() -> Result<(), StateError>) -> bool {
    BYTES_LEFT.set(Some(bytes));
    let result = act();
    BYTES_LEFT.set(None);
    result.is_err()
}

/// A commit: the size of the database after it and the pages that it changed.
type Commit = (u32, Vec<(PageNumber, PageHash)>);

fn commits(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Commit>> {
    // Around the lock page of 64 KiB pages too, which is number 16385.
    let number = prop_oneof![4 => 1..60u32, 1 => 16_380..16_390u32, 1 => 300..900u32];
    let update = (number, any::<u64>()).prop_map(|(number, seed)| (page(number), hash(seed)));
    let size = prop_oneof![4 => 0..60u32, 2 => 900..901u32, 1 => 16_384..16_390u32];
    proptest::collection::vec((size, proptest::collection::vec(update, 0..40)), count)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// A state that is killed at any byte of a commit must open to the old or to the new position and be provable, and
    /// must go on from there. Catches a redo list that is written after the table, and a checksum that covers too
    /// little.
    #[test]
    fn a_kill_after_any_byte_leaves_the_old_state_or_the_new_one(
        history in commits(1..4),
        offset in 0..STRIDE,
    ) {
        let root = quick_directory();
        let directory = root.path().join("state");
        let mut model = Model { txid: 1, ..Model::default() };
        let mut state = create(&directory, &model);
        for (round, (database_pages, updates)) in history.iter().enumerate() {
            let next = model.after(*database_pages, updates);
            let (mut bytes, mut olds, mut news) = (offset, 0, 0);
            loop {
                let image = root.path().join(format!("{round}-{bytes}"));
                copy(&directory, &image);
                let mut torn = State::open(&image).unwrap().unwrap();
                let was_killed = killed(bytes, || torn.commit(next.position(), updates));
                prop_assert_eq!(was_killed, torn.page(PageNumber::ONE).is_err());
                drop(torn);
                let mut torn = State::open(&image).unwrap().unwrap();
                if torn.position().state.txid() == next.position().state.txid() {
                    news += 1;
                    next.assert_is(&torn);
                } else {
                    olds += 1;
                    model.assert_is(&torn);
                }
                torn.commit(next.position(), updates).unwrap();
                next.assert_is(&torn);
                std::fs::remove_dir_all(&image).unwrap();
                if !was_killed {
                    break;
                }
                bytes += STRIDE;
            }
            prop_assert!(olds >= 198 / STRIDE && news > 0, "{} before, {} after", olds, news);
            state.commit(next.position(), updates).unwrap();
            next.assert_is(&state);
            model = next;
        }
    }

    /// Filling again must not cost the old state before the new one counts.
    #[test]
    fn a_kill_while_filling_again_leaves_a_state(
        (before, after) in (commits(2..3)).prop_map(|mut two| (two.remove(0), two.remove(0))),
        bytes in 0..2000usize,
    ) {
        let root = quick_directory();
        let directory = root.path().join("state");
        let model = Model::default().after(before.0, &before.1);
        let state = create(&directory, &model);
        let next = model.after(after.0, &after.1);
        killed(bytes, || {
            let fill = state.refill()?;
            for (&number, &hash) in next.pages.iter().rev() {
                fill.set(page(number), &[hash])?;
            }
            State::publish(fill, next.position()).map(drop)
        });
        let state = State::open(&directory).unwrap().unwrap();
        if state.position().state.txid() == next.position().state.txid() { &next } else { &model }.assert_is(&state);
    }

    /// No bytes in a slot may lead to a panic, and only whole records count.
    #[test]
    fn a_slot_with_any_byte_changed_is_invalid_or_newer(at in 0..300usize, flip in 1..=255u8) {
        let model = Model::default().after(50, &[(page(3), hash(3)), (page(4), hash(4))]);
        let mut bytes = Vec::new();
        let redo = [(page(3), hash(3)), (page(4), hash(4))];
        record::encode(&mut bytes, 9, 1, &model.position(), &redo).unwrap();
        let Slot::Valid(record) = record::decode(&bytes) else { panic!("a whole record is valid") };
        prop_assert_eq!(&record.position, &model.position());
        prop_assert_eq!(&record.redo[..], &redo[..]);
        if let Some(byte) = bytes.get_mut(at) {
            *byte ^= flip;
            prop_assert_eq!(record::decode(&bytes), Slot::Invalid);
        }
    }
}

/// Rewrites the version of the newest slot, with its checksum.
fn make_newer(slot: &Path) {
    let mut bytes = std::fs::read(slot).unwrap();
    bytes[8] = 2;
    let checksum = crc32fast::hash(&bytes[..28]);
    bytes[28..32].copy_from_slice(&checksum.to_le_bytes());
    std::fs::write(slot, bytes).unwrap();
}

#[test]
fn a_newer_version_is_refused_by_name() {
    let root = tempfile::tempdir().unwrap();
    drop(create(root.path(), &Model::default().after(3, &[(page(2), hash(2))])));
    make_newer(&root.path().join("position.1"));
    for error in [State::open(root.path()).unwrap_err(), State::create(root.path()).unwrap_err()] {
        assert!(matches!(error, StateError::Newer { version: 2, .. }), "{error}");
        assert!(error.to_string().contains("position.1"), "{error}");
    }
}

#[test]
fn two_processes_cannot_share_a_state_and_the_holder_is_named() {
    let root = tempfile::tempdir().unwrap();
    let state = create(root.path(), &Model::default().after(0, &[]));
    let error = State::open(root.path()).unwrap_err();
    let StateError::Busy { process, .. } = error else { panic!("{error}") };
    assert_eq!(process, Some(std::process::id()));
    drop(state);
    assert!(State::open(root.path()).unwrap().is_some());
}

#[test]
fn a_table_that_does_not_add_up_is_found_and_cannot_be_published() {
    let root = tempfile::tempdir().unwrap();
    let model = Model::default().after(3, &[(page(1), hash(1)), (page(3), hash(3))]);
    let fill = State::create(root.path()).unwrap();
    fill.set(page(1), &[hash(1)]).unwrap();
    assert!(matches!(State::publish(fill, model.position()), Err(StateError::Unproven { .. })));
    assert!(State::open(root.path()).unwrap().is_none());
    drop(create(root.path(), &model));
    std::fs::write(root.path().join("pages.0"), [1; 48]).unwrap();
    assert!(!State::open(root.path()).unwrap().unwrap().verify().unwrap());
    std::fs::remove_file(root.path().join("pages.0")).unwrap();
    assert!(!State::open(root.path()).unwrap().unwrap().verify().unwrap());
}

#[test]
fn a_missing_or_empty_directory_holds_no_state() {
    let root = tempfile::tempdir().unwrap();
    assert!(State::open(&root.path().join("none")).unwrap().is_none());
    assert!(State::open(root.path()).unwrap().is_none());
    std::fs::write(root.path().join("position.0"), [9; 5000]).unwrap();
    assert!(State::open(root.path()).unwrap().is_none());
}

#[test]
fn only_the_owner_may_read_a_state() {
    use std::os::unix::fs::PermissionsExt as _;
    let root = tempfile::tempdir().unwrap();
    let directory = state_directory(&root.path().join("app.db"));
    assert_eq!(directory, root.path().join(".app.db-ebbtide"));
    drop(create(&directory, &Model::default().after(1, &[(page(1), hash(1))])));
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&directory), 0o700);
    for file in std::fs::read_dir(&directory).unwrap() {
        assert_eq!(mode(&file.unwrap().path()), 0o600);
    }
}

#[test]
fn a_digest_of_nothing_is_that_of_an_empty_table() {
    let root = tempfile::tempdir().unwrap();
    let state = create(root.path(), &Model::default().after(0, &[]));
    assert_eq!(state.position().state.digest, Digest::EMPTY);
    assert!(state.verify().unwrap());
}
