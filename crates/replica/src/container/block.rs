//! Blocks: page images, or the hashes of pages, some of them together under one checksum and one compression.

use super::limits::BLOCK_RAW_MAX;
use super::records::unpack;
use crate::{Error, Result};

/// Where a block lies in its object, and what its bytes must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// Where it begins in the object.
    pub offset: u64,
    /// How many pages, or hashes of pages, lie in the blocks of its kind before it.
    pub first: u64,
    /// Its length in the object, at least 1 and at most `raw_len`.
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

/// How a block is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Codec {
    /// Not at all.
    Stored = 0,
    /// As one LZ4 block, without a length before it.
    Lz4 = 1,
    /// As records of images and of differences between them, all together as one LZ4 block.
    Records = 2,
}

impl Codec {
    /// The codec with this number in a block's row.
    pub(super) const fn from_code(code: u8) -> Option<Codec> {
        match code {
            0 => Some(Codec::Stored),
            1 => Some(Codec::Lz4),
            2 => Some(Codec::Records),
            _ => None,
        }
    }

    /// Its number in a block's row.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }
}

impl Block {
    /// Where the block ends in its object.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.offset + self.stored_len as u64
    }

    /// The raw bytes, exactly `raw_len` of them, of a block whose bytes in the object are `stored`. `scratch` is
    /// overwritten if the block is compressed; give the same one again and again.
    pub fn decode_into<'a>(&self, stored: &'a [u8], scratch: &'a mut Vec<u8>) -> Result<&'a [u8]> {
        let damaged = |why: String| Error::damaged(format!("the block at {}", self.offset), why);
        if stored.len() as u64 != u64::from(self.stored_len) {
            return Err(damaged(format!("{} bytes of {}", stored.len(), self.stored_len)));
        }
        let crc = crc32fast::hash(stored);
        if crc != self.crc {
            return Err(damaged(format!("its CRC32 is {crc:08x}, not {:08x}", self.crc)));
        }
        let raw_len = self.raw_len as usize;
        if raw_len > BLOCK_RAW_MAX {
            return Err(damaged(format!("it would have {raw_len} bytes")));
        }
        let raw = match self.codec {
            Codec::Stored => stored,
            Codec::Lz4 => {
                scratch.resize(raw_len, 0);
                let length = lz4_flex::block::decompress_into(stored, scratch)
                    .map_err(|error| damaged(error.to_string()))?;
                &scratch[..length]
            }
            Codec::Records => {
                unpack(stored, raw_len, self.count, scratch)
                    .map_err(|error| damaged(error.to_string()))?;
                &scratch[..raw_len]
            }
        };
        if raw.len() != raw_len {
            return Err(damaged(format!("it has {} bytes of {raw_len}", raw.len())));
        }
        Ok(raw)
    }

    /// As [`Block::decode_into`], into memory of its own.
    pub fn decode(&self, stored: &[u8]) -> Result<Vec<u8>> {
        let mut scratch = Vec::new();
        let raw = self.decode_into(stored, &mut scratch)?;
        if self.codec == Codec::Stored {
            return Ok(raw.to_vec());
        }
        scratch.truncate(self.raw_len as usize);
        Ok(scratch)
    }
}
