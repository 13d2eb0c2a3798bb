//! Encrypts an object while it is written.

use std::io;

use ebbtide_seal::{KeyId, KeyUse, ObjectKey, Salt, SecretKey};

use super::envelope::{Envelope, Sealed};
use super::shape::Shape;
use super::{BlockKind, Codec, Footer, Header};
use crate::{Chain, Error, Key, Result, Txid};

/// The secret keys that somebody writes with.
#[derive(Debug, Clone)]
pub struct Sealing {
    /// For the images; without it no object with images is written.
    pub pages: Option<SecretKey>,
    /// For everything else.
    pub index: SecretKey,
}

impl Sealing {
    /// The same for an object that has no images.
    #[must_use]
    pub fn without_pages(&self) -> Sealing {
        Sealing { pages: None, index: self.index.clone() }
    }

    /// What encrypts the object that begins with `header` and ends with entry `last`; each time with a new salt, so that
    /// the same object is never encrypted twice in the same way.
    pub fn object(&self, header: &Header, last: Txid) -> io::Result<Sealer> {
        Ok(self.with_salt(header, last, Salt::random()?))
    }

    /// The same with a given salt, which must never be that of another object or another writer: for test vectors.
    #[must_use]
    pub fn with_salt(&self, header: &Header, last: Txid, salt: Salt) -> Sealer {
        let pages = self.pages.as_ref().map(KeyId::of);
        let envelope = Envelope { pages, index: KeyId::of(&self.index), salt };
        let (head, key) = (header.encode_sealed(&envelope), header.key(last));
        let sealed = Sealed { envelope, head, key };
        let pages = self.pages.as_ref().map(|secret| sealed.object_key(secret, KeyUse::Pages));
        let index = sealed.object_key(&self.index, KeyUse::Index);
        Sealer { sealed, pages, index, blocks: blake3::Hasher::new() }
    }
}

/// Encrypts the parts of one object, of which only one writer may be. Its name was given beforehand: it is in the keys.
pub struct Sealer {
    sealed: Sealed,
    pages: Option<ObjectKey>,
    index: ObjectKey,
    /// Of all blocks, as they are stored.
    blocks: blake3::Hasher,
}

impl Sealer {
    /// How the object is encrypted.
    #[must_use]
    pub fn envelope(&self) -> &Envelope {
        &self.sealed.envelope
    }

    /// The key that opens the images of this one object, for a writer that forgets the page key before it has merged them:
    /// see [`Index::add_object_key`](super::Index::add_object_key).
    #[must_use]
    pub fn page_object_key(&self) -> Option<&ObjectKey> {
        self.pages.as_ref()
    }

    /// The first bytes of the object.
    pub(super) fn head(&self) -> &[u8; Header::SIZE] {
        &self.sealed.head
    }

    /// The name that the object must get.
    pub(super) fn key(&self) -> Key {
        self.sealed.key
    }

    /// Encrypts a block that begins at `offset` in the object: the bytes of `out` from `start` on.
    pub(super) fn seal_block(
        &mut self,
        (kind, codec, raw_len): (BlockKind, Codec, u32),
        offset: u64,
        out: &mut Vec<u8>,
        start: usize,
    ) -> Result<()> {
        let unwritable = |why: &str| Error::unwritable("a block", why);
        let key = match kind.key_use() {
            KeyUse::Index => &self.index,
            KeyUse::Pages => {
                self.pages.as_ref().ok_or_else(|| unwritable("there is no page key"))?
            }
        };
        let stored = u32::try_from(out.len() - start + ebbtide_seal::TAG_SIZE);
        let stored = stored.map_err(|_| unwritable("it is too long"))?;
        let shape = Shape { kind, codec, stored_len: stored, raw_len };
        key.seal_block(offset, &shape.encode(), out, start);
        self.blocks.update(&out[start..]);
        Ok(())
    }

    /// Encrypts the index, the bytes of `out` from `start` on, of an object with this footer; it does not depend on what
    /// the footer says of the root and the blocks.
    pub(super) fn seal_index(&self, footer: &Footer, out: &mut Vec<u8>, start: usize) {
        self.index.seal_index(footer.index_offset, &footer.associated(), out, start);
    }

    /// The hash of all blocks, where a plain object has the chain.
    pub(super) fn blocks(&self) -> Chain {
        Chain::from_bytes(*self.blocks.finalize().as_bytes())
    }
}
