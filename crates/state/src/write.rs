//! The two ways in which files of the local state change, each in one place, so that a test can stop after any byte.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

/// Writes all bytes into a slot or a table.
pub(super) fn write_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    #[cfg(test)]
    if let Some(allowed) = super::tests::killed_after(bytes.len()) {
        file.write_all_at(&bytes[..allowed], offset)?;
        return Err(io::Error::other("killed"));
    }
    file.write_all_at(bytes, offset)
}

/// Truncates or extends a slot or a table.
pub(super) fn set_length(file: &File, length: u64) -> io::Result<()> {
    #[cfg(test)]
    if super::tests::killed_after(1).is_some() {
        return Err(io::Error::other("killed"));
    }
    file.set_len(length)
}
