//! The pages of an object with one entry: a snapshot, a delta, or a large commit. No map is needed to find one of them,
//! however many there are.

use ebbtide_replica::container::Index;
use ebbtide_replica::{PageHash, Run};

/// An object with one entry whose images lie in the order of the pages.
#[derive(Debug)]
pub(crate) struct Layer {
    /// The object, as an index into those of the map.
    pub(crate) object: u32,
    /// Pages beyond this are not taken from here: the database was shorter in between.
    pub(crate) limit: u32,
    runs: Vec<Run>,
    /// How many pages the runs before each one have.
    starts: Vec<u64>,
    /// What its list of hashes is, if that was proved.
    pub(crate) hashes: Option<ListedHashes>,
}

/// The blocks of a list of hashes that was proved: a block that is read again must be the same.
#[derive(Debug)]
pub(crate) struct ListedHashes {
    pub(crate) blocks: Vec<ebbtide_replica::container::Block>,
    /// BLAKE3 of each.
    pub(crate) proved: Vec<[u8; 32]>,
}

impl Layer {
    /// The one entry of an index; pages beyond `limit` were cut off after it.
    pub(crate) fn new(object: u32, index: &Index, limit: u32) -> Layer {
        let runs = index.entries().first().map_or(Vec::new(), |entry| entry.runs.clone());
        let mut start = 0;
        let starts = runs.iter().map(|run| {
            let before = start;
            start += u64::from(run.count());
            before
        });
        let starts = starts.collect();
        Layer { object, limit, runs, starts, hashes: None }
    }

    /// How many images lie before that of a page, if the page is taken from here.
    pub(crate) fn position(&self, page: u32) -> Option<u64> {
        if page > self.limit {
            return None;
        }
        let at = self.runs.partition_point(|run| run.first().get() <= page).checked_sub(1)?;
        let run = self.runs[at];
        (page <= run.last().get()).then(|| self.starts[at] + u64::from(page - run.first().get()))
    }
}

impl ListedHashes {
    /// The block of the list with the hash before which there are `position` others, and how many of the block are before
    /// it.
    pub(crate) fn find(&self, position: u64) -> Option<(usize, usize)> {
        let number = self.blocks.partition_point(|block| block.first <= position).checked_sub(1)?;
        let slot = usize::try_from(position - self.blocks[number].first).ok()?;
        (slot < self.blocks[number].count as usize).then_some((number, slot))
    }

    /// Whether the raw bytes of a block are those that were proved.
    pub(crate) fn is_proved(&self, number: usize, raw: &[u8]) -> bool {
        self.proved.get(number) == Some(blake3::hash(raw).as_bytes())
    }

    /// The hash with this place in the raw bytes of a block.
    pub(crate) fn hash(raw: &[u8], slot: usize) -> Option<PageHash> {
        raw.as_chunks().0.get(slot).copied().map(PageHash::from_bytes)
    }
}
