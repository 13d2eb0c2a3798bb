//! From the bytes of an object to an [`Index`]: nothing is believed before it was checked, and nothing is allocated
//! that is larger than what was read.

use super::footer::root;
use super::layout::{block_row, counts, entry_row, run_row};
use super::limits::{BLOCK_RAW_MAX, ENTRIES_MAX, INDEX_SIZE_MAX};
use super::rows::{BlockKind, parse_block, parse_entry, parse_run};
use super::rules::Rules;
use super::{Block, Codec, Footer, Header, Index, Parsed};
use crate::{Chain, Entry, Error, PageHash, Result};

/// What a block of hashes is made of.
const HASH_SIZE: u32 = 16;
const _: () = assert!(HASH_SIZE as usize == PageHash::SIZE);

fn damaged(why: impl Into<String>) -> Error {
    Error::damaged("the index", why)
}

impl Index {
    /// The index of an object of `object_size` bytes. `head` are its first bytes, at least [`Header::SIZE`] of them;
    /// `tail` are its last bytes, as many as are at hand: the answer says if they are too few.
    pub fn parse(object_size: u64, head: &[u8], tail: &[u8]) -> Result<Parsed> {
        let header = Header::parse(head)?;
        let given = tail.len() as u64;
        if given > object_size {
            return Err(damaged(format!("{given} bytes of an object of {object_size}")));
        }
        if given < Footer::SIZE as u64 {
            return Ok(Parsed::NeedTail(Footer::SIZE as u64));
        }
        let footer = Footer::parse(tail)?;
        let needed = tail_needed(object_size, &footer)?;
        if given < needed {
            return Ok(Parsed::NeedTail(needed));
        }
        let end = tail.len() - Footer::SIZE;
        let length = usize::try_from(footer.index_length).expect("the tail is longer");
        let bytes = &tail[end - length..end];
        if root(&header.encode(), bytes) != footer.root {
            return Err(damaged("it and the header are not those that the footer vouches for"));
        }
        parse_verified(header, footer, bytes).map(Parsed::Ready)
    }
}

/// How many bytes from the end of the object the index and the footer take.
fn tail_needed(object_size: u64, footer: &Footer) -> Result<u64> {
    let length = footer.index_length;
    if length > INDEX_SIZE_MAX || length < counts::SIZE as u64 {
        return Err(Error::damaged("the footer", format!("its index has {length} bytes")));
    }
    let needed = length + Footer::SIZE as u64;
    let fits = footer.index_offset >= Header::SIZE as u64
        && footer.index_offset.checked_add(needed) == Some(object_size);
    if !fits {
        let offset = footer.index_offset;
        return Err(Error::damaged(
            "the footer",
            format!("an index of {length} bytes at {offset} is not at the end of {object_size}"),
        ));
    }
    Ok(needed)
}

/// The rows of an index, apart.
struct Sections<'a> {
    entries: &'a [[u8; entry_row::SIZE]],
    blocks: &'a [[u8; block_row::SIZE]],
    runs: &'a [[u8; run_row::SIZE]],
    details: &'a [u8],
}

impl<'a> Sections<'a> {
    fn split(bytes: &'a [u8]) -> Result<Sections<'a>> {
        let (counts, rest) =
            bytes.split_first_chunk::<{ counts::SIZE }>().ok_or_else(|| damaged("it is short"))?;
        let (entries, rest) = take_rows(rest, counts::ENTRIES.u32(counts))?;
        let (blocks, rest) = take_rows(rest, counts::BLOCKS.u32(counts))?;
        let (runs, details) = take_rows(rest, counts::RUNS.u32(counts))?;
        if details.len() as u64 != u64::from(counts::DETAILS.u32(counts)) {
            return Err(damaged("its details have another length than it states"));
        }
        Ok(Sections { entries, blocks, runs, details })
    }

    /// As many of the runs as `pages` pages take, or all that are left.
    fn take_runs(&mut self, pages: u32) -> &'a [[u8; run_row::SIZE]] {
        let (mut taken, mut covered) = (0, 0_u64);
        while covered < u64::from(pages) && taken < self.runs.len() {
            covered += u64::from(run_row::COUNT.u32(&self.runs[taken]));
            taken += 1;
        }
        let (runs, rest) = self.runs.split_at(taken);
        self.runs = rest;
        runs
    }

    fn take_detail(&mut self, length: usize) -> Option<&'a [u8]> {
        let (detail, rest) = self.details.split_at_checked(length)?;
        self.details = rest;
        Some(detail)
    }
}

fn take_rows<const N: usize>(bytes: &[u8], count: u32) -> Result<(&[[u8; N]], &[u8])> {
    let length = usize::try_from(count).ok().and_then(|count| count.checked_mul(N));
    let (rows, rest) = length
        .and_then(|length| bytes.split_at_checked(length))
        .ok_or_else(|| damaged("it has fewer rows than it states"))?;
    Ok((rows.as_chunks().0, rest))
}

/// The rest of [`Index::parse`], once the bytes are known to be those that were written.
fn parse_verified(header: Header, footer: Footer, bytes: &[u8]) -> Result<Index> {
    let sections = Sections::split(bytes)?;
    let count = u32::try_from(sections.entries.len()).unwrap_or(u32::MAX);
    if count > ENTRIES_MAX || count != footer.entries {
        return Err(damaged(format!("{count} entries, and the footer states {}", footer.entries)));
    }
    let blocks = sections.blocks;
    let (entries, chain) = parse_entries(&header, sections)?;
    check_footer(&header, &footer, &entries, chain)?;
    let mut starts = Vec::with_capacity(entries.len());
    let mut pages = 0;
    for entry in &entries {
        starts.push(pages);
        pages += u64::from(entry.page_count);
    }
    let (page_blocks, hash_blocks) = parse_blocks(&header, &footer, blocks, pages)?;
    Ok(Index { header, footer, entries, starts, page_blocks, hash_blocks })
}

/// The entries, and the chain after the last of them if they are of the history.
fn parse_entries(
    header: &Header,
    mut sections: Sections<'_>,
) -> Result<(Vec<Entry>, Option<Chain>)> {
    let mut rules = Rules::new(header);
    let mut chain = header.chain();
    let mut entries = Vec::with_capacity(sections.entries.len());
    for row in sections.entries {
        let (mut entry, detail_length) = parse_entry(row)?;
        let txid = entry.txid;
        let wrong = |why: String| Error::damaged(format!("entry {txid}"), why);
        let runs = sections.take_runs(entry.page_count);
        let detail = sections.take_detail(detail_length);
        let (Some(parsed), Some(detail)) = (runs.iter().map(parse_run).collect(), detail) else {
            return Err(wrong("its pages or its detail are missing".to_owned()));
        };
        entry.runs = parsed;
        entry.detail = detail.to_vec();
        rules.admit(&entry).map_err(wrong)?;
        chain = chain.map(|chain| chain.next(row, runs.as_flattened(), detail));
        entries.push(entry);
    }
    if !sections.runs.is_empty() || !sections.details.is_empty() {
        return Err(damaged("it has runs or details that belong to no entry"));
    }
    Ok((entries, chain))
}

/// Checks what header, entries and footer say about each other.
fn check_footer(
    header: &Header,
    footer: &Footer,
    entries: &[Entry],
    chain: Option<Chain>,
) -> Result<()> {
    let last = entries.last().ok_or_else(|| damaged("it has no entries"))?;
    if footer.kind != header.kind() {
        return Err(damaged("the header and the footer are of two kinds"));
    }
    if footer.last != last.txid || footer.digest != last.digest {
        return Err(damaged("the footer does not state the last entry"));
    }
    if chain.is_some_and(|chain| chain != footer.chain) {
        return Err(damaged("its entries do not lead to the chain of the footer"));
    }
    Ok(())
}

/// The blocks of pages and those of hashes, which must tile the object up to the index and hold `pages` pages.
fn parse_blocks(
    header: &Header,
    footer: &Footer,
    rows: &[[u8; block_row::SIZE]],
    pages: u64,
) -> Result<(Vec<Block>, Vec<Block>)> {
    let (mut page_blocks, mut hash_blocks) = (Vec::new(), Vec::new());
    let (mut page_end, mut hash_end) = (0, 0);
    let mut offset = Header::SIZE as u64;
    for row in rows {
        let (kind, mut block) = parse_block(row, offset)?;
        let (blocks, end, unit) = match kind {
            BlockKind::Pages => (&mut page_blocks, &mut page_end, header.page_size.get()),
            BlockKind::Hashes => (&mut hash_blocks, &mut hash_end, HASH_SIZE),
        };
        check_block(&block, unit)?;
        block.first = *end;
        *end += u64::from(block.raw_len / unit);
        offset = block.end();
        blocks.push(block);
    }
    if offset != footer.index_offset {
        return Err(damaged(format!("its blocks end at {offset}, not where it begins")));
    }
    if page_end != pages || hash_end != pages {
        let why = format!("its blocks have {page_end} pages and {hash_end} hashes of {pages}");
        return Err(damaged(why));
    }
    Ok((page_blocks, hash_blocks))
}

/// Checks the lengths of a block of things of `unit` bytes.
fn check_block(block: &Block, unit: u32) -> Result<()> {
    let raw = block.raw_len;
    let whole = raw > 0 && raw as usize <= BLOCK_RAW_MAX && raw.is_multiple_of(unit);
    let stored = match block.codec {
        Codec::Stored => block.stored_len == raw,
        Codec::Lz4 => block.stored_len > 0 && block.stored_len < raw,
    };
    if whole && stored {
        return Ok(());
    }
    let why = format!("{} bytes cannot become {raw} of {unit} each", block.stored_len);
    Err(Error::damaged(format!("the block at {}", block.offset), why))
}
