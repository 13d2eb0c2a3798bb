//! The frame header, and the offsets of frames (fileformat2.html, 4.1).

use crate::{Checksum, PageNumber, PageSize, Salts};

/// The length of a frame's header.
pub const FRAME_HEADER_BYTES: usize = 24;

/// The length of a whole frame: its header and one page.
#[must_use]
pub const fn frame_bytes(size: PageSize) -> u64 {
    FRAME_HEADER_BYTES as u64 + size.offset()
}

/// The offset of a frame in the log; `None` for 0, as frames are numbered from 1.
#[must_use]
pub const fn frame_offset(frame: u32, size: PageSize) -> Option<u64> {
    match frame.checked_sub(1) {
        Some(before) => Some(crate::HEADER_BYTES as u64 + before as u64 * frame_bytes(size)),
        None => None,
    }
}

/// A frame header that is not proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHeader {
    /// The page number; `None` for 0, which is invalid.
    pub page: Option<PageNumber>,
    /// On a commit frame the size of the database after it, in pages; on other frames 0.
    pub database_pages: u32,
    /// The salts of its WAL generation.
    pub salts: Salts,
    /// The checksum of all bytes of the log up to the end of this frame.
    pub checksum: Checksum,
}

impl FrameHeader {
    /// Parses the 24 bytes.
    #[must_use]
    pub fn parse(bytes: &[u8; FRAME_HEADER_BYTES]) -> FrameHeader {
        let [p0, p1, p2, p3, n0, n1, n2, n3, rest @ ..] = *bytes;
        let (mut salts, mut sum) = ([0; 8], [0; 8]);
        salts.copy_from_slice(&rest[..8]);
        sum.copy_from_slice(&rest[8..]);
        FrameHeader {
            page: PageNumber::new(u32::from_be_bytes([p0, p1, p2, p3])),
            database_pages: u32::from_be_bytes([n0, n1, n2, n3]),
            salts: Salts(salts),
            checksum: Checksum::from_stored(sum),
        }
    }

    /// Whether the salts and the checksum are zeros: SQLite 3.11.0 to 3.49.2 may commit such a frame (see
    /// [`Cursor::advance_committed`](crate::Cursor::advance_committed)).
    #[must_use]
    pub fn is_zero_header(&self) -> bool {
        self.salts == Salts([0; 8]) && self.checksum == Checksum::default()
    }

    /// The 24 bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; FRAME_HEADER_BYTES] {
        let mut bytes = [0; FRAME_HEADER_BYTES];
        let page = self.page.map_or(0, PageNumber::get);
        bytes[..4].copy_from_slice(&page.to_be_bytes());
        bytes[4..8].copy_from_slice(&self.database_pages.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.salts.0);
        bytes[16..].copy_from_slice(&self.checksum.to_stored());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_lie_behind_each_other_beyond_four_gibibytes() {
        let size = PageSize::new(4096).unwrap();
        assert_eq!(frame_offset(0, size), None);
        assert_eq!(frame_offset(1, size), Some(32));
        assert_eq!(frame_offset(2, size), Some(32 + 4120));
        assert_eq!(frame_offset(u32::MAX, PageSize::MAX), Some(32 + 4_294_967_294 * 65_560));
    }

    #[test]
    fn a_frame_header_is_read_back() {
        let header = FrameHeader {
            page: PageNumber::new(9),
            database_pages: 12,
            salts: Salts([1, 2, 3, 4, 5, 6, 7, 8]),
            checksum: Checksum { s0: 99, s1: 0xffff_0000 },
        };
        assert_eq!(FrameHeader::parse(&header.encode()), header);
    }
}
