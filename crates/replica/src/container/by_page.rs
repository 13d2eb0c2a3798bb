//! The images of an object that is written in the order of the pages instead of the entries: those of one page lie side
//! by side, so that each can be a difference to the one before it, and a block with all that it needs is a few pages of
//! the database through time.

use std::collections::BTreeMap;

use ebbtide_wal::{PageNumber, PageSize};

use super::arena::{Arena, Extent};
use super::difference::{apply, put_number, take_number};
use super::limits::{BLOCK_RAW_MAX, BLOCK_RAW_TARGET, BY_PAGE_IMAGES_MAX};
use super::records::Recorder;
use crate::{Error, Result};

/// A chain is no longer, the image that it begins with included: it takes a twentieth of a millisecond to its end.
const CHAIN_MAX: usize = 256;

/// The last image of a page is put together from a chain that is shorter than this, each time that it is the base of
/// another: a copy would take as much memory as the rest of most pages.
const COPY_FROM: usize = 16;

/// The images so far.
pub(super) struct ByPage {
    page_size: PageSize,
    pages: BTreeMap<PageNumber, Page>,
    arena: Arena,
    recorder: Recorder,
    /// Memory for a base and the image before it.
    base: [Vec<u8>; 2],
    images: u32,
}

/// The images of one page.
#[derive(Default)]
struct Page {
    records: Vec<Record>,
    /// The length of the chain that the next image may be added to.
    chain: usize,
    /// Memory for a copy of the last image, which is there if the chain is a long one.
    last: Option<Extent>,
}

#[derive(Clone, Copy)]
struct Record {
    /// Its length and what follows.
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
        let base = [vec![0; page_size.bytes()], vec![0; page_size.bytes()]];
        ByPage { page_size, pages, arena, recorder, base, images: 0 }
    }

    /// Adds the next image of a page.
    pub(super) fn add(&mut self, number: PageNumber, image: &[u8]) -> Result<()> {
        if self.images == BY_PAGE_IMAGES_MAX {
            return Err(Error::unwritable("one more page", "the object is full"));
        }
        self.images += 1;
        let page = self.pages.entry(number).or_default();
        let difference = match page.chain {
            0 => None,
            chain if chain == images_max(self.page_size).min(CHAIN_MAX) => None,
            _ => {
                page.rebuild_last(&self.arena, &mut self.base)?;
                self.recorder.difference(&self.base[0], image)
            }
        };
        let mut head = Vec::new();
        put_number(difference.map_or(image.len(), <[u8]>::len), &mut head);
        let bytes = self.arena.put([&head, difference.unwrap_or(image)]);
        page.records.push(Record { bytes, is_whole: difference.is_none() });
        if difference.is_none() {
            page.chain = 1;
            return Ok(());
        }
        page.chain += 1;
        if page.chain >= COPY_FROM {
            match page.last {
                Some(last) => self.arena.replace(last, image),
                None => page.last = Some(self.arena.put([image, &[]])),
            }
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
    /// Puts the last image together in the first of two places.
    fn rebuild_last(&self, arena: &Arena, [image, before]: &mut [Vec<u8>; 2]) -> Result<()> {
        if let (Some(last), COPY_FROM..) = (self.last, self.chain) {
            image.copy_from_slice(arena.get(last));
            return Ok(());
        }
        for record in &self.records[self.records.len() - self.chain..] {
            let mut bytes = arena.get(record.bytes);
            take_number(&mut bytes)?;
            std::mem::swap(image, before);
            match record.is_whole {
                true => image.copy_from_slice(bytes),
                false => apply(before, bytes, image)?,
            }
        }
        Ok(())
    }

    /// The records from each that is an image itself to the next one.
    fn chains(&self) -> impl Iterator<Item = &[Record]> {
        self.records.chunk_by(|_, next| !next.is_whole)
    }
}
