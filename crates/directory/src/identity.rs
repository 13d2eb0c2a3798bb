//! Which directory or file it is, whatever its name.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::time::SystemTime;

/// The device, the number on it and, where the file system tells, the time of its making: numbers are used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    device: u64,
    inode: u64,
    made: Option<SystemTime>,
}

impl Identity {
    /// That of what has this metadata.
    #[must_use]
    pub fn of(metadata: &Metadata) -> Identity {
        Identity { device: metadata.dev(), inode: metadata.ino(), made: metadata.created().ok() }
    }
}
