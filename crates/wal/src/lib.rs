//! SQLite's write-ahead log as bytes: headers, frames, the checksum chain, the wal-index.
//!
//! Nothing here reads a file or a clock. Everything is a function from bytes to values, takes any bytes, and never
//! panics on them. Sources: SQLite's *WAL-mode File Format* (walformat.html) and *Database File Format*
//! (fileformat2.html, section 4).

mod page;

pub use page::{PageNumber, PageSize, lock_page};
