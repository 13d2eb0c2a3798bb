//! The bytes of SQLite's files that stand for locks.

use std::ops::Range;

/// `WAL_WRITE_LOCK` of the wal-index (walformat.html, 2.3), exclusive: held by the connection that writes.
pub const WRITE: u64 = 120;

/// `WAL_CKPT_LOCK` of the wal-index, exclusive: held by the connection that checkpoints.
pub const CHECKPOINT: u64 = 121;

/// `WAL_READ_LOCK(mark)` of the wal-index, shared: held by readers with read mark `mark` (0 to 4).
#[must_use]
pub const fn read(mark: usize) -> u64 {
    123 + mark as u64
}

/// The dead-man's-switch lock of the wal-index, shared: held by every connection.
pub const CONNECTED: u64 = 128;

/// All locks of the wal-index.
pub const WAL_INDEX: Range<u64> = WRITE..CONNECTED + 1;

/// All locks of a database's file (fileformat2.html, 1.4): PENDING, RESERVED and SHARED.
pub const DATABASE: Range<u64> = 0x4000_0000..0x4000_0200;

/// The SHARED range of a database's file (os.h, `SHARED_FIRST` and `SHARED_SIZE`).
pub const SHARED: Range<u64> = 0x4000_0002..0x4000_0200;
