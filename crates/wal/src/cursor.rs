//! Walking a log frame by frame with proof: salts, page number and the chain of checksums.

use crate::{
    ByteOrder, Checksum, FRAME_HEADER_BYTES, FrameHeader, Header, PageNumber, PageSize, Salts,
};

/// A place in a log that can be found again and proved: same salts and same checksum of the same frame mean that
/// every byte up to there is the same, but for a collision of 64 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The generation of the log.
    pub salts: Salts,
    /// How many frames of it lie behind; 0 stands for its header alone.
    pub frame: u32,
    /// The checksum of the last of them, or of the header.
    pub checksum: Checksum,
}

/// One frame whose place in the chain was proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Counted from 1.
    pub number: u32,
    /// The page that it holds.
    pub page: PageNumber,
    /// On the last frame of a transaction, the size of the database after it in pages; else nothing.
    pub commit: Option<u32>,
    /// The page itself.
    pub image: &'a [u8],
}

/// Why the chain ends here. None of these is an error by itself: each is how the end of a log may look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// There are not enough bytes for another frame.
    Short,
    /// The bytes belong to an older generation.
    Salts,
    /// The page number is 0.
    Page,
    /// The frame was never finished, or was damaged.
    Checksum,
}

/// Stands behind a frame that was proved, and proves the next.
#[derive(Debug, Clone, Copy)]
pub struct Cursor {
    order: ByteOrder,
    page_size: PageSize,
    position: Position,
}

impl Cursor {
    /// At the start of the log that `header` begins.
    #[must_use]
    pub fn start(header: &Header) -> Cursor {
        let position = Position { salts: header.salts, frame: 0, checksum: header.checksum };
        Cursor { order: header.order, page_size: header.page_size, position }
    }

    /// At a position held from before, if it can be in this log. `frame_header` is what stands before the position's
    /// last frame now; it is not looked at for frame 0.
    #[must_use]
    pub fn resume(
        header: &Header,
        position: Position,
        frame_header: Option<&[u8; FRAME_HEADER_BYTES]>,
    ) -> Option<Cursor> {
        let checksum = match (position.frame, frame_header.map(FrameHeader::parse)) {
            (0, _) => header.checksum,
            (_, Some(frame)) if frame.salts == header.salts => frame.checksum,
            _ => return None,
        };
        let same = position.salts == header.salts && position.checksum == checksum;
        same.then_some(Cursor { order: header.order, page_size: header.page_size, position })
    }

    /// Where it stands.
    #[must_use]
    pub fn position(&self) -> Position {
        self.position
    }

    /// The size of the log's pages.
    #[must_use]
    pub fn page_size(&self) -> PageSize {
        self.page_size
    }

    /// Proves the frame at the start of `bytes` and steps behind it; otherwise stays.
    ///
    /// # Errors
    /// When `bytes` does not begin with the next frame of this chain.
    pub fn advance<'a>(&mut self, bytes: &'a [u8]) -> Result<Frame<'a>, Stop> {
        let (head, rest) = bytes.split_first_chunk::<FRAME_HEADER_BYTES>().ok_or(Stop::Short)?;
        let image = rest.get(..self.page_size.bytes()).ok_or(Stop::Short)?;
        let header = FrameHeader::parse(head);
        if header.salts != self.position.salts {
            return Err(Stop::Salts);
        }
        let page = header.page.ok_or(Stop::Page)?;
        let checksum = self.position.checksum.extend(self.order, &head[..8]);
        let checksum = checksum.extend(self.order, image);
        if checksum != header.checksum {
            return Err(Stop::Checksum);
        }
        let number = self.position.frame.checked_add(1).ok_or(Stop::Short)?;
        self.position = Position { frame: number, checksum, ..self.position };
        let commit = (header.database_pages != 0).then_some(header.database_pages);
        Ok(Frame { number, page, commit, image })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A log of `pages`, each frame a commit, in `order`.
    fn log(order: ByteOrder, size: PageSize, pages: &[u8]) -> Vec<u8> {
        let header = Header {
            order,
            page_size: size,
            sequence: 0,
            salts: Salts(*b"saltsalt"),
            checksum: Checksum::default(),
        };
        let mut bytes = header.encode().to_vec();
        let mut checksum = Header::parse(&bytes).unwrap().checksum;
        for &page in pages {
            let image = vec![page; size.bytes()];
            let mut frame = FrameHeader {
                page: PageNumber::new(page.into()),
                database_pages: page.into(),
                salts: header.salts,
                checksum,
            };
            checksum = checksum.extend(order, &frame.encode()[..8]).extend(order, &image);
            frame.checksum = checksum;
            bytes.extend(frame.encode());
            bytes.extend(image);
        }
        bytes
    }

    fn walk(bytes: &[u8]) -> (Vec<u32>, Position, Stop) {
        let header = Header::parse(bytes).unwrap();
        let mut cursor = Cursor::start(&header);
        let mut rest = &bytes[crate::HEADER_BYTES..];
        let mut pages = Vec::new();
        loop {
            match cursor.advance(rest) {
                Ok(frame) => pages.push(frame.page.get()),
                Err(stop) => return (pages, cursor.position(), stop),
            }
            rest = &rest[FRAME_HEADER_BYTES + header.page_size.bytes()..];
        }
    }

    #[test]
    fn logs_of_every_size_and_order_are_walked_to_their_end() {
        for order in [ByteOrder::Little, ByteOrder::Big] {
            for size in [512, 1024, 2048, 4096, 8192, 16384, 32768, 65536] {
                let bytes = log(order, PageSize::new(size).unwrap(), &[1, 2, 9]);
                let (pages, position, stop) = walk(&bytes);
                assert_eq!((pages, position.frame, stop), (vec![1, 2, 9], 3, Stop::Short));
            }
        }
    }

    #[test]
    fn a_changed_byte_ends_the_chain_before_its_frame() {
        let size = PageSize::MIN;
        let good = log(ByteOrder::Little, size, &[1, 2, 3]);
        for at in crate::HEADER_BYTES..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            let frame = (at - crate::HEADER_BYTES) / (FRAME_HEADER_BYTES + size.bytes());
            assert_eq!(walk(&bad).0.len(), frame, "byte {at}");
        }
    }

    #[test]
    fn a_cursor_resumes_only_where_the_history_is_the_same() {
        let size = PageSize::MIN;
        let bytes = log(ByteOrder::Little, size, &[1, 2, 3]);
        let header = Header::parse(&bytes).unwrap();
        let (_, position, _) = walk(&bytes);
        let at = |frame: u32| {
            let offset = usize::try_from(crate::frame_offset(frame, size).unwrap()).unwrap();
            bytes[offset..].first_chunk::<FRAME_HEADER_BYTES>()
        };
        assert!(Cursor::resume(&header, position, at(3)).is_some());
        assert!(Cursor::resume(&header, position, at(2)).is_none());
        assert!(Cursor::resume(&header, position, None).is_none());
        let other = Position { salts: Salts([0; 8]), ..position };
        assert!(Cursor::resume(&header, other, at(3)).is_none());
        let begin = Cursor::start(&header).position();
        assert!(Cursor::resume(&header, begin, None).is_some());
    }
}
