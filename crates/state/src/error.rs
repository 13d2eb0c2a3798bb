//! What can go wrong with the local state.

use std::io;
use std::path::{Path, PathBuf};

use ebbtide_directory::Refused;

/// An error of the local state. None of them says anything about the replica.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// Another process uses the folder.
    #[error("{} is in use by {}", .folder.display(), holder(*.process))]
    Busy {
        /// The folder.
        folder: PathBuf,
        /// Who holds it, if that is written in its lock file.
        process: Option<u32>,
    },
    /// A later version wrote the folder.
    #[error("{} was written by a newer ebbtide (version {version} of the local state): use that one", .file.display())]
    Newer {
        /// The file that says so.
        file: PathBuf,
        /// Its version.
        version: u32,
    },
    /// The hashes that were to be published do not add up to the digest of the position.
    #[error("the page hashes in {} do not add up to the position's digest", .folder.display())]
    Unproven {
        /// The folder.
        folder: PathBuf,
    },
    /// An earlier write failed, so what the files hold is known only after they have been opened again.
    #[error("an earlier write to {} failed: open it again", .folder.display())]
    Broken {
        /// The folder.
        folder: PathBuf,
    },
    /// A value that no position can hold.
    #[error("{0}")]
    Invalid(&'static str),
    /// Somebody else may have put it there, or could change it.
    #[error("the local state is not used: {0}")]
    Refused(Refused),
    /// The file system.
    #[error("{what} {}", .path.display())]
    Io {
        /// What was attempted.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

/// Gives an error of the operating system its context.
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
            // Or the same number in another container.
            format!(
                "another process ({process}), or by this one for another database: each database needs a local state \
                 of its own"
            )
        }
        Some(process) => format!("another process ({process})"),
        None => "another process".to_owned(),
    }
}
