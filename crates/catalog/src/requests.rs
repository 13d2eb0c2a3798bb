//! Which blocks of an object have pages that are wanted, and which ranges to read for them.

use ebbtide_replica::container::{Block, Index, PageRef};
use ebbtide_wal::PageNumber;

use crate::plan::Part;
use crate::wanted::Wanted;

/// No request is for more bytes than this, unless a single block is larger. A request costs us a third of a millisecond of
/// CPU time, and the store more: MinIO reads and hashes whole mebibytes, so that one more than was asked for is read.
const REQUEST_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// A smaller object is asked for in so many requests, because one connection to a store that is far away is slow…
const REQUESTS_MIN: u64 = 16;
/// …unless they became smaller than this.
const REQUEST_BYTES_MIN: u64 = 4 * 1024 * 1024;

/// Bytes between two wanted blocks that are rather read along than left to another request.
const GAP_BYTES_MAX: u64 = 32 * 1024;

/// A range of an object, with the blocks in it that are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Where the range begins.
    pub start: u64,
    /// Where it ends.
    pub end: u64,
    /// The blocks, in the order in which they lie in the object.
    pub blocks: Vec<WantedBlock>,
}

/// A block with the pages in it that are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedBlock {
    /// The block.
    pub block: Block,
    /// The pages: runs of consecutive pages that follow each other in the block.
    pub runs: Vec<WantedRun>,
}

/// Consecutive pages in a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WantedRun {
    /// How many pages lie before the first in its block.
    pub slot: u32,
    /// How many hashes lie before that of the first in the object's list.
    pub ordinal: u64,
    /// The first page.
    pub first: PageNumber,
    /// How many there are.
    pub count: u32,
}

/// The blocks of a part with the pages that `wanted` lacks. The parts of a plan are asked about from the newest to the
/// oldest, so that the newest image of a page is the one that is taken.
pub fn wanted_blocks<'a>(
    index: &'a Index,
    part: &Part,
    wanted: &'a mut Wanted,
) -> Box<dyn Iterator<Item = WantedBlock> + Send + 'a> {
    let in_order = !index.is_by_page();
    if in_order && index.entries().len() == 1 {
        Box::new(ascending(index, wanted))
    } else if in_order {
        Box::new(descending(index, *part, wanted))
    } else {
        Box::new(by_page(index, *part, wanted).into_iter())
    }
}

/// What must be read of a part, so that all pages that `wanted` lacks and the part has are there, asked as
/// [`wanted_blocks`].
pub fn requests<'a>(
    index: &'a Index,
    part: &Part,
    wanted: &'a mut Wanted,
) -> impl Iterator<Item = Request> + 'a {
    let object_bytes = index.page_blocks().last().map_or(0, Block::end);
    let bytes_max = (object_bytes / REQUESTS_MIN).clamp(REQUEST_BYTES_MIN, REQUEST_BYTES_MAX);
    let mut blocks = wanted_blocks(index, part, wanted).peekable();
    std::iter::from_fn(move || {
        let block = blocks.next()?;
        let (mut start, mut end) = (block.block.offset, block.block.end());
        let mut request = vec![block];
        while let Some(next) = blocks.peek() {
            let (low, high) = (start.min(next.block.offset), end.max(next.block.end()));
            let gap =
                next.block.offset.saturating_sub(end).max(start.saturating_sub(next.block.end()));
            if high - low > bytes_max || gap > GAP_BYTES_MAX {
                break;
            }
            (start, end) = (low, high);
            request.extend(blocks.next());
        }
        request.sort_unstable_by_key(|wanted| wanted.block.offset);
        Some(Request { start, end, blocks: request })
    })
}

/// The wanted blocks of an object with a single entry, from its beginning to its end: the order in which files are
/// read best.
fn ascending<'a>(
    index: &'a Index,
    wanted: &'a mut Wanted,
) -> impl Iterator<Item = WantedBlock> + Send + 'a {
    if let Some(entry) = index.entries().first() {
        wanted.go_back_to(entry.database_pages);
    }
    let mut pages =
        index.entries().iter().flat_map(|entry| &entry.runs).flat_map(|run| run.pages());
    index.page_blocks().iter().filter_map(move |&block| {
        let mut runs = Vec::new();
        for (slot, page) in (0..block.count).zip(&mut pages) {
            if wanted.take(page) {
                push(&mut runs, slot, block.first + u64::from(slot), page);
            }
        }
        (!runs.is_empty()).then_some(WantedBlock { block, runs })
    })
}

/// The wanted blocks of an object from its end to its beginning, so that the newest image of a page comes first.
fn descending<'a>(
    index: &'a Index,
    part: Part,
    wanted: &'a mut Wanted,
) -> impl Iterator<Item = WantedBlock> + Send + 'a {
    let mut entries = index.entries().iter().rev();
    let mut pages: Box<dyn Iterator<Item = PageNumber> + Send + 'a> = Box::new(std::iter::empty());
    let mut applies = false;
    let mut next_page = move |wanted: &mut Wanted| loop {
        if let Some(page) = pages.next() {
            return Some((page, applies));
        }
        let entry = entries.next()?;
        applies = part.applies(entry.txid);
        if applies {
            wanted.go_back_to(entry.database_pages);
        }
        pages = Box::new(entry.runs.iter().rev().flat_map(|run| run.pages().rev()));
    };
    index.page_blocks().iter().rev().filter_map(move |&block| {
        let mut slots = Vec::new();
        for slot in (0..block.count).rev() {
            let Some((page, applies)) = next_page(wanted) else { break };
            if applies && wanted.take(page) {
                slots.push((slot, page));
            }
        }
        let mut runs = Vec::new();
        for (slot, page) in slots.into_iter().rev() {
            push(&mut runs, slot, block.first + u64::from(slot), page);
        }
        (!runs.is_empty()).then_some(WantedBlock { block, runs })
    })
}

/// The wanted blocks of an object whose images lie in the order of the pages. What is wanted of a page is found before any
/// block is chosen, which there is room for: such an object has few pages.
fn by_page(index: &Index, part: Part, wanted: &mut Wanted) -> Vec<WantedBlock> {
    let mut taken = Vec::new();
    for (number, entry) in index.entries().iter().enumerate().rev() {
        if part.applies(entry.txid) {
            wanted.go_back_to(entry.database_pages);
            taken.extend(index.numbers(number).filter(|(page, _)| wanted.take(*page)));
        }
    }
    let mut taken: Vec<PageRef> =
        taken.into_iter().map(|(page, ordinal)| index.place(page, ordinal)).collect();
    taken.sort_unstable_by_key(|page| (page.block, page.index));
    let chunks = taken.chunk_by(|one, other| one.block == other.block);
    let block = |pages: &[PageRef]| {
        let block = index.page_blocks()[pages[0].block];
        let mut runs = Vec::new();
        for page in pages {
            let slot = u32::try_from(page.index).expect("a block has few pages");
            push(&mut runs, slot, page.ordinal, page.number);
        }
        WantedBlock { block, runs }
    };
    chunks.map(block).collect()
}

/// Adds a page to the last run or as a new one.
fn push(runs: &mut Vec<WantedRun>, slot: u32, ordinal: u64, page: PageNumber) {
    match runs.last_mut() {
        Some(run)
            if run.slot + run.count == slot
                && run.ordinal + u64::from(run.count) == ordinal
                && run.first.get() + run.count == page.get() =>
        {
            run.count += 1;
        }
        _ => runs.push(WantedRun { slot, ordinal, first: page, count: 1 }),
    }
}
