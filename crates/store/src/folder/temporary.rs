//! An object that has no name yet.

use std::fs::File;
use std::io::{self, Write as _};

use ebbtide_fault::point;

use super::super::error::{ErrorKind, StoreError};
use super::root::{Root, fail};
use ebbtide_directory::{Directory, is_unsupported};

/// How the names of temporary files begin. No key begins so.
pub(super) const TEMPORARY: &str = ".tmp-";

/// A new file in a folder, locked where there are locks, which only its owner can read. It is removed unless it gets its name.
#[derive(Debug)]
pub(super) struct Temporary {
    directory: Directory,
    file: File,
    /// Until it has its own.
    name: Option<String>,
    bytes: u64,
}

impl Temporary {
    pub(super) fn new(root: &Root, folder: &str, what: &str) -> Result<Temporary, StoreError> {
        let directory = root.folder_to_put(folder, what)?;
        let failed = |error| fail(what, directory.path(), error);
        let random = getrandom::u64().map_err(|error| failed(io::Error::other(error)))?;
        let name = format!("{TEMPORARY}{random:016x}");
        let file = directory.create(&name).map_err(failed)?;
        let locked = file.lock();
        let temporary = Temporary { directory, file, name: Some(name), bytes: 0 };
        match locked {
            Ok(()) => Ok(temporary),
            // Without locks it is never taken for abandoned.
            Err(error) if is_unsupported(&error) => Ok(temporary),
            Err(error) => Err(fail(what, temporary.directory.path(), error)),
        }
    }

    pub(super) fn write(&mut self, bytes: &[u8], what: &str) -> Result<(), StoreError> {
        let written = self.file.write_all(bytes);
        written.map_err(|error| fail(what, self.directory.path(), error))?;
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    /// Gives the file its name, unless it is taken; how many bytes it has.
    pub(super) fn publish(mut self, name: &str, what: &str) -> Result<u64, StoreError> {
        let path = self.directory.at(&name);
        let failed = |error| fail(what, &path, error);
        let temporary = self.name.take().unwrap_or_default();
        let named = self.name_durably(&temporary, name);
        if let Err(error) = named {
            self.name = Some(temporary);
            return Err(match error.kind() {
                io::ErrorKind::AlreadyExists => {
                    StoreError::new(ErrorKind::Exists, what, "the name is taken")
                }
                _ => failed(error),
            });
        }
        point("folder.put.named");
        self.directory.sync().map_err(failed)?;
        Ok(self.bytes)
    }

    fn name_durably(&self, temporary: &str, name: &str) -> io::Result<()> {
        point("folder.put.written");
        self.file.sync_all()?;
        point("folder.put.synced");
        self.directory.name(&self.file, temporary, name)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let Some(name) = self.name.take() else { return };
        if let Err(error) = self.directory.remove(&name) {
            let folder = self.directory.path().display();
            tracing::debug!(%error, %folder, name, "cannot remove an unfinished file");
        }
    }
}
