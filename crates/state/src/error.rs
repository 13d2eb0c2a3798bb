//! The errors of the local state.

use std::io;
use std::path::{Path, PathBuf};

use ebbtide_directory::Refused;

/// An error of the local state. The replica is not affected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// Another process uses the directory.
    #[error("{} is in use by {}", .directory.display(), holder(*.process))]
    Busy {
        /// The directory.
        directory: PathBuf,
        /// The process id in the lock file.
        process: Option<u32>,
    },
    /// A later version of ebbtide wrote the directory.
    #[error("{} was written by a newer ebbtide (version {version} of the local state): use that one", .file.display())]
    Newer {
        /// The file with the later version.
        file: PathBuf,
        /// The version in it.
        version: u32,
    },
    /// [`State::publish`](crate::State::publish): the hashes do not add up to the digest of the position.
    #[error("the page hashes in {} do not add up to the position's digest", .directory.display())]
    Unproven {
        /// The directory.
        directory: PathBuf,
    },
    /// An earlier write failed, so memory and files may differ until the state is opened again.
    #[error("an earlier write to {} failed: open it again", .directory.display())]
    Broken {
        /// The directory.
        directory: PathBuf,
    },
    /// An argument that a record cannot hold.
    #[error("{0}")]
    Invalid(&'static str),
    /// Another user may have created or could change the directory.
    #[error("the local state is not used: {0}")]
    Refused(Refused),
    /// A system call failed.
    #[error("{what} {}", .path.display())]
    Io {
        /// The attempted operation.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
}

/// Adds operation and path to an error of the operating system.
pub(super) fn io_error<'a>(
    what: &'static str,
    path: &'a Path,
) -> impl FnOnce(io::Error) -> StateError + 'a {
    move |source| match Refused::of(&source) {
        Some(refused) => StateError::Refused(refused.clone()),
        None => StateError::Io { what, path: path.to_path_buf(), source },
    }
}

fn holder(process: Option<u32>) -> String {
    match process {
        Some(process) if process == std::process::id() => {
            // The same process id may also come from another container.
            format!(
                "another process ({process}), or by this one for another database: each database needs a local state \
                 of its own"
            )
        }
        Some(process) => format!("another process ({process})"),
        None => "another process".to_owned(),
    }
}
