//! Any bytes as the two files of the journal beside a local state: as they are, and as records with checksums that are
//! right, so that what lies behind them is reached.
//!
//! What can be read of what changed since the last deltas is the same once it was written and read again, has no page
//! that the database never had, and the journal goes on after it.

#![no_main]

use std::fs;
use std::path::Path;

use ebbtide_replica::{Chain, Digest, EntryState, Point, ReplicaId, Timestamp, Txid};
use ebbtide_shipper::rewrite_levels;
use ebbtide_state::{Origin, Position, State};
use ebbtide_wal::PageSize;
use libfuzzer_sys::fuzz_target;

const PAGES: u32 = 1000;

fuzz_target!(|bytes: &[u8]| {
    let Some((&first, rest)) = bytes.split_first() else { return };
    let at = rest.len() * usize::from(first) / 256;
    let (one, other) = rest.split_at(at);
    open(one, other);
    open(&framed(2, one), &framed(1, other));
});

/// The state that the journal lies beside.
fn durable() -> EntryState {
    EntryState {
        point: Point { txid: Txid::new(1 << 40).expect("a txid"), time: Timestamp::EPOCH },
        chain: Chain::genesis(ReplicaId::from_bytes([7; 16])),
        digest: Digest::EMPTY,
        database_pages: PAGES,
    }
}

fn open(even: &[u8], odd: &[u8]) {
    let directory = tempfile::tempdir_in(memory()).expect("a directory in memory");
    let position = Position {
        replica: ReplicaId::from_bytes([7; 16]),
        location: "memory".to_owned(),
        page_size: PageSize::new(512).expect("a page size"),
        state: durable(),
        wal: None,
        database: None,
        origin: Origin::Followed,
    };
    let fill = State::create(directory.path()).expect("a new state");
    drop(State::publish(fill, position).expect("a new state"));
    for (name, bytes) in [("journal.0", even), ("journal.1", odd)] {
        fs::write(directory.path().join(name), bytes).expect("room in memory");
    }
    let mut state = State::open(directory.path()).expect("a journal is no reason").expect("it is there");
    let records = state.take_records();
    if let Some(record) = rewrite_levels(&records, &durable()) {
        let again = rewrite_levels(std::slice::from_ref(&record), &durable());
        assert_eq!(again.as_ref(), Some(&record));
    }
    let more = vec![1, 2, 3];
    state.begin_journal(&more).expect("a journal begins again");
    state.append_to_journal(&more).expect("a journal goes on");
    drop(state);
    let mut state = State::open(directory.path()).expect("what was written is read").expect("it is there");
    assert_eq!(state.take_records(), [more.clone(), more]);
}

fn memory() -> std::path::PathBuf {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() }
}

/// A file of this generation whose records these bytes are, each as long as its first byte says.
fn framed(generation: u64, bytes: &[u8]) -> Vec<u8> {
    let mut file = b"ebbtide\x11".to_vec();
    file.extend_from_slice(&generation.to_le_bytes());
    file.extend_from_slice(&crc32fast::hash(&file).to_le_bytes());
    let mut rest = bytes;
    while let Some((&length, after)) = rest.split_first() {
        let (record, after) = after.split_at(after.len().min(usize::from(length)));
        let length = u32::try_from(record.len()).expect("a byte").to_le_bytes();
        let mut checksum = crc32fast::Hasher::new();
        checksum.update(&length);
        checksum.update(record);
        file.extend_from_slice(&length);
        file.extend_from_slice(&checksum.finalize().to_le_bytes());
        file.extend_from_slice(record);
        rest = after;
    }
    file
}
