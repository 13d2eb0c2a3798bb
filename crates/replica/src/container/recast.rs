//! Writes an object once more with the same entries and the same blocks: encrypted where it was plain, or the reverse.
//!
//! Nothing is compressed again and nothing is put in another order, so the chain is the same, and a plain object that was
//! encrypted and decrypted again is what it was, to the byte.

use super::body::{Body, End};
use super::layout::block_row;
use super::opened::INDEX_EXTRA;
use super::{Block, Finished, Footer, Header, Index, Sealer};
use crate::{Error, Result};

/// An object that is being written once more. After an error it is of no more use.
pub struct Recast {
    index: Index,
    /// All blocks of the original, in the order in which they lie there.
    blocks: Vec<Block>,
    /// How many of them were added.
    added: usize,
    /// How long the object becomes.
    size: u64,
    body: Body,
}

impl Recast {
    /// Begins the object whose index is `index`, with what opens its blocks; encrypted if there is a sealer, which was made
    /// for its header and its last entry.
    ///
    /// # Errors
    /// If it cannot be written, which is only so for an index that no reader gives.
    pub fn begin(index: Index, sealer: Option<Sealer>) -> Result<Recast> {
        let mut body = Body::new(index.header, sealer);
        let mut chain = index.header.chain();
        for entry in &index.entries {
            chain = body.table.add_entry(entry, chain)?;
        }
        if chain.is_some_and(|chain| chain != index.footer.chain) {
            return Err(Error::unwritable("the object", "its chain is not that of its entries"));
        }
        let mut blocks = [&index.page_blocks[..], &index.hash_blocks].concat();
        blocks.sort_unstable_by_key(|block| block.offset);
        let rows = blocks.len() as u64 * block_row::SIZE as u64;
        let packed: u64 = blocks.iter().map(|block| packed_len(&index, block)).sum();
        let ends = (Header::SIZE + Footer::SIZE) as u64;
        let size = ends + packed + body.table.size() + rows + body.extra(blocks.len() as u64);
        Ok(Recast { index, blocks, added: 0, size, body })
    }

    /// Whether a plain object of `plain` bytes may have `sealed` bytes once it is encrypted: a tag more for each block, and
    /// what is encrypted with the index.
    #[must_use]
    pub fn may_be(plain: u64, sealed: u64) -> bool {
        let (tag, row) = (ebbtide_seal::TAG_SIZE as u64, block_row::SIZE as u64);
        let tags = sealed.checked_sub(plain).and_then(|more| more.checked_sub(INDEX_EXTRA));
        tags.is_some_and(|tags| tags.is_multiple_of(tag) && tags / tag <= plain / row)
    }

    /// All blocks of the original, in the order in which they are added.
    #[must_use]
    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// How many bytes the object has once it is finished.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Adds the next block, whose bytes in the original are `stored`.
    ///
    /// # Errors
    /// If they are not those that were written, or nothing here opens them.
    pub fn add(&mut self, stored: &[u8]) -> Result<()> {
        let block = self.blocks.get(self.added).copied();
        let block =
            block.ok_or_else(|| Error::unwritable("the object", "it has no more blocks"))?;
        let opened = block.open(self.index.opener(), stored)?;
        let packed = opened.as_deref().unwrap_or(stored);
        self.added += 1;
        self.body.add_block(block.kind, block.codec, packed, block.raw_len as usize)
    }

    /// The next bytes of the object: all that are there by now.
    #[must_use]
    pub fn take(&mut self) -> Vec<u8> {
        self.body.take(usize::MAX, Vec::new())
    }

    /// Ends the object, once all blocks were added.
    ///
    /// # Errors
    /// If some were not, or the sealer was made for another object.
    pub fn finish(self) -> Result<Finished> {
        if self.added < self.blocks.len() {
            return Err(Error::unwritable("the object", "some of its blocks were not added"));
        }
        let Footer { chain, last, digest, .. } = self.index.footer;
        let taken = self.body.taken();
        let (tail, footer) = self.body.finish(End { chain, last, digest })?;
        let object_size = taken + tail.len() as u64;
        if object_size != self.size {
            let why = format!("it has {object_size} bytes and was to have {}", self.size);
            return Err(Error::unwritable("the object", why));
        }
        Ok(Finished { tail, footer, object_size })
    }
}

/// How long a block is without the tag of its encryption.
fn packed_len(index: &Index, block: &Block) -> u64 {
    let tag = if index.opener().envelope().is_some() { ebbtide_seal::TAG_SIZE as u64 } else { 0 };
    u64::from(block.stored_len).saturating_sub(tag)
}
