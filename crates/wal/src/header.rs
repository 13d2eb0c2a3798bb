//! The log header (fileformat2.html, 4.1).

use std::fmt;

use crate::{ByteOrder, Checksum, PageSize};

/// The size of the log header.
pub const HEADER_BYTES: usize = 32;

const MAGIC_LITTLE: u32 = 0x377f_0682;
const MAGIC_BIG: u32 = 0x377f_0683;
const VERSION: u32 = 3_007_000;
const VERSION_WAL2: u32 = 3_021_000;

/// The two salts of a WAL generation, as the eight bytes in the file. Every frame of the generation repeats them; a
/// restart of the log changes both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Salts(pub [u8; 8]);

impl fmt::Display for Salts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A log header whose checksum is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The byte order in which the checksums of this log read their words.
    pub order: ByteOrder,
    /// The page size.
    pub page_size: PageSize,
    /// The checkpoint sequence number, incremented at each restart. SQLite does not use it.
    pub sequence: u32,
    /// The salts that every frame of this WAL generation repeats.
    pub salts: Salts,
    /// The checksum of the header, with which the checksum chain of the frames begins.
    pub checksum: Checksum,
}

/// Why bytes are not the header of a log that can be followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderError {
    /// The log has fewer than 32 bytes: it is new, or was truncated.
    Short,
    /// The magic number is wrong.
    Magic(u32),
    /// The log of a database in `wal2` mode, which has two logs and another protocol.
    Wal2,
    /// The version is unknown.
    Version(u32),
    /// The page size is invalid.
    PageSize(u32),
    /// The checksum is wrong: the header is torn or damaged.
    Checksum,
}

impl Header {
    /// Parses a header from the first bytes of a log.
    ///
    /// # Errors
    /// When the bytes are not a whole header of the known version with a right checksum.
    pub fn parse(bytes: &[u8]) -> Result<Header, HeaderError> {
        let bytes: &[u8; HEADER_BYTES] = bytes.first_chunk().ok_or(HeaderError::Short)?;
        let field = |at: usize| {
            u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        let order = match field(0) {
            MAGIC_LITTLE => ByteOrder::Little,
            MAGIC_BIG => ByteOrder::Big,
            other => return Err(HeaderError::Magic(other)),
        };
        match field(4) {
            VERSION => {}
            VERSION_WAL2 => return Err(HeaderError::Wal2),
            other => return Err(HeaderError::Version(other)),
        }
        // Unlike in the database's own header, 65536 is stored as itself here.
        let page_size = PageSize::new(field(8)).ok_or(HeaderError::PageSize(field(8)))?;
        let checksum = Checksum::default().extend(order, &bytes[..24]);
        if checksum != (Checksum { s0: field(24), s1: field(28) }) {
            return Err(HeaderError::Checksum);
        }
        let mut salts = Salts::default();
        salts.0.copy_from_slice(&bytes[16..24]);
        Ok(Header { order, page_size, sequence: field(12), salts, checksum })
    }

    /// The bytes of a header with these fields. The checksum is computed; the field `checksum` is ignored.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let magic = match self.order {
            ByteOrder::Little => MAGIC_LITTLE,
            ByteOrder::Big => MAGIC_BIG,
        };
        let mut bytes = [0; HEADER_BYTES];
        let words = [magic, VERSION, self.page_size.get(), self.sequence];
        for (at, word) in words.into_iter().enumerate() {
            bytes[at * 4..at * 4 + 4].copy_from_slice(&word.to_be_bytes());
        }
        bytes[16..24].copy_from_slice(&self.salts.0);
        let checksum = Checksum::default().extend(self.order, &bytes[..24]);
        bytes[24..].copy_from_slice(&checksum.to_stored());
        bytes
    }
}

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HeaderError::Short => f.write_str("the log has no whole header"),
            HeaderError::Magic(word) => write!(f, "not a write-ahead log (it begins {word:08x})"),
            HeaderError::Wal2 => f.write_str("a wal2 log, which cannot be followed"),
            HeaderError::Version(version) => write!(f, "unknown log version {version}"),
            HeaderError::PageSize(size) => write!(f, "{size} is not a page size"),
            HeaderError::Checksum => f.write_str("the checksum of the log's header is wrong"),
        }
    }
}

impl std::error::Error for HeaderError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(order: ByteOrder, page_size: u32) -> Header {
        let header = Header {
            order,
            page_size: PageSize::new(page_size).unwrap(),
            sequence: 7,
            salts: Salts(*b"saltsalt"),
            checksum: Checksum::default(),
        };
        Header { checksum: Checksum::from_stored(*header.encode().last_chunk().unwrap()), ..header }
    }

    #[test]
    fn headers_of_both_orders_and_all_sizes_are_read_back() {
        for order in [ByteOrder::Little, ByteOrder::Big] {
            for size in [512, 1024, 2048, 4096, 8192, 16384, 32768, 65536] {
                let header = sample(order, size);
                assert_eq!(Header::parse(&header.encode()), Ok(header));
            }
        }
    }

    #[test]
    fn every_changed_byte_of_a_header_is_found() {
        let good = sample(ByteOrder::Little, 4096).encode();
        for at in 0..good.len() {
            for bit in 0..8 {
                let mut bad = good;
                bad[at] ^= 1 << bit;
                assert!(Header::parse(&bad).is_err(), "byte {at}, bit {bit}");
            }
        }
        assert_eq!(Header::parse(&good[..31]), Err(HeaderError::Short));
    }

    #[test]
    fn a_wal2_log_is_called_by_its_name() {
        let mut bytes = sample(ByteOrder::Little, 4096).encode();
        bytes[4..8].copy_from_slice(&VERSION_WAL2.to_be_bytes());
        assert_eq!(Header::parse(&bytes), Err(HeaderError::Wal2));
    }
}
