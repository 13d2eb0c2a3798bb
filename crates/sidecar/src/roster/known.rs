//! What is known of a file that a pattern names.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::time::{Instant, SystemTime};

/// The device and the number of a file: the same for all its names.
pub(crate) type FileKey = (u64, u64);

pub(crate) fn key_of(metadata: &Metadata) -> FileKey {
    (metadata.dev(), metadata.ino())
}

/// Which file, and whether it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileLook {
    pub(super) key: FileKey,
    pub(super) bytes: u64,
    pub(super) modified: Option<SystemTime>,
}

impl FileLook {
    pub(super) fn of(metadata: &Metadata) -> FileLook {
        let modified = metadata.modified().ok();
        FileLook { key: key_of(metadata), bytes: metadata.len(), modified }
    }
}

/// What became of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is looked at again soon: it is not whole, or was written a moment ago.
    Pending,
    /// It is a database, and that was told.
    Told,
    /// It needs to be switched to a write-ahead log, and that was told.
    Journal,
    /// It is no database.
    Other,
    /// It cannot be read.
    Unreadable,
}

/// A file that a pattern names.
#[derive(Debug, Clone, Copy)]
pub(super) struct KnownFile {
    pub(super) look: FileLook,
    /// The device of its directory.
    pub(super) directory_device: u64,
    pub(super) standing: Standing,
    /// Since when it looks like that.
    pub(super) since: Instant,
    /// Since when it is not there.
    pub(super) missing: Option<Instant>,
    /// The number of the last walk that has found it.
    pub(super) walk: u64,
}
