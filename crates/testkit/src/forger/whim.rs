//! Whatever may come to a forger's mind, drawn from bytes: by a seed in tests, by the fuzzer elsewhere.

use ebbtide_replica::{Digest, EntryFlags, EntryKind, PageHash, Run, Timestamp, Txid};
use ebbtide_wal::PageNumber;

use super::object::Forged;

/// Bytes to decide by; zeros when they are used up.
#[derive(Debug)]
pub struct Choices<'a>(pub &'a [u8]);

impl Choices<'_> {
    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        first
    }

    /// A number below `end`, or 0.
    pub fn below(&mut self, end: usize) -> usize {
        let number = usize::from(self.byte()) | usize::from(self.byte()) << 8;
        number.checked_rem(end).unwrap_or(0)
    }

    /// Numbers that are near a limit more often than others.
    fn number(&mut self) -> u32 {
        let small = u32::from(self.byte());
        match self.byte() % 8 {
            0 => u32::MAX - small,
            1 => 4_000_000_000,
            2 => 1 << (small % 32),
            _ => small,
        }
    }
}

/// Changes one thing.
pub fn change(forged: &mut Forged, choices: &mut Choices<'_>) {
    let at = choices.below(forged.entries.len());
    match choices.byte() % 14 {
        0 => forged.entries[at].database_pages = choices.number(),
        1 => forged.entries[at].page_count = choices.number(),
        2 => forged.entries[at].digest = Digest::from_bytes([choices.byte(); 16]),
        3 => forged.entries[at].content[0] ^= choices.byte(),
        4 => {
            let flags = EntryFlags::from_bits(choices.byte() % 8);
            forged.entries[at].flags = flags.unwrap_or(EntryFlags::NONE);
        }
        5 => {
            let kind = EntryKind::from_code(choices.byte() % 5);
            forged.entries[at].kind = kind.unwrap_or(EntryKind::Claim);
        }
        6 => {
            let txid = Txid::new(u64::from(choices.number()));
            forged.entries[at].txid = txid.unwrap_or(Txid::FIRST);
        }
        7 => change_runs(forged, at, choices),
        8 => change_image(forged, choices),
        9 => {
            let at = choices.below(forged.hashes.len());
            let other = PageHash::from_bytes([choices.byte(); 16]);
            forged.hashes.get_mut(at).into_iter().for_each(|hash| *hash = other);
        }
        10 => {
            let time = Timestamp::from_micros(i64::from(choices.number()));
            forged.entries[at].time = time.unwrap_or(Timestamp::EPOCH);
        }
        11 => {
            let detail = vec![choices.byte(); choices.below(300)];
            forged.entries[at].detail = detail;
        }
        12 => {
            let again = forged.entries[at].clone();
            forged.entries.push(again);
        }
        _ if forged.entries.len() > 1 => drop(forged.entries.remove(at)),
        _ => {}
    }
}

fn change_runs(forged: &mut Forged, at: usize, choices: &mut Choices<'_>) {
    let first = PageNumber::new(choices.number().max(1)).unwrap_or(PageNumber::ONE);
    let Some(run) = Run::new(first, choices.number().max(1)) else { return };
    let runs = &mut forged.entries[at].runs;
    let number = choices.below(runs.len() + 1);
    match runs.get_mut(number) {
        Some(there) => *there = run,
        None => runs.push(run),
    }
}

fn change_image(forged: &mut Forged, choices: &mut Choices<'_>) {
    let at = choices.below(forged.images.len());
    let Some(image) = forged.images.get_mut(at) else { return };
    let byte = choices.below(image.len());
    image[byte] ^= choices.byte().max(1);
}

/// Makes as much fit together again as the choice says: nothing, the list of hashes, the contents besides.
pub fn cover_up(forged: &mut Forged, choices: &mut Choices<'_>) {
    let much = choices.byte() % 4;
    // Only an entry that still carries what it carried has hashes to state.
    let pages: u64 = forged.entries.iter().map(|entry| u64::from(entry.page_count)).sum();
    let runs = forged.entries.iter().flat_map(|entry| &entry.runs);
    let runs: u64 = runs.map(|run| u64::from(run.count())).sum();
    if much >= 1 && runs == forged.images.len() as u64 {
        forged.list_hashes();
    }
    if much >= 2 && pages == forged.hashes.len() as u64 {
        forged.state_contents();
    }
}
