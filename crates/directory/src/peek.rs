//! The beginning of a file that may be anybody's.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

/// The first bytes of the regular file at `path`, at most so many, and its metadata; nothing if it is no such file, or
/// `is_wanted` says no. Such a file is not opened at all, so that no lock of this process on it is dropped by closing it:
/// which file has the name is found out by a descriptor that takes part in no locks, and that file is opened and no other.
///
/// # Errors
/// Of the file system.
pub fn read_start(
    path: &Path,
    bytes: u64,
    is_wanted: impl FnOnce(&Metadata) -> bool,
) -> io::Result<Option<(Vec<u8>, Metadata)>> {
    let named = name_only(path)?;
    let metadata = named.metadata()?;
    if !metadata.is_file() || !is_wanted(&metadata) {
        return Ok(None);
    }
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let open = |path: &Path| OpenOptions::new().read(true).custom_flags(flags.bits()).open(path);
    let by_number = PathBuf::from(format!("/proc/self/fd/{}", named.as_raw_fd()));
    // Without /proc the name has to do.
    let file = open(&by_number).or_else(|_| open(path))?;
    let (there, opened) = (&metadata, file.metadata()?);
    if (there.dev(), there.ino()) != (opened.dev(), opened.ino()) {
        return Ok(None);
    }
    let mut start = Vec::new();
    file.take(bytes).read_to_end(&mut start)?;
    Ok(Some((start, opened)))
}

/// A descriptor that says which file has the name.
#[cfg(target_os = "linux")]
fn name_only(path: &Path) -> io::Result<File> {
    let flags = OFlag::O_PATH | OFlag::O_CLOEXEC;
    OpenOptions::new().read(true).custom_flags(flags.bits()).open(path)
}

/// The directory stands for the file where there are no such descriptors.
#[cfg(not(target_os = "linux"))]
fn name_only(path: &Path) -> io::Result<File> {
    let flags = OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    OpenOptions::new().read(true).custom_flags(flags.bits()).open(path)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn only_regular_files_that_are_wanted_are_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs::write(path("file"), "0123456789").unwrap();
        symlink(path("file"), path("link")).unwrap();
        symlink(path("nowhere"), path("dangling")).unwrap();
        nix::unistd::mkfifo(&path("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let start =
            |name: &str| read_start(&path(name), 4, |_| true).unwrap().map(|(start, _)| start);
        assert_eq!(start("file").as_deref(), Some(b"0123".as_slice()));
        assert_eq!(start("link").as_deref(), Some(b"0123".as_slice()));
        assert_eq!((start("pipe"), start(".")), (None, None), "nobody is waited for");
        assert!(read_start(&path("file"), 4, |_| false).unwrap().is_none());
        let error = read_start(&path("dangling"), 4, |_| true).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
