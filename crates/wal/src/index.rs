//! The header of the wal-index, the `-shm` file: which frames are committed and which are backfilled
//! (walformat.html, 2.1 and 2.2). It is in the byte order of the machine.

use std::fmt;

use crate::{ByteOrder, Checksum, PageSize, Salts};

/// The size of the wal-index header, with the checkpoint information and the lock bytes.
pub const INDEX_BYTES: usize = 136;

/// The number of read marks. Read mark 0 is that of readers of the database file alone (`WAL_READ_LOCK(0)`).
pub const READ_MARKS: usize = 5;

/// The size of the regions in which SQLite maps the file. Each begins with the page numbers of its frames; the first
/// region has fewer because of the header (walformat.html, 2.2).
pub const REGION_BYTES: usize = 32768;

const REGION_FRAMES: usize = 4096;
const FIRST_REGION_FRAMES: usize = REGION_FRAMES - INDEX_BYTES / 4;

const COPY_BYTES: usize = 48;
const VERSION: u32 = 3_007_000;
const MARK_UNUSED: u32 = 0xffff_ffff;

/// The wal-index header at one moment. The default is that of an empty log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Index {
    /// The change counter, incremented at each commit; recovery resets it.
    pub changes: u32,
    /// The page size; `None` while the log is empty and no frame has been written.
    pub page_size: Option<PageSize>,
    /// The last committed frame; 0 when the log is empty.
    pub frames: u32,
    /// The size of the database in pages as of that frame.
    pub database_pages: u32,
    /// The checksum of that frame.
    pub checksum: Checksum,
    /// The WAL generation.
    pub salts: Salts,
    /// `nBackfill`: the number of frames that are backfilled into the database.
    pub backfilled: u32,
    /// `nBackfillAttempted`: the number of frames that a checkpoint has begun to backfill.
    pub backfill_attempted: u32,
    /// The read marks: the last frame that readers with each mark may read; `None` for an unused mark.
    pub read_marks: [Option<u32>; READ_MARKS],
}

/// Why the wal-index header cannot be read now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IndexError {
    /// The file is too short: no connection has created the wal-index yet.
    Short,
    /// The two copies of the header differ: a commit is being published. Retry.
    Torn,
    /// The field `isInit` is 0: a recovery has not begun, or is in progress.
    Uninitialised,
    /// The version is unknown.
    Version(u32),
    /// The two copies are equal but the checksum is wrong: the next connection will recover the wal-index.
    Checksum,
    /// The page size is invalid.
    PageSize(u16),
}

impl Index {
    /// Parses the first 136 bytes of a `-shm` file.
    ///
    /// The file has two copies of the header; a writer writes the second copy first. If both are equal and their
    /// checksum is right, SQLite accepts them, too (`walIndexTryHdr`).
    ///
    /// # Errors
    /// When SQLite would not accept the header.
    pub fn parse(bytes: &[u8]) -> Result<Index, IndexError> {
        let bytes: &[u8; INDEX_BYTES] = bytes.first_chunk().ok_or(IndexError::Short)?;
        if bytes[..COPY_BYTES] != bytes[COPY_BYTES..2 * COPY_BYTES] {
            return Err(IndexError::Torn);
        }
        let word = |at: usize| {
            u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        if bytes[12] == 0 {
            return Err(IndexError::Uninitialised);
        }
        if word(0) != VERSION {
            return Err(IndexError::Version(word(0)));
        }
        let checksum = Checksum::default().extend(ByteOrder::NATIVE, &bytes[..40]);
        if checksum != (Checksum { s0: word(40), s1: word(44) }) {
            return Err(IndexError::Checksum);
        }
        let size = u16::from_ne_bytes([bytes[14], bytes[15]]);
        let page_size = PageSize::from_database_header(size);
        if page_size.is_none() && size != 0 {
            return Err(IndexError::PageSize(size));
        }
        let mut salts = Salts::default();
        salts.0.copy_from_slice(&bytes[32..40]);
        let mark = |at: usize| Some(word(at)).filter(|&mark| mark != MARK_UNUSED);
        Ok(Index {
            changes: word(8),
            page_size,
            frames: word(16),
            database_pages: word(20),
            checksum: Checksum { s0: word(24), s1: word(28) },
            salts,
            backfilled: word(96),
            backfill_attempted: word(128),
            read_marks: std::array::from_fn(|at| mark(100 + 4 * at)),
        })
    }

    /// Whether all committed frames are backfilled, so that a reader that begins now reads the database file alone.
    #[must_use]
    pub fn is_backfilled(&self) -> bool {
        self.backfilled == self.frames
    }
}

/// The slot of the page number of `frame`, counted from 1: its region, and its offset in the region.
#[must_use]
pub const fn page_slot(frame: u32) -> (usize, usize) {
    let before = frame.saturating_sub(1) as usize;
    match before.checked_sub(FIRST_REGION_FRAMES) {
        None => (0, INDEX_BYTES + 4 * before),
        Some(before) => (1 + before / REGION_FRAMES, 4 * (before % REGION_FRAMES)),
    }
}

impl fmt::Display for IndexError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            IndexError::Short => f.write_str("the wal-index has not been set up"),
            IndexError::Torn => f.write_str("a commit is being published"),
            IndexError::Uninitialised => f.write_str("the wal-index is being recovered"),
            IndexError::Version(version) => write!(f, "unknown wal-index version {version}"),
            IndexError::Checksum => f.write_str("the checksum of the wal-index is wrong"),
            IndexError::PageSize(size) => write!(f, "{size} is not a page size"),
        }
    }
}

impl std::error::Error for IndexError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> [u8; INDEX_BYTES] {
        let mut bytes = [0; INDEX_BYTES];
        let mut put = |at: usize, word: u32| bytes[at..at + 4].copy_from_slice(&word.to_ne_bytes());
        put(0, VERSION);
        put(8, 42);
        put(16, 7);
        put(20, 100);
        put(24, 0xaaaa);
        put(28, 0xbbbb);
        put(96, 3);
        put(104, 7);
        for at in [108, 112, 116] {
            put(at, MARK_UNUSED);
        }
        bytes[12] = 1;
        bytes[14..16].copy_from_slice(&1u16.to_ne_bytes());
        bytes[32..40].copy_from_slice(b"saltsalt");
        let sum = Checksum::default().extend(ByteOrder::NATIVE, &bytes[..40]);
        bytes[40..44].copy_from_slice(&sum.s0.to_ne_bytes());
        bytes[44..48].copy_from_slice(&sum.s1.to_ne_bytes());
        bytes.copy_within(..COPY_BYTES, COPY_BYTES);
        bytes
    }

    #[test]
    fn what_a_writer_published_is_read() {
        let index = Index::parse(&sample()).unwrap();
        assert_eq!((index.frames, index.database_pages, index.backfilled), (7, 100, 3));
        assert_eq!(index.page_size, Some(PageSize::MAX));
        assert_eq!(index.read_marks, [Some(0), Some(7), None, None, None]);
        assert!(!index.is_backfilled());
    }

    #[test]
    fn the_page_numbers_of_a_region_end_where_its_hash_table_begins() {
        assert_eq!(page_slot(1), (0, 136));
        assert_eq!(page_slot(4062), (0, REGION_BYTES / 2 - 4));
        assert_eq!(page_slot(4063), (1, 0));
        assert_eq!(page_slot(4062 + 4096), (1, REGION_BYTES / 2 - 4));
        assert_eq!(page_slot(4062 + 4096 + 1), (2, 0));
    }

    #[test]
    fn a_header_that_is_being_written_is_never_taken() {
        for at in 0..2 * COPY_BYTES {
            let mut bytes = sample();
            bytes[at] ^= 1;
            assert_eq!(Index::parse(&bytes), Err(IndexError::Torn), "byte {at}");
        }
        for at in 0..COPY_BYTES {
            let mut bytes = sample();
            bytes[at] ^= 1;
            bytes.copy_within(..COPY_BYTES, COPY_BYTES);
            assert!(Index::parse(&bytes).is_err(), "byte {at}");
        }
    }
}
