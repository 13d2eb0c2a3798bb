//! Blocks: page images, or the hashes of pages, some of them together under one checksum and one compression.

use super::limits::BLOCK_RAW_MAX;
use super::records::unpack;
use super::shape::Shape;
use super::{BlockKind, Codec, Opener};
use crate::{Error, Result};

/// Where a block lies in its object, and what its bytes must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// What its bytes are.
    pub kind: BlockKind,
    /// Where it begins in the object.
    pub offset: u64,
    /// How many pages, or hashes of pages, lie in the blocks of its kind before it.
    pub first: u64,
    /// Its length in the object, at least 1 and at most `raw_len`, and a tag more if it is encrypted.
    pub stored_len: u32,
    /// Its length once decoded, at most [`BLOCK_RAW_MAX`].
    pub raw_len: u32,
    /// How many images or hashes it has.
    pub count: u32,
    /// Of the stored bytes.
    pub crc: u32,
    /// How the stored bytes become the raw ones.
    pub codec: Codec,
}

/// Memory for one block after the other.
#[derive(Debug, Default)]
pub struct BlockScratch {
    /// What was encrypted.
    opened: Vec<u8>,
    /// What was packed.
    raw: Vec<u8>,
}

impl Block {
    /// Where the block ends in its object.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.offset + self.stored_len as u64
    }

    pub(super) fn shape(&self) -> Shape {
        let Block { kind, codec, stored_len, raw_len, .. } = *self;
        Shape { kind, codec, stored_len, raw_len }
    }

    /// The raw bytes, exactly `raw_len` of them, of a block whose bytes in the object are `stored`, and whose object is
    /// opened by `opener`. `scratch` is overwritten unless the block is stored as it is; give the same one again and
    /// again.
    pub fn decode_into<'a>(
        &self,
        opener: &Opener,
        stored: &'a [u8],
        scratch: &'a mut BlockScratch,
    ) -> Result<&'a [u8]> {
        if self.raw_len as usize > BLOCK_RAW_MAX {
            return Err(self.damaged(format!("it would have {} bytes", self.raw_len)));
        }
        self.check_stored(stored)?;
        let BlockScratch { opened, raw } = scratch;
        let packed = match opener.open_into(self.offset, self.shape(), stored, opened)? {
            true => &opened[..],
            false => stored,
        };
        let raw = if self.codec == Codec::Stored { packed } else { self.expand(packed, raw)? };
        if raw.len() != self.raw_len as usize {
            return Err(self.damaged(format!("it has {} bytes of {}", raw.len(), self.raw_len)));
        }
        Ok(raw)
    }

    /// Refuses bytes that are not those of the block in its object, whatever is in them.
    pub fn check_stored(&self, stored: &[u8]) -> Result<()> {
        if stored.len() as u64 != u64::from(self.stored_len) {
            return Err(self.damaged(format!("{} bytes of {}", stored.len(), self.stored_len)));
        }
        let crc = crc32fast::hash(stored);
        if crc != self.crc {
            return Err(self.damaged(format!("its CRC32 is {crc:08x}, not {:08x}", self.crc)));
        }
        Ok(())
    }

    /// The bytes of the block before they were encrypted, still packed; nothing if the object is a plain one, whose stored
    /// bytes are those.
    pub(super) fn open(&self, opener: &Opener, stored: &[u8]) -> Result<Option<Vec<u8>>> {
        self.check_stored(stored)?;
        let mut opened = Vec::new();
        let is_sealed = opener.open_into(self.offset, self.shape(), stored, &mut opened)?;
        Ok(is_sealed.then_some(opened))
    }

    /// What the packed bytes of a compressed block become.
    fn expand<'a>(&self, packed: &[u8], scratch: &'a mut Vec<u8>) -> Result<&'a [u8]> {
        let raw_len = self.raw_len as usize;
        let failed = |error: &dyn std::fmt::Display| self.damaged(error.to_string());
        let length = match self.codec {
            Codec::Stored | Codec::Lz4 => {
                scratch.resize(raw_len, 0);
                lz4_flex::block::decompress_into(packed, scratch).map_err(|error| failed(&error))?
            }
            Codec::Records => {
                unpack(packed, raw_len, self.count, scratch).map_err(|error| failed(&error))?;
                raw_len
            }
        };
        Ok(&scratch[..length])
    }

    /// As [`Block::decode_into`], into memory of its own.
    pub fn decode(&self, opener: &Opener, stored: &[u8]) -> Result<Vec<u8>> {
        let mut scratch = BlockScratch::default();
        let raw = self.decode_into(opener, stored, &mut scratch)?;
        if std::ptr::eq(raw, stored) {
            return Ok(raw.to_vec());
        }
        if self.codec == Codec::Stored {
            return Ok(scratch.opened);
        }
        scratch.raw.truncate(self.raw_len as usize);
        Ok(scratch.raw)
    }

    fn damaged(&self, why: String) -> Error {
        Error::damaged(format!("the block at {}", self.offset), why)
    }
}
