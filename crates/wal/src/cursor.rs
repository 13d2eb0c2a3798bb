//! The cursor: reads a log frame by frame and proves each by its salts, its page number and the checksum chain.

use crate::{
    ByteOrder, Checksum, FRAME_HEADER_BYTES, FrameHeader, Header, PageNumber, PageSize, Salts,
};

/// A position in a log that can be proved later: if the frame has the same salts and the same checksum, every byte up
/// to its end is the same, but for a collision of 64 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The WAL generation.
    pub salts: Salts,
    /// The number of the last frame before the position; 0 for the end of the header.
    pub frame: u32,
    /// The checksum of that frame, or of the header.
    pub checksum: Checksum,
}

/// A frame whose place in the checksum chain was proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Counted from 1.
    pub number: u32,
    /// The number of its page.
    pub page: PageNumber,
    /// If some, the frame is a commit frame, and this is the size of the database after it in pages.
    pub commit: Option<u32>,
    /// The image of its page.
    pub image: &'a [u8],
}

/// Why the checksum chain ends. None of these is an error by itself: each can be the normal end of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// There are not enough bytes for another frame.
    Short,
    /// The frame is of another WAL generation.
    Salts,
    /// The page number is 0.
    Page,
    /// The checksum is wrong: the frame was not written completely, or is damaged.
    Checksum,
}

/// Proves the frame after its position.
#[derive(Debug, Clone, Copy)]
pub struct Cursor {
    order: ByteOrder,
    page_size: PageSize,
    position: Position,
    /// Whether the last frame is a zero-header commit frame: the checksum that the chain continues from is not in the
    /// log then.
    is_checksum_unknown: bool,
}

impl Cursor {
    /// At the start of the log with this header.
    #[must_use]
    pub fn start(header: &Header) -> Cursor {
        let position = Position { salts: header.salts, frame: 0, checksum: header.checksum };
        Cursor::at(header, position)
    }

    fn at(header: &Header, position: Position) -> Cursor {
        let Header { order, page_size, .. } = *header;
        Cursor { order, page_size, position, is_checksum_unknown: false }
    }

    /// At a position from before, if the log still has it. `frame_header` is the present header of the position's
    /// frame; it is ignored for frame 0.
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
        same.then_some(Cursor::at(header, position))
    }

    /// At the log's end as of the wal-index, if the last frame is a zero-header frame. Only the wal-index has its
    /// checksum.
    #[must_use]
    pub fn at_zero_header_end(
        header: &Header,
        end: Position,
        frame_header: &[u8; FRAME_HEADER_BYTES],
    ) -> Option<Cursor> {
        let is_there =
            end.salts == header.salts && FrameHeader::parse(frame_header).is_zero_header();
        is_there.then_some(Cursor::at(header, end))
    }

    /// The position after the last proved frame.
    #[must_use]
    pub fn position(&self) -> Position {
        self.position
    }

    /// The size of the log's pages.
    #[must_use]
    pub fn page_size(&self) -> PageSize {
        self.page_size
    }

    /// Proves the frame at the start of `bytes` and advances the position; on an error the position stays.
    ///
    /// # Errors
    /// When `bytes` does not begin with the next frame of this checksum chain.
    pub fn advance<'a>(&mut self, bytes: &'a [u8]) -> Result<Frame<'a>, Stop> {
        let (head, image) = self.split(bytes)?;
        let header = FrameHeader::parse(head);
        if header.salts != self.position.salts {
            return Err(Stop::Salts);
        }
        let checksum = self.position.checksum.extend(self.order, &head[..8]);
        let checksum = checksum.extend(self.order, image);
        if checksum != header.checksum && header.page.is_some() {
            return Err(Stop::Checksum);
        }
        self.step(&header, image)
    }

    /// As [`Cursor::advance`], for a frame that is committed as of the wal-index. Accepts *zero-header frames*, which
    /// have neither salts nor checksum, on the evidence of the wal-index alone.
    ///
    /// SQLite 3.11.0 to 3.49.2 writes zero-header frames when a transaction spills, writes spilled pages again, rolls
    /// back to a savepoint and commits. SQLite's readers find frames by the wal-index and check no checksum, so they
    /// read these frames, and a checkpoint backfills them. The checksum chain continues from zeros. Only after a
    /// zero-header commit frame it continues from the checksum that was in the wal-index at that time, which is unknown
    /// later, so the frame after such a commit frame is accepted with any checksum.
    ///
    /// # Errors
    /// As [`Cursor::advance`].
    pub fn advance_committed<'a>(&mut self, bytes: &'a [u8]) -> Result<Frame<'a>, Stop> {
        let stop = match self.advance(bytes) {
            Err(stop @ (Stop::Salts | Stop::Checksum)) => stop,
            proved => return proved,
        };
        let (head, image) = self.split(bytes)?;
        let header = FrameHeader::parse(head);
        let is_zero_header = stop == Stop::Salts && header.is_zero_header();
        if is_zero_header || stop == Stop::Checksum && self.is_checksum_unknown {
            let frame = self.step(&header, image)?;
            self.is_checksum_unknown = is_zero_header && frame.commit.is_some();
            return Ok(frame);
        }
        Err(stop)
    }

    /// Sets the checksum that the chain continues from, if it is unknown. `checksum` is that of the wal-index, whose
    /// last frame must be the cursor's.
    pub fn anchor(&mut self, checksum: Checksum) {
        if std::mem::take(&mut self.is_checksum_unknown) {
            self.position.checksum = checksum;
        }
    }

    fn split<'a>(&self, bytes: &'a [u8]) -> Result<(&'a [u8; FRAME_HEADER_BYTES], &'a [u8]), Stop> {
        let (head, rest) = bytes.split_first_chunk::<FRAME_HEADER_BYTES>().ok_or(Stop::Short)?;
        Ok((head, rest.get(..self.page_size.bytes()).ok_or(Stop::Short)?))
    }

    /// Advances the position over a frame.
    fn step<'a>(&mut self, header: &FrameHeader, image: &'a [u8]) -> Result<Frame<'a>, Stop> {
        let page = header.page.ok_or(Stop::Page)?;
        let number = self.position.frame.checked_add(1).ok_or(Stop::Short)?;
        self.position = Position { frame: number, checksum: header.checksum, ..self.position };
        self.is_checksum_unknown = false;
        let commit = (header.database_pages != 0).then_some(header.database_pages);
        Ok(Frame { number, page, commit, image })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A log of `pages`, each one a commit frame, in `order`.
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

    /// The log of `pages` in which frame `zeroed`, counted from 0, is a zero-header frame, and the checksum chain
    /// continues from `seed`.
    fn zero_header_log(pages: &[u8], zeroed: usize, seed: Checksum) -> Vec<u8> {
        let (order, size) = (ByteOrder::Little, PageSize::MIN);
        let mut bytes = log(order, size, pages);
        let whole = FRAME_HEADER_BYTES + size.bytes();
        let mut checksum = seed;
        for (at, frame) in bytes[crate::HEADER_BYTES..].chunks_exact_mut(whole).enumerate() {
            if at == zeroed {
                frame[8..FRAME_HEADER_BYTES].fill(0);
            } else if at > zeroed {
                checksum = checksum.extend(order, &frame[..8]);
                checksum = checksum.extend(order, &frame[FRAME_HEADER_BYTES..]);
                frame[16..FRAME_HEADER_BYTES].copy_from_slice(&checksum.to_stored());
            }
        }
        bytes
    }

    /// How many committed frames a cursor accepts.
    fn walk_committed(bytes: &[u8]) -> (usize, Position, Option<Stop>) {
        let header = Header::parse(bytes).unwrap();
        let mut cursor = Cursor::start(&header);
        let whole = FRAME_HEADER_BYTES + header.page_size.bytes();
        let frames = bytes[crate::HEADER_BYTES..].chunks(whole);
        let stop = frames.clone().find_map(|frame| cursor.advance_committed(frame).err());
        (cursor.position().frame as usize, cursor.position(), stop)
    }

    #[test]
    fn a_zero_header_frame_is_taken_at_the_word_of_the_wal_index_alone() {
        // Within a transaction: a database size of 0 says that the frame is no commit frame.
        let mut bytes = zero_header_log(&[1, 2, 3, 4], 1, Checksum::default());
        let second = crate::HEADER_BYTES + FRAME_HEADER_BYTES + PageSize::MIN.bytes();
        bytes[second + 4..second + 8].fill(0);
        assert_eq!(walk(&bytes).2, Stop::Salts, "nobody says that it is committed");
        assert_eq!(walk_committed(&bytes).0, 4);
        bytes[second + FRAME_HEADER_BYTES + PageSize::MIN.bytes() + 40] ^= 1;
        let (frames, _, stop) = walk_committed(&bytes);
        assert_eq!((frames, stop), (2, Some(Stop::Checksum)), "the chain goes on from zeros");
    }

    #[test]
    fn after_a_zero_header_commit_the_chain_goes_on_from_the_checksum_of_the_wal_index() {
        let seed = Checksum { s0: 7, s1: 9 };
        let mut bytes = zero_header_log(&[1, 2, 3, 4], 1, seed);
        assert_eq!(walk_committed(&bytes).0, 4);
        let header = Header::parse(&bytes).unwrap();
        let whole = FRAME_HEADER_BYTES + PageSize::MIN.bytes();
        let mut frames = bytes[crate::HEADER_BYTES..].chunks(whole);
        let mut cursor = Cursor::start(&header);
        for _ in 0..2 {
            cursor.advance_committed(frames.next().unwrap()).unwrap();
        }
        cursor.anchor(seed);
        let end = cursor.position();
        assert_eq!(end.checksum, seed);
        assert!(cursor.advance(frames.next().unwrap()).is_ok(), "proved by the wal-index's");
        let at = |frame: usize| {
            bytes[crate::HEADER_BYTES + (frame - 1) * whole..]
                .first_chunk::<FRAME_HEADER_BYTES>()
                .unwrap()
        };
        assert!(Cursor::resume(&header, end, Some(at(2))).is_none(), "it proves nothing");
        assert!(Cursor::at_zero_header_end(&header, end, at(2)).is_some());
        assert!(Cursor::at_zero_header_end(&header, end, at(1)).is_none());
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        assert_eq!(walk_committed(&bytes).2, Some(Stop::Checksum), "one frame is taken as it is");
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
