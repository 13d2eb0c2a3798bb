//! Writes an object as a stream: one pass, each page hashed, copied and compressed once.
//!
//! What is in memory: one block of raw pages, at most [`BLOCK_HASHES_MAX`] page hashes, the rows of the index, and what
//! has been encoded and not yet taken. A caller that takes it every few megabytes writes objects of any size.

use ebbtide_wal::PageNumber;

use super::body::{Body, End};
use super::by_page::ByPage;
use super::layout::block_row;
use super::limits::{BLOCK_HASHES_MAX, BLOCK_RAW_TARGET};
use super::open::{EntryStart, OpenEntry};
use super::packer::Packer;
use super::records::rebuild;
use super::rules::Rules;
use super::{BlockKind, Codec, Footer, Header, Sealer};
use crate::{Chain, Digest, Entry, Error, PAGES_AT_ONCE, PageHash, Result, Txid, hash_pages};

/// An object that is being written. After an error it is of no more use.
pub struct Writer {
    header: Header,
    rules: Rules,
    chain: Option<Chain>,
    last: Option<(Txid, Digest)>,
    open: Option<OpenEntry>,
    /// The page images of the block that is not yet full.
    raw: Vec<u8>,
    /// The numbers of the last of those pages, which are not hashed yet.
    unhashed: Vec<PageNumber>,
    /// Hashes of pages of the entry that was begun, which nobody has asked for yet.
    hashed: Vec<(PageNumber, PageHash)>,
    /// The page hashes of the block of hashes that is not yet full.
    hashes: Vec<u8>,
    packer: Packer,
    /// All images, if they are to lie in the order of the pages.
    by_page: Option<ByPage>,
    body: Body,
}

/// The end of an object.
#[derive(Debug, Clone)]
pub struct Finished {
    /// The bytes after those that were taken, to the end of the object.
    pub tail: Vec<u8>,
    /// What the last of those bytes say.
    pub footer: Footer,
    /// The size of the object, with all that was taken before.
    pub object_size: u64,
}

impl Writer {
    /// Begins a plain object.
    #[must_use]
    pub fn new(header: Header) -> Writer {
        Writer::begin(header, None)
    }

    /// Begins an object that is encrypted by this sealer, which was made for it.
    #[must_use]
    pub fn sealed(header: Header, sealer: Sealer) -> Writer {
        Writer::begin(header, Some(sealer))
    }

    /// Begins an object, encrypted if there is a sealer.
    #[must_use]
    pub fn begin(header: Header, sealer: Option<Sealer>) -> Writer {
        Writer {
            rules: Rules::new(&header),
            chain: header.chain(),
            last: None,
            open: None,
            raw: Vec::new(),
            unhashed: Vec::new(),
            hashed: Vec::new(),
            hashes: Vec::new(),
            packer: Packer::default(),
            by_page: None,
            body: Body::new(header, sealer),
            header,
        }
    }

    /// Begins a plain pack whose images lie in the order of the pages, as differences to each other. All that it will be is in
    /// memory until it is finished: see [`Writer::memory`].
    #[must_use]
    pub fn by_page(header: Header) -> Writer {
        Writer::new(header).in_page_order()
    }

    /// The same of a pack that was begun, before its first entry.
    #[must_use]
    pub fn in_page_order(mut self) -> Writer {
        self.by_page = Some(ByPage::new(self.header.page_size));
        self
    }

    /// Begins the next entry.
    pub fn begin_entry(&mut self, start: EntryStart) -> Result<()> {
        if let Some(open) = &self.open {
            return Err(open.unwritable("the entry before it is not ended"));
        }
        self.hashed.clear();
        self.open = Some(OpenEntry::new(start, self.hashes.len()));
        Ok(())
    }

    /// States the content of the snapshot in which the pages of the entry lie that was begun.
    pub fn vouch(&mut self, content: [u8; 32]) -> Result<()> {
        let open = self.open.as_mut();
        open.ok_or_else(|| Error::unwritable("an entry", "none was begun"))?.vouch(content)
    }

    /// Adds a page to the entry that was begun. Pages come in ascending order.
    pub fn page(&mut self, number: PageNumber, image: &[u8]) -> Result<()> {
        self.add(number, image)?;
        self.unhashed.push(number);
        if self.unhashed.len() == PAGES_AT_ONCE {
            self.hash_pages();
        }
        self.close_full_blocks()
    }

    /// The same for a page whose hash is known, which must be right: nothing else that is written would tell.
    pub fn hashed_page(&mut self, number: PageNumber, image: &[u8], hash: PageHash) -> Result<()> {
        self.hash_pages();
        self.add(number, image)?.take_hash(hash);
        self.hashes.extend_from_slice(hash.as_bytes());
        self.close_full_blocks()
    }

    /// Adds a page, but for its hash.
    fn add(&mut self, number: PageNumber, image: &[u8]) -> Result<&mut OpenEntry> {
        let open = self
            .open
            .as_mut()
            .ok_or_else(|| Error::unwritable(format!("page {number}"), "no entry was begun"))?;
        open.take_page(number, image, self.header.page_size)?;
        if let Some(by_page) = &mut self.by_page {
            by_page.add(number, image)?;
        }
        self.raw.extend_from_slice(image);
        Ok(open)
    }

    fn close_full_blocks(&mut self) -> Result<()> {
        if self.raw.len() + self.header.page_size.bytes() > BLOCK_RAW_TARGET {
            self.close_block()?;
        }
        if self.hashes.len() >= BLOCK_HASHES_MAX * PageHash::SIZE {
            self.close_hashes()?;
        }
        Ok(())
    }

    /// The hashes of pages that were added since this was last asked, as far as they are known: many pages are hashed
    /// at once, and the last of an entry by [`Writer::hash_pages`].
    pub fn hashed(&mut self) -> impl Iterator<Item = (PageNumber, PageHash)> {
        self.hashed.drain(..)
    }

    /// Hashes those pages that are not hashed yet.
    pub fn hash_pages(&mut self) {
        let start = self.raw.len() - self.unhashed.len() * self.header.page_size.bytes();
        let (open, hashed, hashes) = (&mut self.open, &mut self.hashed, &mut self.hashes);
        hash_pages(&self.unhashed, &self.raw[start..], |number, hash| {
            if let Some(open) = open {
                open.take_hash(hash);
            }
            hashed.push((number, hash));
            hashes.extend_from_slice(hash.as_bytes());
        });
        self.unhashed.clear();
    }

    /// Ends the entry, after which the whole database has this digest.
    pub fn end_entry(&mut self, digest: Digest) -> Result<Entry> {
        self.hash_pages();
        let open =
            self.open.take().ok_or_else(|| Error::unwritable("an entry", "none was begun"))?;
        let (pages_digest, entry) = (open.pages_digest(), open.end(&self.hashes, digest));
        let wrong = |why| Error::unwritable(format!("entry {}", entry.txid), why);
        self.rules.admit(&entry).map_err(wrong)?;
        if entry.is_complete() && pages_digest != digest {
            return Err(wrong("its pages do not add up to its digest".to_owned()));
        }
        self.chain = self.body.table.add_entry(&entry, self.chain)?;
        self.last = Some((entry.txid, digest));
        Ok(entry)
    }

    /// How many bytes are encoded and not yet taken.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.body.out.len()
    }

    /// The next bytes of the object, at most `bytes` of those that are encoded and not yet taken. `next` is used for
    /// what comes after them.
    #[must_use]
    pub fn take(&mut self, bytes: usize, next: Vec<u8>) -> Vec<u8> {
        self.body.take(bytes, next)
    }

    /// The history up to the last entry that was ended. A delta or snapshot has none.
    #[must_use]
    pub fn chain(&self) -> Option<Chain> {
        self.chain
    }

    /// How many entries were ended.
    #[must_use]
    pub fn entries(&self) -> u32 {
        self.body.table.entries()
    }

    /// How many pages were added to an object whose images lie in the order of the pages.
    #[must_use]
    pub fn images(&self) -> u32 {
        self.by_page.as_ref().map_or(0, ByPage::images)
    }

    /// How many bytes of memory what is not yet taken needs, about.
    #[must_use]
    pub fn memory(&self) -> usize {
        let images = self.by_page.as_ref().map_or(self.raw.len(), ByPage::memory);
        let index = usize::try_from(self.body.table.size()).unwrap_or(usize::MAX);
        images.saturating_add(index).saturating_add(self.body.out.len() + self.hashes.len())
    }

    /// How many bytes the object would have at most if it were finished now.
    #[must_use]
    pub fn object_size_max(&self) -> u64 {
        let page = self.header.page_size.offset() + block_row::SIZE as u64;
        let pending = self.raw.len() + self.hashes.len();
        let images = u64::from(self.images());
        self.body.position()
            + images * page
            + (pending + block_row::SIZE * 2 + Footer::SIZE) as u64
            + self.body.table.size()
            + self.body.extra(images + 2)
    }

    /// Ends a segment or a pack.
    pub fn finish(self) -> Result<Finished> {
        let chain = self.chain.ok_or_else(|| {
            Error::unwritable("the state", "the chain that leads to it must be given")
        })?;
        self.end(chain)
    }

    /// Ends a delta or a snapshot: `chain` is that of the log up to the same txid.
    pub fn finish_at(self, chain: Chain) -> Result<Finished> {
        if self.header.kind().is_history() {
            return Err(Error::unwritable("the history", "its chain is that of its entries"));
        }
        self.end(chain)
    }

    fn end(mut self, chain: Chain) -> Result<Finished> {
        if let Some(open) = &self.open {
            return Err(open.unwritable("it is not ended"));
        }
        let (last, digest) =
            self.last.ok_or_else(|| Error::unwritable("the object", "it has no entries"))?;
        self.close_block()?;
        self.close_by_page()?;
        self.close_hashes()?;
        let taken = self.body.taken();
        let (tail, footer) = self.body.finish(End { chain, last, digest })?;
        let object_size = taken + tail.len() as u64;
        Ok(Finished { tail, footer, object_size })
    }

    fn close_block(&mut self) -> Result<()> {
        if self.raw.is_empty() {
            return Ok(());
        }
        self.hash_pages();
        if self.by_page.is_some() {
            self.raw.clear();
            return Ok(());
        }
        let (codec, stored) = self.packer.pack(&self.raw);
        self.body.add_block(BlockKind::Pages, codec, stored, self.raw.len())?;
        self.raw.clear();
        Ok(())
    }

    /// Writes the blocks of an object whose images lie in the order of the pages.
    fn close_by_page(&mut self) -> Result<()> {
        let Some(by_page) = self.by_page.take() else { return Ok(()) };
        let page = self.header.page_size.bytes();
        let (packer, body, raw) = (&mut self.packer, &mut self.body, &mut self.raw);
        by_page.into_blocks(|records| {
            let raw_len = records.count * page;
            let (codec, stored) = match packer.pack_records(&records.bytes, raw_len) {
                Some(stored) => (Codec::Records, stored),
                None => {
                    raw.resize(raw_len, 0);
                    rebuild(&records.bytes, page, raw)?;
                    packer.pack(raw)
                }
            };
            body.add_block(BlockKind::ByPage, codec, stored, raw_len)
        })?;
        self.raw.clear();
        Ok(())
    }

    fn close_hashes(&mut self) -> Result<()> {
        if self.hashes.is_empty() {
            return Ok(());
        }
        if let Some(open) = &mut self.open {
            open.take_hashes(&self.hashes);
        }
        let stored = &self.hashes;
        self.body.add_block(BlockKind::Hashes, Codec::Stored, stored, stored.len())?;
        self.hashes.clear();
        Ok(())
    }
}
