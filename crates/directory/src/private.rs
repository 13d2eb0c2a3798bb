//! A directory of our own: nobody else can change what is in it.

use std::fs::{DirBuilder, File, Metadata, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use nix::unistd::Uid;

use super::identity::Identity;
use super::open::Directory;
use super::refused::Refused;

/// Those who may write besides the owner.
const OTHERS_WRITE: u32 = 0o022;
/// The group may write, and what is made belongs to it: what Kubernetes makes of a volume with an `fsGroup`.
const GROUP_VOLUME: u32 = 0o2020;

/// A private directory, which is found again without being kept open.
#[derive(Debug, Clone)]
pub struct Private {
    path: PathBuf,
    identity: Identity,
    owner: u32,
}

impl Private {
    /// Opens the directory at `path`, if there is one. It belongs to the effective user; that of root may belong to
    /// `other` instead, whose database it serves.
    ///
    /// # Errors
    /// A [`Refused`] when it is a link, another user's, or others may write it.
    pub fn open(path: &Path, other: Option<u32>) -> io::Result<Option<(Private, Directory)>> {
        match Directory::open_real(path) {
            Ok(directory) => Private::of(directory, other).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The same for a directory within a private one.
    ///
    /// # Errors
    /// As [`Private::open`].
    pub fn within(&self, name: &str) -> io::Result<Option<(Private, Directory)>> {
        match self.directory()?.within(name) {
            Ok(directory) => Private::of(directory, Some(self.owner)).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn of(directory: Directory, other: Option<u32>) -> io::Result<(Private, Directory)> {
        let metadata = directory.file().metadata()?;
        let owner = metadata.uid();
        let effective = Uid::effective();
        let served = effective.is_root() && other == Some(owner);
        if owner != effective.as_raw() && !served {
            let why = format!(
                "belongs to user {owner}, and this process runs as user {effective}: run ebbtide as that user, or remove it"
            );
            return Err(Refused::error(directory.path(), why));
        }
        close_to_others(&directory, &metadata)?;
        let identity = Identity::of(&metadata);
        let directory = if served { directory.made_for(owner) } else { directory };
        Ok((Private { path: directory.path().to_path_buf(), identity, owner }, directory))
    }

    /// Opens the directory at `path`, or makes it; what is made above it belongs to this process's user, too. Whether
    /// it was made.
    ///
    /// # Errors
    /// As [`Private::open`].
    pub fn create(path: &Path, other: Option<u32>) -> io::Result<(Private, Directory, bool)> {
        let path: PathBuf = path.components().collect();
        if let Some((private, directory)) = Private::open(&path, other)? {
            return Ok((private, directory, false));
        }
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new("."));
        let Some(name) = path.file_name() else {
            return Err(Refused::error(&path, "is no name for a directory of ebbtide's own"));
        };
        if !parent.is_dir() {
            DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
        }
        let parent = Directory::open(parent)?;
        let made = parent.make(name)?;
        let directory = Directory::open_real(&path)?;
        if made && let Some(other) = other.filter(|_| Uid::effective().is_root()) {
            std::os::unix::fs::fchown(directory.file(), Some(other), None)?;
        }
        let (private, directory) = Private::of(directory, other)?;
        Ok((private, directory, made))
    }

    /// Opens it again.
    ///
    /// # Errors
    /// A [`Refused`] when another directory has its name by now.
    pub fn directory(&self) -> io::Result<Directory> {
        let directory = Directory::open_real(&self.path)?;
        if directory.identity()? != self.identity {
            let why = "is not the directory that it was when this process began: look who has exchanged it";
            return Err(Refused::error(&self.path, why));
        }
        let served = Uid::effective().as_raw() != self.owner;
        Ok(if served { directory.made_for(self.owner) } else { directory })
    }

    /// The first `most` bytes of a file of its owner's.
    ///
    /// # Errors
    /// When there is none, or it is another user's.
    pub fn read(&self, name: &str, most: u64) -> io::Result<Vec<u8>> {
        let file = self.directory()?.read_ours(name, self.owner)?;
        let length = usize::try_from(file.metadata()?.len().min(most)).unwrap_or_default();
        // With room for all of it, so that no copy of a secret is left behind where it grew.
        let mut bytes = Vec::with_capacity(length + 1);
        file.take(most).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Puts a file of these parts, one after the other, in the place of the one with this name, if there is one. It is
    /// written under the name `unfinished`, which nobody else may use meanwhile.
    ///
    /// # Errors
    /// When it cannot be written. Nothing of it is left then.
    pub fn replace(&self, name: &str, unfinished: &str, parts: &[&[u8]]) -> io::Result<()> {
        self.put(name, unfinished, parts, |_| Ok(()))
    }

    /// The same, durable before it has its name, and also where a kill has left something under `unfinished`.
    ///
    /// # Errors
    /// As [`Private::replace`].
    pub fn replace_durably(&self, name: &str, unfinished: &str, text: &[u8]) -> io::Result<()> {
        self.directory()?.remove(unfinished)?;
        self.put(name, unfinished, &[text], File::sync_all)
    }

    fn put(
        &self,
        name: &str,
        unfinished: &str,
        parts: &[&[u8]],
        finish: impl FnOnce(&File) -> io::Result<()>,
    ) -> io::Result<()> {
        let directory = self.directory()?;
        let mut file = directory.create(unfinished)?;
        let written = parts.iter().try_for_each(|part| file.write_all(part));
        let written = written.and_then(|()| finish(&file));
        match written.and_then(|()| directory.replace(&file, unfinished, name)) {
            Ok(()) => Ok(()),
            Err(error) => directory.remove(unfinished).and(Err(error)),
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// To whom it belongs, and what is made in it.
    #[must_use]
    pub fn owner(&self) -> u32 {
        self.owner
    }
}

/// Refuses what others may write. A group that was let in by a rule for a whole volume is shut out again instead, at
/// every start: whatever it may have put there has another owner, and is refused by itself.
fn close_to_others(directory: &Directory, metadata: &Metadata) -> io::Result<()> {
    let mode = metadata.mode() & 0o7777;
    if mode & OTHERS_WRITE == 0 {
        return Ok(());
    }
    if mode & 0o002 == 0 && mode & GROUP_VOLUME == GROUP_VOLUME {
        tracing::warn!(directory = %directory.path().display(), "the group could write it; closed to the group");
        return directory.file().set_permissions(Permissions::from_mode(mode & !OTHERS_WRITE));
    }
    let why = format!(
        "can be written by other users (mode {mode:o}): look at what is in it, then chmod 700 makes it private, or name another place with `state` in the configuration"
    );
    Err(Refused::error(directory.path(), why))
}
