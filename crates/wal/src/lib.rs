//! SQLite's write-ahead log as bytes: headers, frames, the checksum chain, the wal-index.
//!
//! This crate reads no file and no clock. Every function maps bytes to values, accepts any bytes, and never panics on
//! them. Sources: SQLite's *Database File Format* (fileformat2.html, section 4) for the log, and *WAL-mode File Format*
//! (walformat.html) for the wal-index and its locks.
//!
//! A log is a [`Header`] followed by frames. The checksum of each frame covers all frames before it, so a [`Cursor`]
//! with the checksum of frame *n* has proved every byte up to the end of that frame, and can resume there with the
//! [`Position`] alone.
//!
//! The words that are ours are in `docs/glossary.md`.

mod checksum;
pub mod companion;
mod cursor;
mod database;
mod frame;
mod header;
mod index;
pub mod lock;
mod page;

pub use checksum::{ByteOrder, Checksum};
pub use cursor::{Cursor, Frame, Position, Stop};
pub use database::{DatabaseHeader, Unfollowable};
pub use frame::{FRAME_HEADER_BYTES, FrameHeader, frame_bytes, frame_offset};
pub use header::{HEADER_BYTES, Header, HeaderError, Salts};
pub use index::{INDEX_BYTES, Index, IndexError, READ_MARKS, REGION_BYTES, page_slot};
pub use page::{PageNumber, PageSize, lock_page};
