//! The rows of an index, one entry, block or run each.

use ebbtide_wal::PageNumber;

use super::layout::{block_row, entry_row, run_row};
use super::{Block, BlockKind, Codec};
use crate::{Digest, Entry, EntryFlags, EntryKind, Error, Result, Run, Timestamp, Txid};

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

pub(super) fn encode_block(block: &Block) -> [u8; block_row::SIZE] {
    let mut row = [0; block_row::SIZE];
    row[..block_row::CRC.offset].copy_from_slice(&block.shape().encode());
    block_row::CRC.put(&mut row, &block.crc.to_le_bytes());
    row
}

/// The block of a row, which begins at `offset`; what comes before it in its kind, and how much is in it, is left
/// to the caller.
pub(super) fn parse_block(row: &[u8; block_row::SIZE], offset: u64) -> Result<Block> {
    use block_row as at;
    let newer = |what: &str| Error::newer(format!("the block at {offset}"), what);
    let kind = BlockKind::from_code(at::KIND.u8(row)).ok_or_else(|| newer("unknown kind"))?;
    let codec = Codec::from_code(at::CODEC.u8(row)).ok_or_else(|| newer("unknown compression"))?;
    if !at::RESERVED.is_zero(row) {
        return Err(newer("its row uses reserved bytes"));
    }
    Ok(Block {
        kind,
        offset,
        first: 0,
        stored_len: at::STORED.u32(row),
        raw_len: at::RAW.u32(row),
        count: 0,
        crc: at::CRC.u32(row),
        codec,
    })
}
