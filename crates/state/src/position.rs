//! The durable position of the replica.

use ebbtide_wal::PageSize;

use ebbtide_replica::{EntryState, ReplicaId, Txid};

/// The newest entry of the replica that is known to be durable, and its position in the database's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// The replica.
    pub replica: ReplicaId,
    /// The location of the replica, without secrets. At most [`Position::LOCATION_BYTES_MAX`] bytes.
    pub location: String,
    /// The page size of the database.
    pub page_size: PageSize,
    /// The state after the entry. The table of page hashes has a row for each of its pages, and adds up to its digest.
    pub state: EntryState,
    /// The end of the entry in the log, if it was read from there.
    pub wal: Option<ebbtide_wal::Position>,
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
