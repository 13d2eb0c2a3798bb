//! A file of the local state that is closed while the database is idle: a process may follow thousands of databases,
//! and file descriptors are limited.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::error::{StateError, io_error};
use ebbtide_directory::{Directory, Private};

/// A file that is opened on demand, and again after [`Handle::close`]. It is the same file each time, because no other
/// process replaces files while the directory is locked.
#[derive(Debug)]
pub(super) struct Handle {
    place: Private,
    name: &'static str,
    path: PathBuf,
    file: OnceLock<File>,
}

impl Handle {
    /// Opens or creates the file `name` in `place`.
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

    /// The file, opened if it is closed.
    pub(super) fn file(&self) -> Result<&File, StateError> {
        if let Some(file) = self.file.get() {
            return Ok(file);
        }
        let open = || self.place.directory()?.write(self.name, self.place.owner());
        let file = open().map_err(io_error("open", &self.path))?;
        // If another thread has opened it meanwhile, this file descriptor is dropped.
        Ok(self.file.get_or_init(|| file))
    }

    /// Closes the file descriptor. [`Handle::file`] opens it again.
    pub(super) fn close(&mut self) {
        self.file.take();
    }
}
