//! A file of the local state that is open while it is in use: a thousand databases that nobody writes should not hold
//! thousands of descriptors.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::error::StateError;
use super::folder::open_file;

/// A file that is opened when it is first needed, and again after it was [closed](Handle::close). Its name is ours alone
/// as long as the folder is locked, so it is the same file each time.
#[derive(Debug)]
pub(super) struct Handle {
    path: PathBuf,
    file: OnceLock<File>,
}

impl Handle {
    /// The file at `path`, which is created if it is missing.
    pub(super) fn open(path: &Path) -> Result<Handle, StateError> {
        let file = OnceLock::from(open_file(path)?);
        Ok(Handle { path: path.to_path_buf(), file })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The open file.
    pub(super) fn file(&self) -> Result<&File, StateError> {
        if let Some(file) = self.file.get() {
            return Ok(file);
        }
        let file = open_file(&self.path)?;
        // Another thread may have been faster; both are the same file.
        Ok(self.file.get_or_init(|| file))
    }

    /// Closes it until it is needed again.
    pub(super) fn close(&mut self) {
        self.file.take();
    }
}
