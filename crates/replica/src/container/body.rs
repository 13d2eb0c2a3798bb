//! The bytes of an object that is being written, encrypted on their way out if there is a sealer.

use super::footer::root;
use super::header::Header;
use super::layout::sealed_index as inside;
use super::table::Table;
use super::{BlockKind, Codec, Footer, Sealer};
use crate::{Chain, Digest, Error, Result, Txid};

/// The header, the blocks so far, and what the index will say of them.
pub(super) struct Body {
    header: Header,
    /// The first bytes of the object.
    head: [u8; Header::SIZE],
    sealer: Option<Sealer>,
    pub(super) table: Table,
    /// What is encoded and not yet taken…
    pub(super) out: Vec<u8>,
    /// …and where in the object it begins.
    taken: u64,
}

/// What the footer says of the history.
#[derive(Clone, Copy)]
pub(super) struct End {
    pub(super) chain: Chain,
    pub(super) last: Txid,
    pub(super) digest: Digest,
}

impl Body {
    pub(super) fn new(header: Header, sealer: Option<Sealer>) -> Body {
        let head = sealer.as_ref().map_or_else(|| header.encode(), |sealer| *sealer.head());
        Body { header, head, sealer, table: Table::default(), out: head.to_vec(), taken: 0 }
    }

    /// Appends a block that is `raw_len` bytes long once it is decoded.
    pub(super) fn add_block(
        &mut self,
        kind: BlockKind,
        codec: Codec,
        packed: &[u8],
        raw_len: usize,
    ) -> Result<()> {
        let (offset, start) = (self.position(), self.out.len());
        self.out.extend_from_slice(packed);
        if let Some(sealer) = &mut self.sealer {
            let raw_len = u32::try_from(raw_len);
            let raw_len = raw_len.map_err(|_| Error::unwritable("a block", "it is too long"))?;
            sealer.seal_block((kind, codec, raw_len), offset, &mut self.out, start)?;
        }
        self.table.add_block(kind, codec, &self.out[start..], raw_len)
    }

    /// Where in the object the next byte comes to lie.
    pub(super) fn position(&self) -> u64 {
        self.taken + self.out.len() as u64
    }

    /// How many bytes were taken.
    pub(super) fn taken(&self) -> u64 {
        self.taken
    }

    /// How many bytes an object with `blocks` blocks is longer because it is encrypted.
    pub(super) fn extra(&self, blocks: u64) -> u64 {
        let tag = ebbtide_seal::TAG_SIZE as u64;
        match self.sealer {
            Some(_) => blocks * tag + inside::SIZE as u64 + tag,
            None => 0,
        }
    }

    /// See [`Writer::take`](super::Writer::take).
    pub(super) fn take(&mut self, bytes: usize, mut next: Vec<u8>) -> Vec<u8> {
        let bytes = bytes.min(self.out.len());
        next.clear();
        next.extend_from_slice(&self.out[bytes..]);
        let mut taken = std::mem::replace(&mut self.out, next);
        taken.truncate(bytes);
        self.taken += bytes as u64;
        taken
    }

    /// Appends the index and the footer; what is left to take, and what it says once it is opened.
    pub(super) fn finish(mut self, end: End) -> Result<(Vec<u8>, Footer)> {
        if let Some(sealer) = &self.sealer
            && sealer.key() != self.header.key(end.last)
        {
            let (planned, name) = (sealer.key(), self.header.key(end.last));
            let why = format!("it was to be {planned} and became {name}");
            return Err(Error::unwritable("the object", why));
        }
        let (index_offset, start) = (self.position(), self.out.len());
        let mut footer = Footer {
            kind: self.header.kind(),
            entries: self.table.entries(),
            index_offset,
            index_length: 0,
            root: [0; 32],
            chain: end.chain,
            last: end.last,
            digest: end.digest,
        };
        let stored = match &self.sealer {
            None => {
                self.table.encode_into(&mut self.out);
                footer.index_length = (self.out.len() - start) as u64;
                footer.root = root(&self.head, &self.out[start..]);
                footer
            }
            Some(sealer) => {
                self.out.extend_from_slice(&encode_inside(&self.header, &footer));
                self.table.encode_into(&mut self.out);
                let length = self.out.len() - start + ebbtide_seal::TAG_SIZE;
                footer.index_length = length as u64;
                let (chain, digest) = (sealer.blocks(), Digest::EMPTY);
                let mut outside = Footer { entries: 0, chain, digest, ..footer };
                sealer.seal_index(&outside, &mut self.out, start);
                outside.root = root(&self.head, &self.out[start..]);
                footer.root = outside.root;
                outside
            }
        };
        self.out.extend_from_slice(&stored.encode());
        Ok((self.out, footer))
    }
}

/// What an encrypted object says only once it is opened, as it stands before the index.
fn encode_inside(header: &Header, footer: &Footer) -> [u8; inside::SIZE] {
    let mut bytes = [0; inside::SIZE];
    inside::BEFORE.put(&mut bytes, header.chain().unwrap_or(Chain::NONE).as_bytes());
    inside::AFTER.put(&mut bytes, footer.chain.as_bytes());
    inside::DIGEST.put(&mut bytes, footer.digest.as_bytes());
    inside::ENTRIES.put(&mut bytes, &footer.entries.to_le_bytes());
    bytes
}
