//! The index: all that is known of an object without its blocks.

use ebbtide_seal::{KeyId, Keys, ObjectKey};
use ebbtide_wal::PageNumber;

use super::order::Order;
use super::{Block, ContentCheck, Footer, Header, Opener};
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
    /// Where the images lie, if they are not in the order of the entries.
    pub(super) order: Option<Order>,
    pub(super) opener: Opener,
    /// BLAKE3 of the blocks of an encrypted object, as its footer states it.
    pub(super) blocks_hash: Option<[u8; 32]>,
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
    /// How many pages the entries before its own carry, and its own before it: its hash has this place in the list.
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

    /// The footer. Of an encrypted object, it says what a plain one would, but for the root and the length of the index:
    /// those are of what is stored.
    #[must_use]
    pub fn footer(&self) -> &Footer {
        &self.footer
    }

    /// What opens its blocks.
    #[must_use]
    pub fn opener(&self) -> &Opener {
        &self.opener
    }

    /// BLAKE3 of all blocks one after the other as they are stored, as an encrypted object states it: it is for those who
    /// read all of them, and is not proved by the index.
    #[must_use]
    pub fn blocks_hash(&self) -> Option<[u8; 32]> {
        self.blocks_hash
    }

    /// Opens the images, too, if their key is among `keys`.
    pub fn add_keys(&mut self, keys: &Keys) {
        self.opener = self.opener.with(keys);
    }

    /// Opens the images, too, with the key that the object alone has for them.
    pub fn add_object_key(&mut self, pages: ObjectKey) {
        self.opener = self.opener.with_object_key(pages);
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

    /// The blocks of page images, in order: that of the entries, or that of the pages if [`Index::is_by_page`].
    #[must_use]
    pub fn page_blocks(&self) -> &[Block] {
        &self.page_blocks
    }

    /// The page key that its images are under. An object that has none may name one all the same: its writer begins with
    /// the header.
    #[must_use]
    pub fn page_key(&self) -> Option<KeyId> {
        let named = self.opener.envelope().and_then(|envelope| envelope.pages);
        named.filter(|_| !self.page_blocks.is_empty())
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

    /// Whether the images lie in the order of the pages instead of the entries.
    #[must_use]
    pub fn is_by_page(&self) -> bool {
        self.order.is_some()
    }

    /// The numbers of the pages of the entry with index `entry`, in ascending order, and the places of their hashes in the
    /// list. There are none if there is no such entry.
    pub fn numbers(&self, entry: usize) -> impl Iterator<Item = (PageNumber, u64)> {
        let start = self.starts.get(entry).copied().unwrap_or(0);
        let runs = self.entries.get(entry).map_or(&[][..], |entry| &entry.runs);
        runs.iter().flat_map(|run| run.pages()).zip(start..)
    }

    /// The pages of the entry with index `entry`, in ascending order, and where they lie.
    pub fn pages(&self, entry: usize) -> impl Iterator<Item = PageRef> {
        let mut block = self.block_of(self.starts.get(entry).copied().unwrap_or(0));
        self.numbers(entry).map(move |(number, ordinal)| match &self.order {
            Some(_) => self.place(number, ordinal),
            None => {
                while self.page_blocks.get(block + 1).is_some_and(|next| next.first <= ordinal) {
                    block += 1;
                }
                self.page_ref(number, ordinal, ordinal, block)
            }
        })
    }

    /// Where the image of a page lies whose hash has this place in the list, as [`Index::numbers`] gives both.
    #[must_use]
    pub fn place(&self, number: PageNumber, ordinal: u64) -> PageRef {
        let position = match &self.order {
            None => ordinal,
            Some(order) => {
                let place = (number, u32::try_from(ordinal).unwrap_or(u32::MAX));
                let places = order.places(&self.entries);
                places.partition_point(|other| *other < place) as u64
            }
        };
        self.page_ref(number, ordinal, position, self.block_of(position))
    }

    /// The pages of an object whose images lie in the order of the pages, from the block with index `block` on.
    pub fn pages_by_page(&self, block: usize) -> impl Iterator<Item = PageRef> {
        let places = self.order.as_ref().map_or(&[][..], |order| order.places(&self.entries));
        let first = self.page_blocks.get(block).map_or(u64::MAX, |block| block.first);
        let skipped = usize::try_from(first).unwrap_or(usize::MAX).min(places.len());
        let mut block = block;
        places[skipped..].iter().zip(first..).map(move |(&(number, ordinal), position)| {
            while self.page_blocks.get(block + 1).is_some_and(|next| next.first <= position) {
                block += 1;
            }
            self.page_ref(number, ordinal.into(), position, block)
        })
    }

    /// The block with the image before which there are `position` others.
    fn block_of(&self, position: u64) -> usize {
        self.page_blocks.partition_point(|block| block.first <= position).saturating_sub(1)
    }

    fn page_ref(&self, number: PageNumber, ordinal: u64, position: u64, block: usize) -> PageRef {
        let index = usize::try_from(position - self.page_blocks[block].first)
            .expect("a block has few pages");
        PageRef { number, ordinal, block, index }
    }

    /// A check of all pages of the object, or of all its page hashes, against its entries.
    #[must_use]
    pub fn content_check(&self) -> ContentCheck<'_> {
        ContentCheck::new(self.entries())
    }
}
