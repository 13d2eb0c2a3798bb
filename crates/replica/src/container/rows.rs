//! The rows of an index, one entry, block or run each.

use ebbtide_wal::PageNumber;

use super::layout::{block_row, entry_row, run_row};
use super::{Block, Codec};
use crate::{Digest, Entry, EntryFlags, EntryKind, Error, Result, Run, Timestamp, Txid};

/// What the bytes of a block are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum BlockKind {
    /// Page images, in the order of the entries and their runs.
    Pages = 1,
    /// The hashes of the pages, in the same order.
    Hashes = 2,
    /// Page images, in the order of the pages, and those of a page in that of the entries.
    ByPage = 3,
    /// A piece of a document.
    Document = 4,
}

pub(super) fn encode_entry(entry: &Entry) -> Result<[u8; entry_row::SIZE]> {
    use entry_row as at;
    let detail = u32::try_from(entry.detail.len())
        .map_err(|_| Error::unwritable("the detail", "it is too long"))?;
    let mut row = [0; at::SIZE];
    at::TXID.put(&mut row, &entry.txid.get().to_le_bytes());
    at::KIND.put(&mut row, &[entry.kind.code()]);
    at::FLAGS.put(&mut row, &[entry.flags.bits()]);
    at::DETAIL.put(&mut row, &detail.to_le_bytes());
    at::TIME.put(&mut row, &entry.time.as_micros().to_le_bytes());
    at::DATABASE_PAGES.put(&mut row, &entry.database_pages.to_le_bytes());
    at::PAGE_COUNT.put(&mut row, &entry.page_count.to_le_bytes());
    at::DIGEST.put(&mut row, entry.digest.as_bytes());
    at::CONTENT.put(&mut row, &entry.content);
    Ok(row)
}

/// The entry of a row, still without its detail and its runs, and the length of its detail.
pub(super) fn parse_entry(row: &[u8; entry_row::SIZE]) -> Result<(Entry, usize)> {
    use entry_row as at;
    let txid = Txid::new(at::TXID.u64(row))
        .ok_or_else(|| Error::damaged("the index", "the txid of an entry is 0"))?;
    let newer = |what: &str| Error::newer(format!("entry {txid}"), what);
    let kind = EntryKind::from_code(at::KIND.u8(row)).ok_or_else(|| newer("unknown kind"))?;
    let flags = EntryFlags::from_bits(at::FLAGS.u8(row)).ok_or_else(|| newer("unknown flags"))?;
    if !at::RESERVED.is_zero(row) {
        return Err(newer("its row uses reserved bytes"));
    }
    let damaged = |what: &str| Error::damaged(format!("entry {txid}"), what);
    let time = Timestamp::from_micros(i64::from_le_bytes(at::TIME.array(row)))
        .ok_or_else(|| damaged("its time is not in the years 1 to 9999"))?;
    let detail = usize::try_from(at::DETAIL.u32(row))
        .ok()
        .filter(|&length| length <= Entry::DETAIL_MAX)
        .ok_or_else(|| damaged("its detail is too long"))?;
    let entry = Entry {
        txid,
        kind,
        flags,
        time,
        database_pages: at::DATABASE_PAGES.u32(row),
        page_count: at::PAGE_COUNT.u32(row),
        digest: Digest::from_bytes(at::DIGEST.array(row)),
        content: at::CONTENT.array(row),
        detail: Vec::new(),
        runs: Vec::new(),
    };
    Ok((entry, detail))
}

pub(super) fn encode_run(run: Run) -> [u8; run_row::SIZE] {
    let mut row = [0; run_row::SIZE];
    run_row::FIRST.put(&mut row, &run.first().get().to_le_bytes());
    run_row::COUNT.put(&mut row, &run.count().to_le_bytes());
    row
}

pub(super) fn parse_run(row: &[u8; run_row::SIZE]) -> Option<Run> {
    Run::new(PageNumber::new(run_row::FIRST.u32(row))?, run_row::COUNT.u32(row))
}

pub(super) fn encode_block(kind: BlockKind, block: &Block) -> [u8; block_row::SIZE] {
    use block_row as at;
    let mut row = [0; at::SIZE];
    at::KIND.put(&mut row, &[kind as u8]);
    at::CODEC.put(&mut row, &[block.codec.code()]);
    at::STORED.put(&mut row, &block.stored_len.to_le_bytes());
    at::RAW.put(&mut row, &block.raw_len.to_le_bytes());
    at::CRC.put(&mut row, &block.crc.to_le_bytes());
    row
}

/// The block of a row, which begins at `offset`; what comes before it in its kind, and how much is in it, is left
/// to the caller.
pub(super) fn parse_block(row: &[u8; block_row::SIZE], offset: u64) -> Result<(BlockKind, Block)> {
    use block_row as at;
    let newer = |what: &str| Error::newer(format!("the block at {offset}"), what);
    let kind = match at::KIND.u8(row) {
        1 => BlockKind::Pages,
        2 => BlockKind::Hashes,
        3 => BlockKind::ByPage,
        4 => BlockKind::Document,
        _ => return Err(newer("unknown kind")),
    };
    let codec = Codec::from_code(at::CODEC.u8(row)).ok_or_else(|| newer("unknown compression"))?;
    if !at::RESERVED.is_zero(row) {
        return Err(newer("its row uses reserved bytes"));
    }
    let block = Block {
        offset,
        first: 0,
        stored_len: at::STORED.u32(row),
        raw_len: at::RAW.u32(row),
        count: 0,
        crc: at::CRC.u32(row),
        codec,
    };
    Ok((kind, block))
}
