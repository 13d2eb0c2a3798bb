//! A file of the local state that is open while it is in use: a thousand databases that nobody writes should not hold
//! thousands of descriptors.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::error::{StateError, io_error};
use ebbtide_directory::{Directory, Private};

/// A file that is opened when it is first needed, and again after it was [closed](Handle::close). Its name is ours alone
/// as long as the folder is locked, so it is the same file each time.
#[derive(Debug)]
pub(super) struct Handle {
    place: Private,
    name: &'static str,
    path: PathBuf,
    file: OnceLock<File>,
}

impl Handle {
    /// The file of this name in `place`, which is created if it is missing.
    pub(super) fn open(
        place: &Private,
        directory: &Directory,
        name: &'static str,
    ) -> Result<Handle, StateError> {
        let path = place.path().join(name);
        let file = directory.write(name, place.owner()).map_err(io_error("open", &path))?;
        Ok(Handle { place: place.clone(), name, path, file: OnceLock::from(file) })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The open file.
    pub(super) fn file(&self) -> Result<&File, StateError> {
        if let Some(file) = self.file.get() {
            return Ok(file);
        }
        let open = || self.place.directory()?.write(self.name, self.place.owner());
        let file = open().map_err(io_error("open", &self.path))?;
        // Another thread may have been faster; both are the same file.
        Ok(self.file.get_or_init(|| file))
    }

    /// Closes it until it is needed again.
    pub(super) fn close(&mut self) {
        self.file.take();
    }
}
