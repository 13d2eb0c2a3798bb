//! What a file system does not have.

use std::io;

use nix::libc;

/// Whether the file system cannot do what was asked of it, now or ever: SMB cannot make a directory durable by itself,
/// NFS without its lock daemon and some of FUSE have no locks.
#[must_use]
pub fn is_unsupported(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EINVAL | libc::ENOLCK | libc::ENOSYS | libc::ENOTTY | libc::EOPNOTSUPP)
    )
}
