//! The footer: where the index is, and the proof of all that is not in blocks.

use super::header::{Header, Kind};
use super::layout::{crc_before, footer as at};
use super::limits::VERSION;
use crate::{Chain, Digest, Error, Result, Txid};

/// How the last bytes of every object begin: the magic of the header in reverse.
pub(super) const MAGIC: [u8; 8] = *b"editbbe\x89";

/// See [`Footer::associated`].
const ASSOCIATED_SIZE: usize = at::ROOT.offset + at::LAST.size;

/// What the last bytes of an object say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Footer {
    /// As in the header.
    pub kind: Kind,
    /// How many entries the index has.
    pub entries: u32,
    /// Where the index begins.
    pub index_offset: u64,
    /// How long the index is; the footer follows it.
    pub index_length: u64,
    /// BLAKE3 of the header and the index, one after the other.
    pub root: [u8; 32],
    /// The history up to the last entry. For a delta or snapshot, that of the log at the same txid.
    pub chain: Chain,
    /// The last entry.
    pub last: Txid,
    /// The whole database after the last entry.
    pub digest: Digest,
}

impl Footer {
    /// Its size in bytes, at the end of each object.
    pub const SIZE: usize = at::SIZE;

    /// As the last bytes of an object.
    #[must_use]
    pub fn encode(&self) -> [u8; Footer::SIZE] {
        let mut bytes = [0; Footer::SIZE];
        at::MAGIC.put(&mut bytes, &MAGIC);
        at::VERSION.put(&mut bytes, &VERSION.to_le_bytes());
        at::KIND.put(&mut bytes, &[self.kind.code()]);
        at::ENTRIES.put(&mut bytes, &self.entries.to_le_bytes());
        at::INDEX_OFFSET.put(&mut bytes, &self.index_offset.to_le_bytes());
        at::INDEX_LENGTH.put(&mut bytes, &self.index_length.to_le_bytes());
        at::ROOT.put(&mut bytes, &self.root);
        at::CHAIN.put(&mut bytes, self.chain.as_bytes());
        at::LAST.put(&mut bytes, &self.last.get().to_le_bytes());
        at::DIGEST.put(&mut bytes, self.digest.as_bytes());
        let crc = crc_before(at::CRC, &bytes);
        at::CRC.put(&mut bytes, &crc.to_le_bytes());
        bytes
    }

    /// What is authenticated with the index of an encrypted object: what kind it is, where the index is, and the last entry.
    pub(super) fn associated(&self) -> [u8; ASSOCIATED_SIZE] {
        let footer = self.encode();
        let mut bytes = [0; ASSOCIATED_SIZE];
        bytes[..at::ROOT.offset].copy_from_slice(&footer[..at::ROOT.offset]);
        bytes[at::ROOT.offset..].copy_from_slice(at::LAST.of(&footer));
        bytes
    }

    /// From the last bytes of an object; more may precede them.
    pub fn parse(bytes: &[u8]) -> Result<Footer> {
        let damaged = |why: String| Error::damaged("the footer", why);
        let Some((_, bytes)) = bytes.split_last_chunk::<{ Footer::SIZE }>() else {
            return Err(damaged(format!("it has {} bytes", bytes.len())));
        };
        if at::MAGIC.of(bytes) != MAGIC {
            return Err(damaged("the object does not end with one".to_owned()));
        }
        let (stated, actual) = (at::CRC.u32(bytes), crc_before(at::CRC, bytes));
        if stated != actual {
            return Err(damaged(format!("its CRC32 is {actual:08x} and it states {stated:08x}")));
        }
        let version = at::VERSION.u16(bytes);
        let kind = Kind::from_code(at::KIND.u8(bytes));
        let zero = at::FLAGS.is_zero(bytes) && at::RESERVED.is_zero(bytes);
        let (VERSION, Some(kind), true) = (version, kind, zero) else {
            return Err(Error::newer("the object", "its footer uses what is reserved".to_owned()));
        };
        Ok(Footer {
            kind,
            entries: at::ENTRIES.u32(bytes),
            index_offset: at::INDEX_OFFSET.u64(bytes),
            index_length: at::INDEX_LENGTH.u64(bytes),
            root: at::ROOT.array(bytes),
            chain: Chain::from_bytes(at::CHAIN.array(bytes)),
            last: Txid::new(at::LAST.u64(bytes))
                .ok_or_else(|| damaged("its last txid is 0".to_owned()))?,
            digest: Digest::from_bytes(at::DIGEST.array(bytes)),
        })
    }
}

/// What [`Footer::root`] is for these bytes.
pub(super) fn root(header: &[u8; Header::SIZE], index: &[u8]) -> [u8; 32] {
    let mut root = RootHasher::new(header);
    root.update(index);
    root.finish()
}

/// The same for an index that comes in pieces.
pub(super) struct RootHasher(blake3::Hasher);

impl RootHasher {
    pub(super) fn new(header: &[u8; Header::SIZE]) -> RootHasher {
        let mut hasher = blake3::Hasher::new();
        hasher.update(header);
        RootHasher(hasher)
    }

    pub(super) fn update(&mut self, index: &[u8]) {
        self.0.update(index);
    }

    pub(super) fn finish(&self) -> [u8; 32] {
        *self.0.finalize().as_bytes()
    }
}
