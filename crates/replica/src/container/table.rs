//! The index of an object that is being written: rows are encoded as they come, so that nothing is kept twice.

use super::layout::{block_row, counts, entry_row, run_row};
use super::limits::{BLOCK_RAW_MAX, DETAILS_SIZE_MAX, ENTRIES_MAX, INDEX_SIZE_MAX};
use super::rows::{encode_block, encode_entry, encode_run};
use super::{Block, BlockKind, Codec};
use crate::{Chain, Entry, Error, Result};

/// The four parts of an index.
#[derive(Default)]
pub(super) struct Table {
    entries: Vec<u8>,
    blocks: Vec<u8>,
    runs: Vec<u8>,
    details: Vec<u8>,
}

impl Table {
    /// Adds an entry, and answers the chain after it if `chain` is the chain before it.
    pub(super) fn add_entry(
        &mut self,
        entry: &Entry,
        chain: Option<Chain>,
    ) -> Result<Option<Chain>> {
        if self.entries() == ENTRIES_MAX {
            return Err(Error::unwritable("one more entry", "the object is full"));
        }
        let row = encode_entry(entry)?;
        let runs = self.runs.len();
        self.entries.extend_from_slice(&row);
        for &run in &entry.runs {
            self.runs.extend_from_slice(&encode_run(run));
        }
        self.details.extend_from_slice(&entry.detail);
        self.check_size()?;
        Ok(chain.map(|chain| chain.next(&row, &self.runs[runs..], &entry.detail)))
    }

    /// Adds a block with these stored bytes.
    pub(super) fn add_block(
        &mut self,
        kind: BlockKind,
        codec: Codec,
        stored: &[u8],
        raw_len: usize,
    ) -> Result<()> {
        let length = |bytes: usize| {
            let fits = bytes <= BLOCK_RAW_MAX + ebbtide_seal::TAG_SIZE && raw_len <= BLOCK_RAW_MAX;
            u32::try_from(bytes)
                .ok()
                .filter(|_| fits)
                .ok_or_else(|| Error::unwritable("a block", format!("it has {bytes} bytes")))
        };
        let block = Block {
            kind,
            offset: 0,
            first: 0,
            stored_len: length(stored.len())?,
            raw_len: length(raw_len)?,
            count: 0,
            crc: crc32fast::hash(stored),
            codec,
        };
        self.blocks.extend_from_slice(&encode_block(&block));
        self.check_size()
    }

    /// How many entries there are.
    pub(super) fn entries(&self) -> u32 {
        rows(&self.entries, entry_row::SIZE)
    }

    /// The length of the index in bytes.
    pub(super) fn size(&self) -> u64 {
        let rows = self.entries.len() + self.blocks.len() + self.runs.len() + self.details.len();
        (counts::SIZE + rows) as u64
    }

    /// Appends the bytes of the index to `out`.
    pub(super) fn encode_into(&self, out: &mut Vec<u8>) {
        let mut row = [0; counts::SIZE];
        counts::ENTRIES.put(&mut row, &self.entries().to_le_bytes());
        counts::BLOCKS.put(&mut row, &rows(&self.blocks, block_row::SIZE).to_le_bytes());
        counts::RUNS.put(&mut row, &rows(&self.runs, run_row::SIZE).to_le_bytes());
        counts::DETAILS.put(&mut row, &rows(&self.details, 1).to_le_bytes());
        out.extend_from_slice(&row);
        for part in [&self.entries, &self.blocks, &self.runs, &self.details] {
            out.extend_from_slice(part);
        }
    }

    fn check_size(&self) -> Result<()> {
        if self.size() <= INDEX_SIZE_MAX && self.details.len() <= DETAILS_SIZE_MAX as usize {
            return Ok(());
        }
        Err(Error::unwritable("the index", format!("it would have {} bytes", self.size())))
    }
}

/// How many rows of `size` bytes there are. All of them together are within [`INDEX_SIZE_MAX`].
fn rows(bytes: &[u8], size: usize) -> u32 {
    u32::try_from(bytes.len() / size).expect("an index has less than 2^32 bytes")
}
