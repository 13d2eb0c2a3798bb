//! What a block is, before it is said where it lies.

use ebbtide_seal::KeyUse;

use super::layout::block_row as at;

/// What the bytes of a block are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum BlockKind {
    /// Page images, in the order of the entries and their runs.
    Pages = 1,
    /// The hashes of the pages, in the same order.
    Hashes = 2,
    /// Page images, in the order of the pages, and those of a page in that of the entries.
    ByPage = 3,
    /// A piece of a document.
    Document = 4,
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

/// The row of a block but for its CRC32, which is authenticated with the block if that is encrypted.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    pub(super) kind: BlockKind,
    pub(super) codec: Codec,
    pub(super) stored_len: u32,
    pub(super) raw_len: u32,
}

impl BlockKind {
    /// Which of an object's keys blocks of this kind are under, if it is encrypted.
    pub(super) const fn key_use(self) -> KeyUse {
        match self {
            BlockKind::Pages | BlockKind::ByPage => KeyUse::Pages,
            BlockKind::Hashes | BlockKind::Document => KeyUse::Index,
        }
    }

    /// The kind with this number in a block's row.
    pub(super) const fn from_code(code: u8) -> Option<BlockKind> {
        match code {
            1 => Some(BlockKind::Pages),
            2 => Some(BlockKind::Hashes),
            3 => Some(BlockKind::ByPage),
            4 => Some(BlockKind::Document),
            _ => None,
        }
    }
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

impl Shape {
    /// The first bytes of the row.
    pub(super) fn encode(&self) -> [u8; at::CRC.offset] {
        let mut row = [0; at::CRC.offset];
        at::KIND.put(&mut row, &[self.kind as u8]);
        at::CODEC.put(&mut row, &[self.codec.code()]);
        at::STORED.put(&mut row, &self.stored_len.to_le_bytes());
        at::RAW.put(&mut row, &self.raw_len.to_le_bytes());
        row
    }
}
