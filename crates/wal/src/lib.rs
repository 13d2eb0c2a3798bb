//! SQLite's write-ahead log as bytes: headers, frames, the checksum chain, the wal-index.
//!
//! Nothing here reads a file or a clock. Everything is a function from bytes to values, takes any bytes, and never
//! panics on them. Sources: SQLite's *Database File Format* (fileformat2.html, section 4) for the log, and *WAL-mode
//! File Format* (walformat.html) for the wal-index and its locks.
//!
//! A log is a [`Header`] followed by frames. The checksum of each frame covers all frames before it, so a [`Cursor`]
//! that stands behind frame *n* and holds its checksum has proved every byte up to there; to carry on later it needs
//! the [`Position`] alone.
//!
//! The words that are ours are in `docs/glossary.md`.

mod checksum;
mod cursor;
mod database;
mod frame;
mod header;
mod index;
mod page;

pub use checksum::{ByteOrder, Checksum};
pub use cursor::{Cursor, Frame, Position, Stop};
pub use database::{DatabaseHeader, Unfollowable};
pub use frame::{FRAME_HEADER_BYTES, FrameHeader, frame_bytes, frame_offset};
pub use header::{HEADER_BYTES, Header, HeaderError, Salts};
pub use index::{INDEX_BYTES, Index, IndexError, READ_MARKS, REGION_BYTES, lock, page_slot};
pub use page::{PageNumber, PageSize, lock_page};
