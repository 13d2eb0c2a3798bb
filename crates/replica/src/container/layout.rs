//! Where each field of each fixed-size structure lies. Both sides read and write through these, and `docs/format.md` is
//! checked against them by a test.

/// Some bytes of a structure. All integers are little-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// As in `docs/format.md`.
    pub name: &'static str,
    /// From the beginning of the structure.
    pub offset: usize,
    /// In bytes.
    pub size: usize,
}

const fn field(name: &'static str, offset: usize, size: usize) -> Field {
    Field { name, offset, size }
}

/// Whether `fields` follow each other without a gap and fill `size` bytes.
const fn tile(fields: &[Field], size: usize) -> bool {
    let mut end = 0;
    let mut index = 0;
    while index < fields.len() {
        if fields[index].offset != end {
            return false;
        }
        end += fields[index].size;
        index += 1;
    }
    end == size
}

macro_rules! layout {
    ($(#[$doc:meta])* $module:ident, $size:literal: $($name:ident = $text:literal, $offset:literal, $bytes:literal;)+) => {
        $(#[$doc])*
        pub mod $module {
            use super::{Field, field, tile};
            $(
                #[doc = concat!("The field `", $text, "`.")]
                pub const $name: Field = field($text, $offset, $bytes);
            )+
            /// All fields in order.
            pub const FIELDS: &[Field] = &[$($name),+];
            /// The size of the whole in bytes.
            pub const SIZE: usize = $size;
            const _: () = assert!(tile(FIELDS, SIZE));
        }
    };
}

layout! {
    /// The first bytes of every object.
    header, 128:
    MAGIC = "magic", 0, 8;
    VERSION = "version", 8, 2;
    KIND = "kind", 10, 1;
    FLAGS = "flags", 11, 1;
    PAGE_SIZE = "page size", 12, 4;
    REPLICA = "replica", 16, 16;
    FIRST = "first txid", 32, 8;
    BASE = "base txid", 40, 8;
    CHAIN = "chain before", 48, 32;
    SUITE = "encryption suite", 80, 1;
    PAGE_KEY = "page key", 81, 8;
    INDEX_KEY = "index key", 89, 8;
    SALT = "salt", 97, 24;
    RESERVED = "reserved", 121, 3;
    CRC = "CRC32", 124, 4;
}

layout! {
    /// The first bytes of an index: how many rows follow.
    counts, 16:
    ENTRIES = "entries", 0, 4;
    BLOCKS = "blocks", 4, 4;
    RUNS = "runs", 8, 4;
    DETAILS = "detail bytes", 12, 4;
}

layout! {
    /// An entry in an index.
    entry_row, 80:
    TXID = "txid", 0, 8;
    KIND = "kind", 8, 1;
    FLAGS = "flags", 9, 1;
    RESERVED = "reserved", 10, 2;
    DETAIL = "detail length", 12, 4;
    TIME = "time", 16, 8;
    DATABASE_PAGES = "database pages", 24, 4;
    PAGE_COUNT = "page count", 28, 4;
    DIGEST = "digest after", 32, 16;
    CONTENT = "content", 48, 32;
}

layout! {
    /// A block in an index.
    block_row, 16:
    KIND = "kind", 0, 1;
    CODEC = "codec", 1, 1;
    RESERVED = "reserved", 2, 2;
    STORED = "stored length", 4, 4;
    RAW = "raw length", 8, 4;
    CRC = "CRC32", 12, 4;
}

layout! {
    /// A run of pages in an index.
    run_row, 8:
    FIRST = "first page", 0, 4;
    COUNT = "count", 4, 4;
}

layout! {
    /// The last bytes of every object.
    footer, 128:
    MAGIC = "magic", 0, 8;
    VERSION = "version", 8, 2;
    KIND = "kind", 10, 1;
    FLAGS = "flags", 11, 1;
    ENTRIES = "entries", 12, 4;
    INDEX_OFFSET = "index offset", 16, 8;
    INDEX_LENGTH = "index length", 24, 8;
    ROOT = "root", 32, 32;
    CHAIN = "chain after", 64, 32;
    LAST = "last txid", 96, 8;
    DIGEST = "digest after", 104, 16;
    RESERVED = "reserved", 120, 4;
    CRC = "CRC32", 124, 4;
}

layout! {
    /// What stands before the index of an encrypted object, and is encrypted with it.
    sealed_index, 88:
    BEFORE = "chain before", 0, 32;
    AFTER = "chain after", 32, 32;
    DIGEST = "digest after", 64, 16;
    ENTRIES = "entries", 80, 4;
    RESERVED = "reserved", 84, 4;
}

/// `bytes` is always the whole structure, whose size its reader has checked.
impl Field {
    pub(super) fn of(self, bytes: &[u8]) -> &[u8] {
        &bytes[self.offset..self.offset + self.size]
    }

    pub(super) fn array<const N: usize>(self, bytes: &[u8]) -> [u8; N] {
        self.of(bytes).try_into().expect("the reader asks for as many bytes as the field has")
    }

    pub(super) fn u8(self, bytes: &[u8]) -> u8 {
        let [byte] = self.array(bytes);
        byte
    }

    pub(super) fn u16(self, bytes: &[u8]) -> u16 {
        u16::from_le_bytes(self.array(bytes))
    }

    pub(super) fn u32(self, bytes: &[u8]) -> u32 {
        u32::from_le_bytes(self.array(bytes))
    }

    pub(super) fn u64(self, bytes: &[u8]) -> u64 {
        u64::from_le_bytes(self.array(bytes))
    }

    pub(super) fn is_zero(self, bytes: &[u8]) -> bool {
        self.of(bytes).iter().all(|&byte| byte == 0)
    }

    pub(super) fn put(self, bytes: &mut [u8], value: &[u8]) {
        bytes[self.offset..self.offset + self.size].copy_from_slice(value);
    }
}

/// The CRC32 of all that precedes a structure's last field, which holds it.
pub(super) fn crc_before(crc: Field, bytes: &[u8]) -> u32 {
    crc32fast::hash(&bytes[..crc.offset])
}
