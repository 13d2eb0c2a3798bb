//! The durable position of the replica.

use ebbtide_wal::PageSize;

use ebbtide_replica::{Chain, Digest, ReplicaId, Timestamp, Txid};

/// The newest entry of the replica that is known to be durable, and its position in the database's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// The replica.
    pub replica: ReplicaId,
    /// The location of the replica, without secrets. At most [`Position::LOCATION_BYTES_MAX`] bytes.
    pub location: String,
    /// The page size of the database.
    pub page_size: PageSize,
    /// The txid of the entry.
    pub txid: Txid,
    /// The chain after it.
    pub chain: Chain,
    /// The digest of the database after it, which the table of page hashes adds up to.
    pub digest: Digest,
    /// The size of the database after it; the table has as many rows.
    pub database_pages: u32,
    /// The time of the entry.
    pub time: Timestamp,
    /// The end of the entry in the log, if it was read from there.
    pub wal: Option<WalPosition>,
    /// The database's file at that time.
    pub database: Option<FileIdentity>,
    /// The origin of the database's state.
    pub origin: Origin,
}

impl Position {
    /// The longest location that a position holds.
    pub const LOCATION_BYTES_MAX: usize = 4096;
}

/// The origin of the state that a position describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// It was followed while the application wrote it.
    Followed,
    /// It was restored from the replica.
    Restored {
        /// The newest entry of the replica at that time. If it is later than the position's entry, the database was
        /// restored to an earlier state on purpose.
        head: Txid,
    },
}

/// A frame of a write-ahead log, with the salts and the checksum that prove that the log still has the same frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WalPosition {
    /// The salts, in the byte order of the log's header.
    pub salts: [u8; 8],
    /// The number of the frame, counted from 1; 0 is the beginning of the log.
    pub frame: u64,
    /// The cumulative checksum of the frame.
    pub checksum: (u32, u32),
}

/// The identity of a file, independent of its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileIdentity {
    /// The device.
    pub device: u64,
    /// The inode on that device.
    pub inode: u64,
}

impl FileIdentity {
    /// The identity of the file that `metadata` describes.
    #[must_use]
    pub fn of(metadata: &std::fs::Metadata) -> FileIdentity {
        use std::os::unix::fs::MetadataExt as _;
        FileIdentity { device: metadata.dev(), inode: metadata.ino() }
    }

    /// Whether both may be one file. Only inodes are compared: a device number may change with a restart of the machine.
    #[must_use]
    pub fn may_be(self, other: FileIdentity) -> bool {
        self.inode == other.inode
    }
}
