//! Why recipients or identities cannot be used.

use std::io;
use std::path::PathBuf;

/// What is wrong with a recipient, an identity or the file of either. No message repeats what may be secret.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// A file cannot be read.
    #[error("{}: {source}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file has something else in it.
    #[error("{}: {why}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong, by line where there are lines.
        why: String,
    },
    /// A secret key stands where a file has to be named.
    #[error("this is a secret key, and not the name of the file that has it")]
    NoFile,
    /// A recipient is none.
    #[error("{0}")]
    Recipient(String),
    /// This program was built without age.
    #[error(
        "this ebbtide was built without the feature `encryption`, so it has no {0}: build it with that feature"
    )]
    NotBuilt(&'static str),
}
