//! A directory that appears under its name when all its files are whole, and otherwise never was.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use ebbtide_directory::Directory;

use crate::exit::{Code, Failure};
use crate::interrupt::Unfinished;
use crate::new_file::{parent_of, temporary_name};

/// A directory in the making, which goes unless it is published.
#[derive(Debug)]
pub(crate) struct NewDirectory {
    parent: Directory,
    /// Its name for now; none once it has its own.
    temporary: Option<String>,
    directory: Directory,
    target: PathBuf,
    /// Dropped after it has its name.
    _unfinished: Unfinished,
}

impl NewDirectory {
    /// Begins a directory that becomes `target`, which must not be there, or be empty.
    ///
    /// # Errors
    /// When something is there.
    pub(crate) fn create(target: &Path) -> Result<NewDirectory, Failure> {
        let failed = |error: io::Error| {
            Failure::new(Code::Failed, format!("make the directory {}: {error}", target.display()))
        };
        let Some(name) = target.file_name() else {
            let why = format!("{} is not the name of a directory to be made", target.display());
            return Err(Failure::new(Code::Usage, why));
        };
        let is_free = match target.symlink_metadata() {
            Ok(metadata) => {
                metadata.is_dir() && fs::read_dir(target).map_err(failed)?.next().is_none()
            }
            Err(_) => true,
        };
        if !is_free {
            let why = format!(
                "{} exists: name a directory that is not there, or is empty",
                target.display()
            );
            return Err(Failure::new(Code::Usage, why));
        }
        let parent = Directory::open(parent_of(target)).map_err(failed)?;
        let temporary = temporary_name(name).map_err(failed)?;
        let _unfinished = Unfinished::begin(&parent.at(&temporary));
        parent.make(&temporary).map_err(failed)?;
        let directory = parent.within(&temporary).map_err(failed)?;
        let target = target.to_path_buf();
        Ok(NewDirectory { parent, temporary: Some(temporary), directory, target, _unfinished })
    }

    /// A new file in it. A name that would lead elsewhere is refused.
    ///
    /// # Errors
    /// When the name is none of a file's.
    pub(crate) fn file(&self, name: &str) -> Result<File, Failure> {
        if name.contains(['/', '\0']) || name.starts_with('.') {
            let why = format!(
                "{name:?} is not the name of a file: take that table by itself (--table, --output FILE)"
            );
            return Err(Failure::new(Code::Usage, why));
        }
        let failed = |error| Failure::new(Code::Failed, format!("make the file {name}: {error}"));
        self.directory.create(name).map_err(failed)
    }

    /// Gives it its name.
    ///
    /// # Errors
    /// When something has appeared there meanwhile.
    pub(crate) fn publish(mut self) -> Result<(), Failure> {
        let failed = |target: &Path, error: io::Error| {
            Failure::new(Code::Failed, format!("give {} its name: {error}", target.display()))
        };
        let Some(temporary) = self.temporary.clone() else { return Ok(()) };
        self.directory.sync().map_err(|error| failed(&self.target, error))?;
        // In place of an empty directory, and of nothing else.
        fs::rename(self.parent.at(&temporary), &self.target)
            .map_err(|error| failed(&self.target, error))?;
        self.temporary = None;
        self.parent.sync().map_err(|error| failed(&self.target, error))
    }
}

impl Drop for NewDirectory {
    fn drop(&mut self) {
        let Some(name) = self.temporary.take() else { return };
        let path = self.parent.at(&name);
        if let Err(error) = fs::remove_dir_all(&path) {
            tracing::warn!(path = %path.display(), %error, "could not remove an unfinished directory");
        }
    }
}
