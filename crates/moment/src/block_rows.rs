//! Where the blocks of an object lie, in ten bytes each: a database of a tebibyte has eight million of them.

use ebbtide_replica::container::{Block, BlockKind, Codec};
use ebbtide_wal::PageSize;

/// The offset of one block of so many is written down; those of the others are sums.
const ANCHORED: usize = 64;

/// The bits of [`BlockRows::counts`] that are the count: a block has at most 2048 pages.
const COUNT_BITS: u32 = 13;

/// The blocks of pages of one object, in their order.
#[derive(Debug)]
pub(crate) struct BlockRows {
    page_size: PageSize,
    /// The kind of all of them.
    kind: BlockKind,
    anchors: Vec<Anchored>,
    /// The stored lengths…
    lengths: Vec<u32>,
    /// …their CRC32s…
    crcs: Vec<u32>,
    /// …and how many pages each has, with its codec above that.
    counts: Vec<u16>,
}

#[derive(Debug, Clone, Copy)]
struct Anchored {
    offset: u64,
    first: u64,
}

impl BlockRows {
    /// Those of an index.
    pub(crate) fn new(blocks: &[Block], page_size: PageSize) -> BlockRows {
        let anchors = blocks.iter().step_by(ANCHORED);
        let anchors =
            anchors.map(|block| Anchored { offset: block.offset, first: block.first }).collect();
        let count = |block: &Block| {
            let count = u16::try_from(block.count).unwrap_or(u16::MAX) & ((1 << COUNT_BITS) - 1);
            count | u16::from(block.codec.code()) << COUNT_BITS
        };
        BlockRows {
            page_size,
            kind: blocks.first().map_or(BlockKind::Pages, |block| block.kind),
            anchors,
            lengths: blocks.iter().map(|block| block.stored_len).collect(),
            crcs: blocks.iter().map(|block| block.crc).collect(),
            counts: blocks.iter().map(count).collect(),
        }
    }

    /// Block `number`.
    pub(crate) fn get(&self, number: usize) -> Option<Block> {
        let (mut block, begin) = (self.anchor(number / ANCHORED)?, number / ANCHORED * ANCHORED);
        for before in begin..number {
            block = self.after(&block, before + 1)?;
        }
        Some(block)
    }

    /// The block with the page before which there are `position` others, and its number.
    pub(crate) fn find(&self, position: u64) -> Option<(usize, Block)> {
        let anchor = self.anchors.partition_point(|anchor| anchor.first <= position);
        let anchor = anchor.checked_sub(1)?;
        let (mut number, mut block) = (anchor * ANCHORED, self.anchor(anchor)?);
        while position >= block.first + u64::from(block.count) {
            number += 1;
            block = self.after(&block, number)?;
        }
        Some((number, block))
    }

    fn anchor(&self, anchor: usize) -> Option<Block> {
        let Anchored { offset, first } = *self.anchors.get(anchor)?;
        self.block(anchor * ANCHORED, offset, first)
    }

    fn after(&self, block: &Block, number: usize) -> Option<Block> {
        self.block(number, block.end(), block.first + u64::from(block.count))
    }

    fn block(&self, number: usize, offset: u64, first: u64) -> Option<Block> {
        let packed = *self.counts.get(number)?;
        let count = u32::from(packed & ((1 << COUNT_BITS) - 1));
        let codec = match packed >> COUNT_BITS {
            0 => Codec::Stored,
            1 => Codec::Lz4,
            _ => Codec::Records,
        };
        let stored_len = *self.lengths.get(number)?;
        let crc = *self.crcs.get(number)?;
        let raw_len = count * self.page_size.get();
        Some(Block { kind: self.kind, offset, first, stored_len, raw_len, count, crc, codec })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_block_is_found_again_by_its_number_and_by_each_of_its_pages() {
        let page_size = PageSize::new(512).unwrap();
        let mut blocks: Vec<Block> = Vec::new();
        let codecs = [Codec::Stored, Codec::Lz4, Codec::Records];
        for number in 0..1000_u32 {
            let (offset, first) = blocks
                .last()
                .map_or((128, 0), |last| (last.end(), last.first + u64::from(last.count)));
            let count = 1 + number * 37 % 2048;
            blocks.push(Block {
                kind: BlockKind::Pages,
                offset,
                first,
                stored_len: 1 + number * 31 % 4096,
                raw_len: count * 512,
                count,
                crc: number.wrapping_mul(0x9e37_79b9),
                codec: codecs[number as usize % 3],
            });
        }
        let rows = BlockRows::new(&blocks, page_size);
        for (number, block) in blocks.iter().enumerate() {
            assert_eq!(rows.get(number), Some(*block));
            for position in [block.first, block.first + u64::from(block.count) - 1] {
                assert_eq!(rows.find(position), Some((number, *block)));
            }
        }
        let end = blocks.last().map(|last| last.first + u64::from(last.count)).unwrap();
        assert_eq!(rows.find(end), None);
        assert_eq!(rows.get(1000), None);
        assert_eq!(BlockRows::new(&[], page_size).find(0), None);
    }
}
