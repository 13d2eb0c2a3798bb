//! The file that is restored into, until it has its name. All of it is done by the directory's descriptor, which others
//! may write as well: what they put there is neither waited for nor removed, and what they exchange is found out.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ebbtide_directory::{Directory, Refused};

use crate::error::{Error, Result};

/// A file that only its owner can read, locked as long as it is open, and removed unless it gets its name.
#[derive(Debug)]
pub(crate) struct Temporary {
    directory: Arc<Directory>,
    /// Until it has its own.
    name: Option<String>,
    path: PathBuf,
    file: File,
}

impl Temporary {
    /// A new one in `parent`, whose name begins with `prefix`.
    pub(crate) fn create(parent: &Path, prefix: &str) -> Result<Temporary> {
        let failed = |error| fail("create a file in", parent, error);
        for _ in 0..8 {
            if let Some(temporary) = attempt(parent, prefix).map_err(failed)? {
                return Ok(temporary);
            }
        }
        Err(failed(io::ErrorKind::Interrupted.into()))
    }

    pub(crate) fn as_file(&self) -> &File {
        &self.file
    }

    /// Its name for now.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Gives it the name of `target`, which is in the same directory, in one step; the directory, to make that durable.
    pub(crate) fn publish(mut self, target: &Path) -> Result<Arc<Directory>> {
        let temporary = self.name.take().unwrap_or_default();
        let name = target.file_name().unwrap_or_default();
        match self.directory.name(&self.file, &temporary, name) {
            Ok(()) => Ok(Arc::clone(&self.directory)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                self.name = Some(temporary);
                let why = "something was created there during the restore: look what it is";
                Err(Error::refused(target, why))
            }
            Err(error) => {
                // What somebody else has put in its place is theirs.
                self.name = Refused::of(&error).is_none().then_some(temporary);
                Err(fail("create", target, error))
            }
        }
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let Some(name) = self.name.take() else { return };
        if let Err(error) = self.directory.remove(&name) {
            tracing::warn!(path = %self.path.display(), %error, "could not remove an unfinished file");
        }
    }
}

fn attempt(parent: &Path, prefix: &str) -> io::Result<Option<Temporary>> {
    let directory = Arc::new(Directory::open(parent)?);
    let random = getrandom::u64().map_err(io::Error::other)?;
    let name = format!("{prefix}{random:016x}");
    let file = directory.create(&name)?;
    let path = parent.join(&name);
    let temporary = Temporary { directory, name: Some(name), path, file };
    temporary.file.lock()?;
    // Another restore may have taken it for abandoned before it was locked.
    let is_named = temporary.file.metadata()?.nlink() > 0;
    Ok(is_named.then_some(temporary))
}

/// Removes the temporary files of earlier restores to the same target that were killed.
pub(crate) fn remove_abandoned(parent: &Path, prefix: &str) -> Result<()> {
    let failed = |error| fail("list", parent, error);
    let directory = Directory::open(parent).map_err(failed)?;
    for name in directory.entries().map_err(failed)? {
        let name = name.map_err(failed)?;
        if !name.to_string_lossy().starts_with(prefix) {
            continue;
        }
        let path = parent.join(&name);
        match directory.read(&name) {
            Ok((file, _)) if file.try_lock().is_ok() => match directory.remove(&name) {
                Ok(_) => {
                    tracing::info!(path = %path.display(), "removed what an earlier restore left behind");
                }
                Err(error) => tracing::debug!(path = %path.display(), %error, "not removed"),
            },
            // It is being written.
            Ok(_) => {}
            Err(error) => tracing::debug!(path = %path.display(), %error, "left alone"),
        }
    }
    Ok(())
}

fn fail(what: &'static str, path: &Path, error: io::Error) -> Error {
    match Refused::of(&error) {
        Some(refused) => Error::refused(&refused.path, refused.why.clone()),
        None => Error::io(what, path)(error),
    }
}
