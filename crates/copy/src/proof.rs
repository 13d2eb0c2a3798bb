//! Proves an object while it is copied.

use ebbtide_replica::Error;
use ebbtide_replica::container::{Block, Footer, Header, Index, Outside, OutsideCheck};

/// What the bytes of an object are compared with, from its beginning on.
#[expect(clippy::large_enum_variant, reason = "there is one of it at a time")]
pub(crate) enum Proof {
    /// Of a plain object.
    Blocks(BlockProof),
    /// Of an encrypted one, whose keys need not be at hand.
    Outside(OutsideProof),
}

impl Proof {
    /// Of a plain object.
    pub(crate) fn of(index: &Index) -> Proof {
        Proof::Blocks(BlockProof::of(index))
    }

    /// Of an encrypted object of so many bytes.
    pub(crate) fn outside(outside: &Outside, size: u64) -> Proof {
        let (check, end) = (outside.check(), size.saturating_sub(Footer::SIZE as u64));
        Proof::Outside(OutsideProof { check, at: 0, end, damage: None })
    }

    /// Takes the next bytes of the object.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        match self {
            Proof::Blocks(proof) => proof.push(bytes),
            Proof::Outside(proof) => proof.push(bytes),
        }
    }

    /// Whether everything came and was sound.
    pub(crate) fn end(self) -> Result<(), Error> {
        match self {
            Proof::Blocks(proof) => proof.end(),
            Proof::Outside(OutsideProof { damage: Some(damage), .. }) => Err(damage),
            Proof::Outside(OutsideProof { check, .. }) => check.finish(),
        }
    }
}

/// All that lies between the header and the footer, which were read before.
pub(crate) struct OutsideProof {
    check: OutsideCheck,
    at: u64,
    /// Where the footer begins.
    end: u64,
    damage: Option<Error>,
}

impl OutsideProof {
    fn push(&mut self, bytes: &[u8]) {
        let end = self.at + bytes.len() as u64;
        let within = |offset: u64| {
            usize::try_from(offset.clamp(self.at, end) - self.at).unwrap_or(bytes.len())
        };
        let (from, to) = (within(Header::SIZE as u64), within(self.end));
        if let Err(damage) = self.check.push(&bytes[from..to.max(from)]) {
            self.damage.get_or_insert(damage);
        }
        self.at = end;
    }
}

/// The CRC32 of each block, over the bytes of an object from its beginning. Header, index and footer were proved when
/// the index was read, and what comes is compared with them by the blocks alone: a reader proves them again.
pub(crate) struct BlockProof {
    /// In the order in which they lie.
    blocks: Vec<Block>,
    next: usize,
    at: u64,
    crc: crc32fast::Hasher,
    damage: Option<Error>,
}

impl BlockProof {
    fn of(index: &Index) -> BlockProof {
        let mut blocks = [index.page_blocks(), index.hash_blocks()].concat();
        blocks.sort_unstable_by_key(|block| block.offset);
        BlockProof { blocks, next: 0, at: 0, crc: crc32fast::Hasher::new(), damage: None }
    }

    /// Takes the next bytes of the object.
    fn push(&mut self, bytes: &[u8]) {
        let end = self.at + bytes.len() as u64;
        while let Some(block) = self.blocks.get(self.next).filter(|block| block.offset < end) {
            let within = |offset: u64| {
                usize::try_from(offset.clamp(self.at, end) - self.at).unwrap_or(bytes.len())
            };
            self.crc.update(&bytes[within(block.offset)..within(block.end())]);
            if block.end() > end {
                break;
            }
            let crc = std::mem::replace(&mut self.crc, crc32fast::Hasher::new()).finalize();
            if crc != block.crc && self.damage.is_none() {
                let why = format!("its CRC32 is {crc:08x}, not {:08x}", block.crc);
                self.damage = Some(Error::damaged(format!("the block at {}", block.offset), why));
            }
            self.next += 1;
        }
        self.at = end;
    }

    /// Whether all blocks came and were sound.
    fn end(self) -> Result<(), Error> {
        match self.damage {
            Some(damage) => Err(damage),
            None if self.next < self.blocks.len() => {
                Err(Error::damaged("the object", format!("it ends after {} bytes", self.at)))
            }
            None => Ok(()),
        }
    }
}
