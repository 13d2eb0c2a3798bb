//! Any bytes as the two slots of a local state: as they are, and with their checksums renewed, so that what lies behind
//! them is reached.
//!
//! A state that opens must be one that can be moved on, and that opens again as it was left.

#![no_main]

use std::fs;
use std::path::Path;

use ebbtide_state::State;
use libfuzzer_sys::fuzz_target;

/// Of a larger database the table of page hashes is not summed up: it would be all that is measured.
const PAGES_MAX: u32 = 10_000;

/// Bytes 0 to 28 of a slot have a checksum of their own, behind them.
const HEAD: usize = 28;

fuzz_target!(|bytes: &[u8]| {
    let Some((&first, rest)) = bytes.split_first() else { return };
    let at = rest.len() * usize::from(first) / 256;
    let (one, other) = rest.split_at(at);
    open(one, other);
    open(&renewed(one), &renewed(other));
});

fn open(one: &[u8], other: &[u8]) {
    let directory = tempfile::tempdir_in(memory()).expect("a directory in memory");
    let write = |name: &str, bytes: &[u8]| {
        fs::write(directory.path().join(name), bytes).expect("room in memory");
    };
    write("position.0", one);
    write("position.1", other);
    let Ok(Some(mut state)) = State::open(directory.path()) else { return };
    let position = state.position().clone();
    if position.state.database_pages > PAGES_MAX {
        return;
    }
    let sound = state.verify().expect("a table that can be read");
    state.commit(position.clone(), &[]).expect("a state that can be moved on");
    drop(state);
    let again = State::open(directory.path()).expect("what was written is read").expect("it is there");
    assert_eq!(again.position(), &position);
    assert_eq!(again.verify().expect("a table that can be read"), sound);
}

fn memory() -> std::path::PathBuf {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() }
}

/// The slot with the length and the checksums that its bytes ought to have.
fn renewed(slot: &[u8]) -> Vec<u8> {
    let mut slot = slot.to_vec();
    let Some(end) = slot.len().checked_sub(4).filter(|end| *end > HEAD + 4) else { return slot };
    let length = u32::try_from(slot.len()).expect("an input of a few kilobytes");
    slot[..8].copy_from_slice(b"ebbtide\x10");
    slot[8..12].copy_from_slice(&1_u32.to_le_bytes());
    slot[12..16].copy_from_slice(&length.to_le_bytes());
    slot[24..28].fill(0);
    let head = crc32fast::hash(&slot[..HEAD]);
    slot[HEAD..HEAD + 4].copy_from_slice(&head.to_le_bytes());
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&slot[..HEAD]);
    hasher.update(&slot[HEAD + 4..end]);
    slot[end..].copy_from_slice(&hasher.finalize().to_le_bytes());
    slot
}
