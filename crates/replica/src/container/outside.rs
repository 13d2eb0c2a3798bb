//! What an encrypted object shows, and how far it is proved, without any key: every byte is under a check, so damage is
//! found and a copy is compared by whoever can read the store.

use ebbtide_wal::PageSize;

use super::footer::RootHasher;
use super::opened::INDEX_EXTRA;
use super::parse::tail_needed;
use super::{Envelope, Footer, Header};
use crate::{Error, Key, ReplicaId, Result, Txid};

/// The header and the footer of an encrypted object, as far as they are in the open.
#[derive(Debug, Clone)]
pub struct Outside {
    header: Header,
    envelope: Envelope,
    footer: Footer,
}

impl Outside {
    /// Out of the first and the last bytes of an object of `object_size` bytes; nothing if it is a plain one.
    pub fn parse(object_size: u64, head: &[u8], tail: &[u8]) -> Result<Option<Outside>> {
        let (header, envelope) = Header::parse_any(head)?;
        let Some(envelope) = envelope else { return Ok(None) };
        let footer = Footer::parse(tail)?;
        if footer.kind != header.kind() {
            return Err(Error::damaged("the object", "its header and its footer are of two kinds"));
        }
        tail_needed(object_size, &footer, INDEX_EXTRA)?;
        Ok(Some(Outside { header, envelope, footer }))
    }

    /// The replica that it belongs to.
    #[must_use]
    pub fn replica(&self) -> ReplicaId {
        self.header.replica
    }

    /// The size of the database's pages.
    #[must_use]
    pub fn page_size(&self) -> PageSize {
        self.header.page_size
    }

    /// The first entry that it is about: of a horizon the first of its window.
    #[must_use]
    pub fn first(&self) -> Txid {
        self.header.first()
    }

    /// The name that it must have.
    #[must_use]
    pub fn key(&self) -> Key {
        self.header.key(self.footer.last)
    }

    /// The last entry that it is about.
    #[must_use]
    pub fn last(&self) -> Txid {
        self.footer.last
    }

    /// How it is encrypted.
    #[must_use]
    pub fn envelope(&self) -> &Envelope {
        &self.envelope
    }

    /// Whether it has images.
    #[must_use]
    pub fn has_images(&self) -> bool {
        self.footer.index_offset > Header::SIZE as u64
    }

    /// Begins to check the bytes between the header and the footer.
    #[must_use]
    pub fn check(&self) -> OutsideCheck {
        let Footer { index_offset, index_length, root, chain, .. } = self.footer;
        OutsideCheck {
            blocks: blake3::Hasher::new(),
            blocks_left: index_offset - Header::SIZE as u64,
            index: RootHasher::new(&self.header.encode_sealed(&self.envelope)),
            index_left: index_length,
            stated: [*chain.as_bytes(), root],
        }
    }
}

/// Checks what lies between the header and the footer of an encrypted object, in any pieces, in order.
pub struct OutsideCheck {
    blocks: blake3::Hasher,
    blocks_left: u64,
    index: RootHasher,
    index_left: u64,
    /// What the footer states: the hash of the blocks, and the root.
    stated: [[u8; 32]; 2],
}

impl OutsideCheck {
    /// Takes the next bytes, those behind the header first.
    pub fn push(&mut self, bytes: &[u8]) -> Result<()> {
        let blocks = usize::try_from(self.blocks_left).unwrap_or(usize::MAX).min(bytes.len());
        let (blocks, index) = bytes.split_at(blocks);
        self.blocks.update(blocks);
        self.blocks_left -= blocks.len() as u64;
        self.index.update(index);
        self.index_left = self.index_left.checked_sub(index.len() as u64).ok_or_else(|| {
            Error::damaged("the object", "it has more bytes before its footer than that states")
        })?;
        Ok(())
    }

    /// Fails unless all bytes came and are those that were written.
    pub fn finish(self) -> Result<()> {
        let damaged = |why: &str| Err(Error::damaged("the object", why));
        if self.blocks_left + self.index_left > 0 {
            return damaged("it is cut off");
        }
        let [blocks, root] = self.stated;
        if *self.blocks.finalize().as_bytes() != blocks {
            return damaged("its blocks are not those that the footer vouches for");
        }
        if self.index.finish() != root {
            return damaged("its header and index are not those that the footer vouches for");
        }
        Ok(())
    }
}
