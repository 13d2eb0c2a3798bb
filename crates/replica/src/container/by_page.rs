//! The images of an object that is written in the order of the pages instead of the entries: those of one page lie side
//! by side, so that each can be a difference to the one before it, and a block with all that it needs is a few pages of
//! the database through time.

use std::collections::BTreeMap;

use ebbtide_wal::{PageNumber, PageSize};

use super::arena::{Arena, Extent};
use super::difference::put_number;
use super::limits::{BLOCK_RAW_MAX, BLOCK_RAW_TARGET, BY_PAGE_IMAGES_MAX};
use super::records::Recorder;
use crate::{Error, Result};

/// A chain is no longer, the image that it begins with included: it takes a twentieth of a millisecond to its end.
const CHAIN_MAX: usize = 256;

/// The images so far.
pub(super) struct ByPage {
    page_size: PageSize,
    pages: BTreeMap<PageNumber, Page>,
    arena: Arena,
    recorder: Recorder,
    images: u32,
}

/// The images of one page.
#[derive(Default)]
struct Page {
    records: Vec<Record>,
    /// The length of the chain that the next image may be added to.
    chain: usize,
    /// A copy of the last image, for which there is memory once one was a difference.
    last: Option<Extent>,
}

#[derive(Clone, Copy)]
struct Record {
    bytes: Extent,
    /// Whether it is the image itself, so that a block can begin with it.
    is_whole: bool,
}

/// What goes into one block.
#[derive(Default)]
pub(super) struct Records {
    pub(super) bytes: Vec<u8>,
    pub(super) count: usize,
}

impl ByPage {
    pub(super) fn new(page_size: PageSize) -> ByPage {
        let (pages, arena, recorder) = (BTreeMap::new(), Arena::default(), Recorder::default());
        ByPage { page_size, pages, arena, recorder, images: 0 }
    }

    /// Adds the next image of a page.
    pub(super) fn add(&mut self, number: PageNumber, image: &[u8]) -> Result<()> {
        if self.images == BY_PAGE_IMAGES_MAX {
            return Err(Error::unwritable("one more page", "the object is full"));
        }
        self.images += 1;
        let page = self.pages.entry(number).or_default();
        let base = page.base(&self.arena, image.len());
        let base = base.filter(|_| page.chain < images_max(self.page_size).min(CHAIN_MAX));
        let difference = base.and_then(|base| self.recorder.difference(base, image));
        let mut head = Vec::new();
        put_number(difference.map_or(image.len(), <[u8]>::len), &mut head);
        let bytes = self.arena.put([&head, difference.unwrap_or(image)]);
        page.records.push(Record { bytes, is_whole: difference.is_none() });
        if difference.is_none() {
            page.chain = 1;
            return Ok(());
        }
        page.chain += 1;
        match page.last {
            Some(last) => self.arena.replace(last, image),
            None => page.last = Some(self.arena.put([image, &[]])),
        }
        Ok(())
    }

    pub(super) fn images(&self) -> u32 {
        self.images
    }

    /// How many bytes of memory it takes, about.
    pub(super) fn memory(&self) -> usize {
        self.arena.len()
            + self.images as usize * size_of::<Record>()
            + self.pages.len() * size_of::<(PageNumber, Page)>()
    }

    /// Hands over what goes into each block.
    pub(super) fn into_blocks(self, mut each: impl FnMut(&Records) -> Result<()>) -> Result<()> {
        let count_max = images_max(self.page_size);
        let mut block = Records::default();
        for page in self.pages.values() {
            for chain in page.chains() {
                let is_full =
                    block.bytes.len() >= BLOCK_RAW_TARGET || block.count + chain.len() > count_max;
                if is_full && block.count > 0 {
                    each(&block)?;
                    block.bytes.clear();
                    block.count = 0;
                }
                chain
                    .iter()
                    .for_each(|record| block.bytes.extend_from_slice(self.arena.get(record.bytes)));
                block.count += chain.len();
            }
        }
        match block.count {
            0 => Ok(()),
            _ => each(&block),
        }
    }
}

/// How many images a block has at most.
fn images_max(page_size: PageSize) -> usize {
    BLOCK_RAW_MAX / page_size.bytes()
}

impl Page {
    /// The last image, which has `size` bytes.
    fn base<'a>(&self, arena: &'a Arena, size: usize) -> Option<&'a [u8]> {
        let record = self.records.last()?;
        match (record.is_whole, self.last) {
            (true, _) => {
                let bytes = arena.get(record.bytes);
                bytes.get(bytes.len().checked_sub(size)?..)
            }
            (false, last) => last.map(|last| arena.get(last)),
        }
    }

    /// The records from each that is an image itself to the next one.
    fn chains(&self) -> impl Iterator<Item = &[Record]> {
        self.records.chunk_by(|_, next| !next.is_whole)
    }
}
