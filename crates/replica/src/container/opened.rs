//! Opens the index of an encrypted object.

use ebbtide_seal::Keys;

use super::envelope::Sealed;
use super::footer::root;
use super::layout::sealed_index as inside;
use super::{Envelope, Footer, Header, Opener};
use crate::{Chain, Digest, Error, Result};

/// How much longer the encrypted index is than a plain one.
pub(super) const INDEX_EXTRA: u64 = (inside::SIZE + ebbtide_seal::TAG_SIZE) as u64;

/// What an encrypted object says once it is opened.
pub(super) struct Opened {
    pub(super) header: Header,
    /// The length of the index is that of the plain one…
    pub(super) footer: Footer,
    /// …which is all but the first bytes of this.
    bytes: Vec<u8>,
    pub(super) opener: Opener,
}

impl Opened {
    /// The index.
    pub(super) fn index(&self) -> &[u8] {
        &self.bytes[inside::SIZE..]
    }
}

/// An encrypted object whose ends were read and whose keys are at hand.
pub(super) struct ToOpen {
    pub(super) header: Header,
    pub(super) footer: Footer,
    sealed: Sealed,
    key: ebbtide_seal::ObjectKey,
}

impl ToOpen {
    /// Fails if the index key is not among `keys`.
    pub(super) fn new(
        header: Header,
        envelope: Envelope,
        footer: Footer,
        keys: &Keys,
    ) -> Result<ToOpen> {
        if footer.entries != 0 || footer.digest != Digest::EMPTY || footer.kind != header.kind() {
            return Err(damaged("the footer is not that of an encrypted object"));
        }
        let head = header.encode_sealed(&envelope);
        let sealed = Sealed { envelope, head, key: header.key(footer.last) };
        let key = sealed.index_key(keys)?;
        Ok(ToOpen { header, footer, sealed, key })
    }

    /// Opens the index, all of whose bytes as they are stored are `bytes`.
    pub(super) fn open(self, mut bytes: Vec<u8>, keys: &Keys) -> Result<Opened> {
        let ToOpen { header, mut footer, sealed, key } = self;
        if root(&sealed.head, &bytes) != footer.root {
            return Err(damaged("it and the header are not those that the footer vouches for"));
        }
        let (offset, associated) = (footer.index_offset, footer.associated());
        let opened = key.open_index(offset, &associated, &mut bytes).map(|plain| plain.len());
        bytes.truncate(
            opened.ok_or_else(|| {
                damaged("it is not what was encrypted as the index of this object")
            })?,
        );
        let row = bytes.get(..inside::SIZE).ok_or_else(|| damaged("it is short"))?;
        if !inside::RESERVED.is_zero(row) {
            return Err(Error::newer("the index", "it uses reserved bytes"));
        }
        let header = header.opened(Chain::from_bytes(inside::BEFORE.array(row)))?;
        footer.chain = Chain::from_bytes(inside::AFTER.array(row));
        footer.digest = Digest::from_bytes(inside::DIGEST.array(row));
        footer.entries = inside::ENTRIES.u32(row);
        footer.index_length = (bytes.len() - inside::SIZE) as u64;
        let opener = Opener::sealed(sealed, key, keys);
        Ok(Opened { header, footer, bytes, opener })
    }
}

fn damaged(why: &str) -> Error {
    Error::damaged("the index", why)
}
