//! Room on the disk for a file that is written soon.

use std::fs::File;
use std::io;
use std::path::Path;

use nix::errno::Errno;

use crate::error::{Error, Result};

/// Free space that is left to others.
const SPACE_LEFT_OVER: u64 = 1024 * 1024;

/// Gives the file its size and, where the file system can, its place on the disk: what is written then cannot fail for
/// lack of room, and it costs less to write.
pub(crate) fn allocate(file: &File, size: u64) -> io::Result<()> {
    file.set_len(size)?;
    #[cfg(target_os = "linux")]
    if let (Ok(length), true) = (i64::try_from(size), size > 0) {
        use nix::fcntl::{FallocateFlags, fallocate};
        match fallocate(file, FallocateFlags::empty(), 0, length) {
            Err(Errno::EOPNOTSUPP | Errno::ENOSYS) | Ok(()) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

/// Refuses a directory that has not enough free space for a file of `size` bytes and `more` beside it.
pub(crate) fn check_space(directory: &Path, size: u64, more: u64) -> Result<()> {
    let statistics = nix::sys::statvfs::statvfs(directory)
        .map_err(|errno| Error::io("find out the free space of", directory)(errno.into()))?;
    let free = statistics.blocks_available().saturating_mul(statistics.fragment_size());
    let needed = size.saturating_add(more).saturating_add(SPACE_LEFT_OVER);
    if free < needed {
        let why = format!(
            "the restore needs {needed} bytes there and {free} are free: make room or choose another directory"
        );
        return Err(Error::refused(directory, why));
    }
    Ok(())
}
