//! A file that appears under its name when it is whole, and otherwise never was.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use ebbtide_directory::Directory;

use crate::exit::{Code, Failure};
use crate::interrupt::Unfinished;

/// A file in the making, which goes unless it is published.
#[derive(Debug)]
pub(crate) struct NewFile {
    directory: Directory,
    /// Its name for now; none once it has its own.
    temporary: Option<String>,
    file: File,
    target: PathBuf,
    force: bool,
    /// Dropped after it has its name.
    _unfinished: Unfinished,
}

/// How much of the target's name the temporary one repeats.
const NAME_CHARACTERS_MAX: usize = 40;

impl NewFile {
    /// Begins a file that becomes `target`, which must not be there, unless it is to be replaced.
    ///
    /// # Errors
    /// When it is there, or its directory is not.
    pub(crate) fn create(target: &Path, force: bool) -> Result<NewFile, Failure> {
        let failed = |error: io::Error| {
            Failure::new(Code::Failed, format!("make {}: {error}", target.display()))
        };
        let Some(name) = target.file_name() else {
            let why = format!("{} is not the name of a file", target.display());
            return Err(Failure::new(Code::Usage, why));
        };
        match target.symlink_metadata() {
            Ok(metadata) if !force || !metadata.is_file() => {
                let hint = if metadata.is_file() { ", or replace it (--force)" } else { "" };
                let why = format!("{} exists: choose another path{hint}", target.display());
                return Err(Failure::new(Code::Usage, why));
            }
            _ => {}
        }
        let directory = Directory::open(parent_of(target)).map_err(failed)?;
        let temporary = temporary_name(name).map_err(failed)?;
        let _unfinished = Unfinished::begin(&directory.at(&temporary));
        let file = directory.create(&temporary).map_err(failed)?;
        let target = target.to_path_buf();
        Ok(NewFile { directory, temporary: Some(temporary), file, target, force, _unfinished })
    }

    /// The file.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Where it is for now.
    pub(crate) fn path(&self) -> PathBuf {
        self.directory.at(&self.temporary.as_deref().unwrap_or_default())
    }

    /// Makes it durable, and gives it its name.
    ///
    /// # Errors
    /// When something has appeared there meanwhile.
    pub(crate) fn publish(mut self) -> Result<(), Failure> {
        let published = self.name();
        published.map_err(|error| {
            let why = format!("give {} its name: {error}", self.target.display());
            Failure::new(Code::Failed, why)
        })
    }

    fn name(&mut self) -> io::Result<()> {
        self.file.sync_all()?;
        let Some(temporary) = self.temporary.clone() else { return Ok(()) };
        let name = self.target.file_name().unwrap_or_default();
        match name.to_str().filter(|_| self.force) {
            Some(name) => self.directory.replace(&self.file, &temporary, name)?,
            None => self.directory.name(&self.file, &temporary, name)?,
        }
        self.temporary = None;
        self.directory.sync()
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        let Some(name) = self.temporary.take() else { return };
        if let Err(error) = self.directory.remove(&name) {
            tracing::warn!(%name, %error, "could not remove an unfinished file");
        }
    }
}

/// The directory of a path.
pub(crate) fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// A name that is free, which says what it becomes.
pub(crate) fn temporary_name(name: &OsStr) -> io::Result<String> {
    let random = getrandom::u64().map_err(io::Error::other)?;
    let name: String = name.to_string_lossy().chars().take(NAME_CHARACTERS_MAX).collect();
    Ok(format!(".{name}.ebbtide-new-{random:016x}"))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(directory).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_file_appears_when_it_is_whole() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("out.sql");
        let dropped = NewFile::create(&target, false).unwrap();
        dropped.file().write_all(b"half").unwrap();
        assert!(!target.exists() && names(directory.path()).len() == 1);
        drop(dropped);
        assert!(names(directory.path()).is_empty());
        for (text, force) in [("first", false), ("second", true)] {
            let file = NewFile::create(&target, force).unwrap();
            file.file().write_all(text.as_bytes()).unwrap();
            file.publish().unwrap();
            assert_eq!(std::fs::read_to_string(&target).unwrap(), text);
        }
        assert!(NewFile::create(&target, false).is_err(), "it is there");
        let raced = directory.path().join("raced");
        let file = NewFile::create(&raced, false).unwrap();
        std::fs::write(&raced, "somebody else's").unwrap();
        assert!(file.publish().is_err());
        assert_eq!(std::fs::read_to_string(&raced).unwrap(), "somebody else's");
        assert_eq!(names(directory.path()).len(), 2);
    }
}
