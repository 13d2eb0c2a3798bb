//! How far the replica has come, as the local state remembers it.

use ebbtide_wal::PageSize;

use ebbtide_replica::{Chain, Digest, ReplicaId, Timestamp, Txid};

/// The newest entry of the replica that is known to be durable, and where it lies in the database's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// The replica it is about.
    pub replica: ReplicaId,
    /// Where that replica lies, without secrets. At most [`Position::LOCATION_BYTES_MAX`] bytes.
    pub location: String,
    /// The page size of the database.
    pub page_size: PageSize,
    /// The entry.
    pub txid: Txid,
    /// The chain after it.
    pub chain: Chain,
    /// The digest of the database after it, which the table of page hashes adds up to.
    pub digest: Digest,
    /// The size of the database after it; the table has as many rows.
    pub database_pages: u32,
    /// Its time.
    pub time: Timestamp,
    /// The end of the entry in the log, if it was read from there.
    pub wal: Option<WalPosition>,
    /// The file that the database was at that time.
    pub database: Option<FileIdentity>,
    /// How the database came to be in that state.
    pub origin: Origin,
}

impl Position {
    /// The longest location that a position holds.
    pub const LOCATION_BYTES_MAX: usize = 4096;
}

/// How the database came to be in the state that a position describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// It was followed while the application wrote it.
    Followed,
    /// It was restored from the replica.
    Restored {
        /// The newest entry of the replica at that time. If that is a later one than the position's, the database was
        /// taken back in time on purpose.
        head: Txid,
    },
}

/// A frame of a write-ahead log, with what proves that a log still holds the same frames up to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WalPosition {
    /// The salts of the log's header, as they stand there.
    pub salts: [u8; 8],
    /// The number of the frame, counted from 1; 0 is the beginning of the log.
    pub frame: u64,
    /// The cumulative checksum of the frame.
    pub checksum: (u32, u32),
}

/// Which file it is, whatever its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileIdentity {
    /// The device.
    pub device: u64,
    /// The file on that device.
    pub inode: u64,
}

impl FileIdentity {
    /// The identity of the file that `metadata` describes.
    #[must_use]
    pub fn of(metadata: &std::fs::Metadata) -> FileIdentity {
        use std::os::unix::fs::MetadataExt as _;
        FileIdentity { device: metadata.dev(), inode: metadata.ino() }
    }
}
