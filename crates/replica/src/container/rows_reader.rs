//! The rows of an index as they come in, and the index that they make.

use super::footer::RootHasher;
use super::layout::{block_row, counts, entry_row, run_row};
use super::limits::{BLOCK_RAW_MAX, BY_PAGE_IMAGES_MAX, DETAILS_SIZE_MAX, ENTRIES_MAX};
use super::order::Order;
use super::rows::{encode_entry, encode_run, parse_block, parse_entry, parse_run};
use super::rules::Rules;
use super::{Block, BlockKind, Codec, Footer, Header, Index, Kind, Opener};
use crate::{Chain, Entry, Error, PageHash, Result};

/// What a block of hashes is made of.
const HASH_SIZE: u32 = 16;
const _: () = assert!(HASH_SIZE as usize == PageHash::SIZE);

/// How much longer an encrypted block is.
pub(super) const TAG_SIZE: u32 = 16;
const _: () = assert!(TAG_SIZE as usize == ebbtide_seal::TAG_SIZE);

/// No byte of an LZ4 block stands for more bytes than this.
pub(super) const LZ4_EXPANSION_MAX: u64 = 255;

fn damaged(why: impl Into<String>) -> Error {
    Error::damaged("the index", why)
}

/// What has come in so far.
pub(super) struct RowsReader {
    header: Header,
    footer: Footer,
    /// Of an index whose root is not proved yet.
    root: Option<RootHasher>,
    /// How many bytes are missing.
    missing: u64,
    /// The beginning of a row whose end has not come in.
    rest: Vec<u8>,
    part: Part,
    rows: Rows,
    /// What a later version may have written, or damage: the root tells which, at the end.
    newer: Option<Error>,
}

/// The parts of an index, each with how many rows of it are missing.
#[derive(Debug, Clone, Copy)]
enum Part {
    Counts,
    Entries(u32),
    Blocks(u32),
    Runs(u32),
    Details(u32),
}

/// The rows.
#[derive(Default)]
struct Rows {
    /// How many rows of each part come: blocks, runs, bytes of details.
    counts: [u32; 3],
    entries: Vec<Entry>,
    /// The length of the detail of each entry.
    details: Vec<usize>,
    page_blocks: Vec<Block>,
    hash_blocks: Vec<Block>,
    /// Where the next block begins, and how many pages and hashes lie before it.
    offset: u64,
    page_end: u64,
    hash_end: u64,
    /// Whether the images lie in the order of the pages.
    by_page: bool,
    /// The entry that the next run belongs to, and how many pages it has by now.
    run_entry: usize,
    run_pages: u64,
    /// The entry that the next byte of details belongs to.
    detail_entry: usize,
}

impl RowsReader {
    pub(super) fn new(header: Header, footer: Footer) -> RowsReader {
        let root = RootHasher::new(&header.encode());
        RowsReader { root: Some(root), ..RowsReader::opened(header, footer) }
    }

    /// The same for an index that was encrypted: its root is proved, and so is all that comes from where it was opened.
    /// `footer` has the length of what was opened.
    pub(super) fn opened(header: Header, footer: Footer) -> RowsReader {
        RowsReader {
            root: None,
            header,
            footer,
            missing: footer.index_length,
            rest: Vec::new(),
            part: Part::Counts,
            rows: Rows { offset: Header::SIZE as u64, ..Rows::default() },
            newer: None,
        }
    }

    pub(super) fn footer(&self) -> &Footer {
        &self.footer
    }

    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<()> {
        if let Some(root) = &mut self.root {
            root.update(bytes);
        }
        let length = bytes.len() as u64;
        self.missing = self.missing.checked_sub(length).ok_or_else(|| damaged("it is long"))?;
        if self.newer.is_some() {
            return Ok(());
        }
        let rest = std::mem::take(&mut self.rest);
        let joined;
        let bytes = match rest.is_empty() {
            true => bytes,
            false => {
                joined = [&rest[..], bytes].concat();
                &joined[..]
            }
        };
        match self.take(bytes) {
            Ok(taken) => self.rest.extend_from_slice(&bytes[taken..]),
            Err(error @ Error::Newer { .. }) => self.newer = Some(error),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Takes whole rows; how many bytes they are.
    fn take(&mut self, bytes: &[u8]) -> Result<usize> {
        let mut taken = 0;
        loop {
            let rest = &bytes[taken..];
            let (count, size) = match self.part {
                Part::Counts => (1, counts::SIZE),
                Part::Entries(count) => (count, entry_row::SIZE),
                Part::Blocks(count) => (count, block_row::SIZE),
                Part::Runs(count) => (count, run_row::SIZE),
                Part::Details(count) => (count, 1),
            };
            let there = u32::try_from(rest.len() / size).unwrap_or(u32::MAX).min(count);
            let length = there as usize * size;
            self.take_rows(&rest[..length])?;
            taken += length;
            let left = count - there;
            self.part = match (self.part, left) {
                (Part::Counts, 0) => Part::Entries(self.footer.entries),
                (Part::Entries(_), 0) => Part::Blocks(self.rows.counts[0]),
                (Part::Blocks(_), 0) => Part::Runs(self.rows.counts[1]),
                (Part::Runs(_), 0) => Part::Details(self.rows.counts[2]),
                (Part::Counts, _) => return Ok(taken),
                (Part::Entries(_), left) => Part::Entries(left),
                (Part::Blocks(_), left) => Part::Blocks(left),
                (Part::Runs(_), left) => Part::Runs(left),
                (Part::Details(_), left) => Part::Details(left),
            };
            if left > 0 || matches!(self.part, Part::Details(0)) {
                return Ok(taken);
            }
        }
    }

    /// Takes whole rows of the part that it is at.
    fn take_rows(&mut self, bytes: &[u8]) -> Result<()> {
        let (header, footer, rows) = (&self.header, &self.footer, &mut self.rows);
        let tag = if self.root.is_some() { 0 } else { TAG_SIZE };
        match self.part {
            Part::Counts => bytes.as_chunks().0.iter().try_for_each(|row| rows.counts(footer, row)),
            Part::Entries(_) => bytes.as_chunks().0.iter().try_for_each(|row| rows.entry(row)),
            Part::Blocks(_) => {
                bytes.as_chunks().0.iter().try_for_each(|row| rows.block(header, footer, tag, row))
            }
            Part::Runs(_) => bytes.as_chunks().0.iter().try_for_each(|row| rows.run(row)),
            Part::Details(_) => rows.detail(bytes),
        }
    }

    pub(super) fn finish(self) -> Result<Index> {
        let RowsReader { header, footer, root, missing, rest, part, rows, newer } = self;
        if missing > 0 {
            return Err(damaged(format!("{missing} of its bytes are missing")));
        }
        if root.is_some_and(|root| root.finish() != footer.root) {
            return Err(damaged("it and the header are not those that the footer vouches for"));
        }
        if let Some(newer) = newer {
            return Err(newer);
        }
        if !rest.is_empty() || !matches!(part, Part::Details(0)) {
            return Err(damaged("it has other rows than it states"));
        }
        rows.index(header, footer)
    }
}

impl Rows {
    /// Checks that as many rows fill the index.
    fn counts(&mut self, footer: &Footer, row: &[u8; counts::SIZE]) -> Result<()> {
        let entries = counts::ENTRIES.u32(row);
        if entries == 0 || entries > ENTRIES_MAX || entries != footer.entries {
            let stated = footer.entries;
            return Err(damaged(format!("{entries} entries, and the footer states {stated}")));
        }
        let [blocks, runs, details] =
            [counts::BLOCKS, counts::RUNS, counts::DETAILS].map(|count| count.u32(row));
        let length = counts::SIZE as u64
            + u64::from(entries) * entry_row::SIZE as u64
            + u64::from(blocks) * block_row::SIZE as u64
            + u64::from(runs) * run_row::SIZE as u64
            + u64::from(details);
        if length != footer.index_length || details > DETAILS_SIZE_MAX {
            return Err(damaged(format!("its rows have {length} bytes, {details} of details")));
        }
        self.counts = [blocks, runs, details];
        Ok(())
    }

    fn entry(&mut self, row: &[u8; entry_row::SIZE]) -> Result<()> {
        let (entry, detail) = parse_entry(row)?;
        let follows = self.entries.last().is_none_or(|last| last.txid.precedes(entry.txid));
        if !follows {
            return Err(damaged(format!("entry {} does not follow the one before", entry.txid)));
        }
        self.entries.push(entry);
        self.details.push(detail);
        Ok(())
    }

    fn block(
        &mut self,
        header: &Header,
        footer: &Footer,
        tag: u32,
        row: &[u8; block_row::SIZE],
    ) -> Result<()> {
        let mut block = parse_block(row, self.offset)?;
        let (blocks, end, unit) = match block.kind {
            BlockKind::Pages | BlockKind::ByPage => {
                self.order(header, block.kind)?;
                (&mut self.page_blocks, &mut self.page_end, header.page_size.get())
            }
            BlockKind::Hashes => (&mut self.hash_blocks, &mut self.hash_end, HASH_SIZE),
            BlockKind::Document => return Err(damaged("it has a document beside its entries")),
        };
        check_block(&block, unit, tag)?;
        block.first = *end;
        block.count = block.raw_len / unit;
        *end += u64::from(block.count);
        self.offset = block.end();
        blocks.push(block);
        if self.offset > footer.index_offset {
            return Err(damaged("its blocks do not end where it begins"));
        }
        Ok(())
    }

    /// Takes the order of the images, which is that of the entries or that of the pages for all of an object.
    fn order(&mut self, header: &Header, kind: BlockKind) -> Result<()> {
        let by_page = kind == BlockKind::ByPage;
        if by_page && header.kind() != Kind::Pack {
            return Err(damaged("only a pack has its images in the order of the pages"));
        }
        if self.page_blocks.is_empty() {
            self.by_page = by_page;
        } else if self.by_page != by_page {
            return Err(damaged("its images lie in two orders"));
        }
        Ok(())
    }

    fn run(&mut self, row: &[u8; run_row::SIZE]) -> Result<()> {
        while let Some(entry) = self.entries.get(self.run_entry)
            && self.run_pages >= u64::from(entry.page_count)
        {
            (self.run_entry, self.run_pages) = (self.run_entry + 1, 0);
        }
        let (Some(entry), Some(run)) = (self.entries.get_mut(self.run_entry), parse_run(row))
        else {
            return Err(damaged("it has a run of pages that no entry can have"));
        };
        self.run_pages += u64::from(run.count());
        entry.runs.push(run);
        Ok(())
    }

    fn detail(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let (Some(entry), Some(&length)) =
                (self.entries.get_mut(self.detail_entry), self.details.get(self.detail_entry))
            else {
                return Err(damaged("it has details that belong to no entry"));
            };
            let missing = length - entry.detail.len();
            let (detail, rest) = bytes.split_at(missing.min(bytes.len()));
            entry.detail.extend_from_slice(detail);
            bytes = rest;
            if detail.len() == missing {
                self.detail_entry += 1;
            }
        }
        Ok(())
    }

    /// All rows have come in, and they are those that were written.
    fn index(self, header: Header, footer: Footer) -> Result<Index> {
        let Rows { entries, details, page_blocks, hash_blocks, by_page, .. } = self;
        if self.offset != footer.index_offset {
            let offset = self.offset;
            return Err(damaged(format!("its blocks end at {offset}, not where it begins")));
        }
        let chain = check_entries(&header, &entries, &details)?;
        check_footer(&header, &footer, &entries, chain)?;
        let mut starts = Vec::with_capacity(entries.len());
        let mut pages = 0;
        for entry in &entries {
            starts.push(pages);
            pages += u64::from(entry.page_count);
        }
        if self.page_end != pages || self.hash_end != pages {
            let (blocks, hashes) = (self.page_end, self.hash_end);
            let why = format!("its blocks have {blocks} pages and {hashes} hashes of {pages}");
            return Err(damaged(why));
        }
        if by_page && pages > u64::from(BY_PAGE_IMAGES_MAX) {
            return Err(damaged(format!("it has {pages} images in the order of the pages")));
        }
        let order = by_page.then(Order::default);
        let (opener, blocks_hash) = (Opener::PLAIN, None);
        Ok(Index {
            header,
            footer,
            entries,
            starts,
            page_blocks,
            hash_blocks,
            order,
            opener,
            blocks_hash,
        })
    }
}

/// Checks each entry; the chain after the last of them if they are of the history.
fn check_entries(header: &Header, entries: &[Entry], details: &[usize]) -> Result<Option<Chain>> {
    let mut rules = Rules::new(header);
    let mut chain = header.chain();
    for (entry, &detail) in entries.iter().zip(details) {
        let wrong = |why: String| Error::damaged(format!("entry {}", entry.txid), why);
        if entry.detail.len() != detail {
            return Err(wrong("its detail is missing".to_owned()));
        }
        rules.admit(entry).map_err(wrong)?;
        let runs: Vec<u8> = entry.runs.iter().flat_map(|&run| encode_run(run)).collect();
        let row = encode_entry(entry)?;
        chain = chain.map(|chain| chain.next(&row, &runs, &entry.detail));
    }
    Ok(chain)
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

/// Checks the lengths of a block of things of `unit` bytes. What it claims to become is bounded by the bytes that it has:
/// LZ4 makes at most 255 of one, differences are held to the same, and hashes are never compressed, so that each page of an object costs 16 bytes at least.
/// Of an encrypted block, all that holds for what was encrypted, which is shorter by the tag.
fn check_block(block: &Block, unit: u32, tag: u32) -> Result<()> {
    let (kind, raw) = (block.kind, block.raw_len);
    let packed = block.stored_len.saturating_sub(tag);
    let whole = raw > 0 && raw as usize <= BLOCK_RAW_MAX && raw.is_multiple_of(unit);
    let stored = match block.codec {
        Codec::Stored => packed == raw,
        Codec::Records if kind != BlockKind::ByPage => false,
        Codec::Lz4 | Codec::Records => {
            let raw_max = u64::from(packed) * LZ4_EXPANSION_MAX;
            kind != BlockKind::Hashes && packed < raw && u64::from(raw) <= raw_max
        }
    };
    if whole && stored {
        return Ok(());
    }
    let why = format!("{} bytes cannot become {raw} of {unit} each", block.stored_len);
    Err(Error::damaged(format!("the block at {}", block.offset), why))
}
