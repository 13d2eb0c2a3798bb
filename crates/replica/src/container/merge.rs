//! Merges segments into one pack: every entry is kept, and the history that the pack proves is the one that the segments
//! proved. The images are decoded and encoded again, each as a difference to the one before it of the same page: most
//! commits change little of a page, and it comes back long after a block of segments has ended. What comes out is checked against what the entries say, so that damage does not get from a segment into a pack.

use super::{Contents, Footer, Header, Index, Sealer, Sealing, Writer};
use crate::{Chain, EntryFlags, Error, Key, Result, Txid};

/// A pack in the making. After an error it is of no more use.
pub struct Merge {
    header: Header,
    is_sealed: bool,
    writer: Writer,
    first: Txid,
    last: Txid,
    chain: Chain,
    decoded: Vec<u8>,
}

impl Merge {
    /// Begins a plain pack whose first entries are those of the segment with this index.
    pub fn begin(segment: &Index) -> Result<Merge> {
        Merge::begin_with(segment, |_| Ok(None))
    }

    /// The same of an encrypted pack, which ends with entry `last`: its name is in its keys.
    pub fn begin_sealed(segment: &Index, last: Txid, sealing: &Sealing) -> Result<Merge> {
        Merge::begin_with(segment, |header| {
            let sealer = sealing.object(header, last);
            sealer.map(Some).map_err(|error| Error::unwritable("the pack", error.to_string()))
        })
    }

    fn begin_with(
        segment: &Index,
        sealer: impl FnOnce(&Header) -> Result<Option<Sealer>>,
    ) -> Result<Merge> {
        let (first, chain) = history(segment)?;
        let header = Header { contents: Contents::Pack { first, chain }, ..*segment.header() };
        let sealer = sealer(&header)?;
        Ok(Merge {
            header,
            is_sealed: sealer.is_some(),
            writer: Writer::begin(header, sealer).in_page_order(),
            first,
            last: first,
            chain,
            decoded: Vec::new(),
        })
    }

    /// Adds the entries of the next segment, whose bytes are `body`. The first time it is the one that the pack was
    /// begun with.
    pub fn add(&mut self, segment: &Index, body: &[u8]) -> Result<()> {
        let (first, chain) = history(segment)?;
        let what = || format!("the segment of entry {first}");
        let header = Header { contents: self.header.contents, ..*segment.header() };
        if header != self.header {
            return Err(Error::unwritable(what(), "it belongs to another replica"));
        }
        if chain != self.chain {
            return Err(Error::unwritable(what(), "the history before it is another one"));
        }
        if segment.opener().envelope().is_some() != self.is_sealed {
            let why = "either the segment is encrypted or the pack, and not both";
            return Err(Error::unwritable(what(), why));
        }
        let mut images = Images { segment, body, block: 0, taken: 0 };
        for (number, entry) in segment.entries().iter().enumerate() {
            self.writer.begin_entry(entry.start())?;
            if entry.flags.contains(EntryFlags::IN_SNAPSHOT) {
                self.writer.vouch(entry.content)?;
            }
            for page in segment.pages(number) {
                let image = images.next(&mut self.decoded)?;
                self.writer.page(page.number, image)?;
            }
            if self.writer.end_entry(entry.digest)? != *entry {
                let why = "its pages are not those that were written";
                return Err(Error::damaged(format!("entry {}", entry.txid), why));
            }
        }
        (self.chain, self.last) = (segment.footer().chain, segment.footer().last);
        Ok(())
    }

    /// The name of the pack, if it ends here.
    #[must_use]
    pub fn key(&self) -> Key {
        Key::Pack { first: self.first, last: self.last }
    }

    /// How many bytes of memory it takes, about; its bytes are not more.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.writer.memory()
    }

    /// How many pages it has: at most [`BY_PAGE_IMAGES_MAX`](super::limits::BY_PAGE_IMAGES_MAX) fit in.
    #[must_use]
    pub fn images(&self) -> u32 {
        self.writer.images()
    }

    /// How many entries it has.
    #[must_use]
    pub fn entries(&self) -> u32 {
        self.writer.entries()
    }

    /// All bytes of the pack.
    pub fn finish(self) -> Result<Vec<u8>> {
        let finished = self.writer.finish()?;
        let Footer { chain, last, .. } = finished.footer;
        // Entries chain by their own bytes, so the end of the pack must be that of its last segment.
        if (chain, last) != (self.chain, self.last) {
            return Err(Error::unwritable("the pack", "its history is not that of its segments"));
        }
        Ok(finished.tail)
    }
}

/// Where a segment begins.
fn history(segment: &Index) -> Result<(Txid, Chain)> {
    match segment.header().contents {
        Contents::Segment { first, chain } => Ok((first, chain)),
        _ => Err(Error::unwritable("the pack", format!("{} is no segment", segment.key()))),
    }
}

/// The images of a segment, one after the other; a block is decoded when its first image is asked for.
struct Images<'a> {
    segment: &'a Index,
    body: &'a [u8],
    /// The block of the next image…
    block: usize,
    /// …and how many bytes of it were given out.
    taken: usize,
}

impl Images<'_> {
    /// The next image. `decoded` is its block, and must be the same memory each time.
    fn next<'d>(&mut self, decoded: &'d mut Vec<u8>) -> Result<&'d [u8]> {
        let size = self.segment.header().page_size.bytes();
        let short = || Error::damaged("the segment", "it has fewer pages than its entries");
        let block = self.segment.page_blocks().get(self.block).ok_or_else(short)?;
        if self.taken == 0 {
            let range = usize::try_from(block.offset).ok().zip(usize::try_from(block.end()).ok());
            let stored = range.and_then(|(begin, end)| self.body.get(begin..end));
            *decoded = block.decode(self.segment.opener(), stored.ok_or_else(short)?)?;
        }
        let begin = self.taken;
        self.taken += size;
        if self.taken >= block.raw_len as usize {
            (self.block, self.taken) = (self.block + 1, 0);
        }
        decoded.get(begin..begin + size).ok_or_else(short)
    }
}
