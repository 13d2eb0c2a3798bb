//! The index: all that is known of an object without its blocks.

use ebbtide_wal::PageNumber;

use super::{Block, ContentCheck, Footer, Header};
use crate::{Entry, Key};

/// The header, the footer and what lies between the blocks and the footer, all of it checked: each by itself, against
/// each other, and the chain from the header through all entries to the footer.
#[derive(Debug, Clone)]
pub struct Index {
    pub(super) header: Header,
    pub(super) footer: Footer,
    pub(super) entries: Vec<Entry>,
    /// For each entry, how many pages the entries before it carry.
    pub(super) starts: Vec<u64>,
    pub(super) page_blocks: Vec<Block>,
    pub(super) hash_blocks: Vec<Block>,
}

/// What [`Index::parse`] makes of the first and the last bytes of an object.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "there is one of it at a time")]
pub enum Parsed {
    /// All that there is to know.
    Ready(Index),
    /// Not enough: parse again with this many bytes from the end of the object, or more.
    NeedTail(u64),
}

/// One page image in an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageRef {
    /// The number of the page.
    pub number: PageNumber,
    /// How many pages lie before it in the object.
    pub ordinal: u64,
    /// Its block, as an index into [`Index::page_blocks`].
    pub block: usize,
    /// How many pages lie before it in its block.
    pub index: usize,
}

impl Index {
    /// The header.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The footer.
    #[must_use]
    pub fn footer(&self) -> &Footer {
        &self.footer
    }

    /// The name that the object must have.
    #[must_use]
    pub fn key(&self) -> Key {
        self.header.key(self.footer.last)
    }

    /// The entries, at least one, with consecutive txids.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The blocks of page images, in order.
    #[must_use]
    pub fn page_blocks(&self) -> &[Block] {
        &self.page_blocks
    }

    /// The blocks of page hashes, in order. Each decodes to the bytes that [`page_hashes`](super::page_hashes) reads.
    #[must_use]
    pub fn hash_blocks(&self) -> &[Block] {
        &self.hash_blocks
    }

    /// How many pages all entries carry together.
    #[must_use]
    pub fn page_count(&self) -> u64 {
        self.entries.iter().map(|entry| u64::from(entry.page_count)).sum()
    }

    /// The pages of the entry with index `entry`, in ascending order, and where they lie. There are none if there is no
    /// such entry.
    pub fn pages(&self, entry: usize) -> impl Iterator<Item = PageRef> {
        let start = self.starts.get(entry).copied().unwrap_or(0);
        let runs = self.entries.get(entry).map_or(&[][..], |entry| &entry.runs);
        let numbers = runs.iter().flat_map(|run| run.pages());
        let mut block =
            self.page_blocks.partition_point(|block| block.first <= start).saturating_sub(1);
        numbers.zip(start..).map(move |(number, ordinal)| {
            while self.page_blocks.get(block + 1).is_some_and(|next| next.first <= ordinal) {
                block += 1;
            }
            let index = usize::try_from(ordinal - self.page_blocks[block].first)
                .expect("a block has few pages");
            PageRef { number, ordinal, block, index }
        })
    }

    /// A check of all pages of the object, or of all its page hashes, against its entries.
    #[must_use]
    pub fn content_check(&self) -> ContentCheck<'_> {
        ContentCheck::new(self)
    }
}
