//! What is not used although it is there.

use std::fs::FileType;
use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

/// Something that somebody else may have put there, or could change. It is neither followed nor removed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} {why}", .path.display())]
pub struct Refused {
    /// Where it is.
    pub path: PathBuf,
    /// What is wrong with it, and what to do about it.
    pub why: String,
}

impl Refused {
    pub(super) fn error(path: &Path, why: impl Into<String>) -> io::Error {
        let refused = Refused { path: path.to_path_buf(), why: why.into() };
        io::Error::new(io::ErrorKind::InvalidData, refused)
    }

    /// The refusal in an error of this module, if it is one.
    #[must_use]
    pub fn of(error: &io::Error) -> Option<&Refused> {
        error.get_ref()?.downcast_ref()
    }
}

/// In words.
#[must_use]
pub fn kind_of(kind: FileType) -> &'static str {
    if kind.is_file() {
        "a file"
    } else if kind.is_dir() {
        "a directory"
    } else if kind.is_symlink() {
        "a symbolic link"
    } else if kind.is_fifo() {
        "a pipe"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}
