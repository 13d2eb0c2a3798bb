//! A directory that is open, and what can be done by names in it.

use std::ffi::OsStr;
use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, renameat};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::{Uid, UnlinkatFlags, unlinkat};
use rustix::fs::RenameFlags;

use super::entries::Entries;
use super::identity::Identity;
use super::refused::{Refused, kind_of};
use super::unsupported::is_unsupported;

const MODE_FILE: Mode = Mode::S_IRUSR.union(Mode::S_IWUSR);
const MODE_DIRECTORY: Mode = Mode::S_IRWXU;

/// A directory, open.
#[derive(Debug)]
pub struct Directory {
    file: File,
    path: PathBuf,
    /// To whom root gives what it makes here.
    heir: Option<u32>,
}

impl Directory {
    /// Opens the directory at `path`, whichever way leads there: the path is the choice of whoever gave it.
    ///
    /// # Errors
    /// Also when there is something else.
    pub fn open(path: &Path) -> io::Result<Directory> {
        Directory::open_with(path, OFlag::empty())
    }

    /// Opens the directory at `path`, which itself must be no link.
    ///
    /// # Errors
    /// A [`Refused`] when there is something else.
    pub fn open_real(path: &Path) -> io::Result<Directory> {
        // A slash at the end would have a link followed.
        let path: PathBuf = path.components().collect();
        Directory::open_with(&path, OFlag::O_NOFOLLOW)
            .map_err(|error| explain_directory(error, &path, path.symlink_metadata()))
    }

    fn open_with(path: &Path, more: OFlag) -> io::Result<Directory> {
        let flags = OFlag::O_DIRECTORY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK | more;
        let file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path)?;
        Ok(Directory { file, path: path.to_path_buf(), heir: None })
    }

    /// Opens a directory in this one, which must be no link.
    ///
    /// # Errors
    /// A [`Refused`] when there is something else.
    pub fn within(&self, name: impl AsRef<OsStr>) -> io::Result<Directory> {
        let (name, path) = (name.as_ref(), self.at(&name));
        let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        match openat(&self.file, name, flags, Mode::empty()) {
            Ok(descriptor) => Ok(Directory { file: File::from(descriptor), path, heir: self.heir }),
            Err(errno) => Err(explain_directory(errno.into(), &path, path.symlink_metadata())),
        }
    }

    /// Makes a directory in this one that only its owner may enter, durably; whether it was not there.
    ///
    /// # Errors
    /// Of the file system.
    pub fn make(&self, name: impl AsRef<OsStr>) -> io::Result<bool> {
        match mkdirat(&self.file, name.as_ref(), MODE_DIRECTORY) {
            Ok(()) => {
                self.give(&self.within(name.as_ref())?.file)?;
                self.sync().map(|()| true)
            }
            Err(Errno::EEXIST) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Opens a regular file for reading, whoever has put it there.
    ///
    /// # Errors
    /// A [`Refused`] when there is something else.
    pub fn read(&self, name: impl AsRef<OsStr>) -> io::Result<(File, Metadata)> {
        self.open_file(name.as_ref(), OFlag::O_RDONLY)
    }

    /// The same for a file with one name that is `owner`'s or the effective user's.
    ///
    /// # Errors
    /// A [`Refused`] when there is something else.
    pub fn read_ours(&self, name: impl AsRef<OsStr>, owner: u32) -> io::Result<File> {
        let (file, metadata) = self.read(name.as_ref())?;
        self.check_ours(name.as_ref(), &metadata, owner)?;
        Ok(file)
    }

    /// Opens a regular file for reading and writing, and makes it, for its owner alone, if it is missing. It has one
    /// name, so that nothing is written into a file which lies elsewhere, and is `owner`'s or that of the effective user.
    ///
    /// # Errors
    /// A [`Refused`] when there is something else.
    pub fn write(&self, name: impl AsRef<OsStr>, owner: u32) -> io::Result<File> {
        let name = name.as_ref();
        let (file, metadata) = self.open_file(name, OFlag::O_RDWR | OFlag::O_CREAT)?;
        self.check_ours(name, &metadata, owner)?;
        let effective = nix::unistd::Uid::effective().as_raw();
        if metadata.uid() == effective && effective != owner {
            std::os::unix::fs::fchown(&file, Some(owner), None)?;
        }
        Ok(file)
    }

    /// That a file in this directory has one name, and is `owner`'s or that of the effective user.
    fn check_ours(&self, name: &OsStr, metadata: &Metadata, owner: u32) -> io::Result<()> {
        let path = self.at(&name);
        if metadata.nlink() > 1 {
            let why = "has a second name (a hard link), so it may be another file of yours: look what it is, and remove it";
            return Err(Refused::error(&path, why));
        }
        let effective = nix::unistd::Uid::effective().as_raw();
        if metadata.uid() != owner && metadata.uid() != effective {
            let why = format!(
                "belongs to another user ({}): look who has put it there, and remove it",
                metadata.uid()
            );
            return Err(Refused::error(&path, why));
        }
        Ok(())
    }

    /// Makes a file under a name that is free.
    ///
    /// # Errors
    /// Of the kind [`io::ErrorKind::AlreadyExists`] when the name is taken.
    pub fn create(&self, name: impl AsRef<OsStr>) -> io::Result<File> {
        let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
        let file = File::from(openat(&self.file, name.as_ref(), flags, MODE_FILE)?);
        self.give(&file)?;
        Ok(file)
    }

    fn open_file(&self, name: &OsStr, how: OFlag) -> io::Result<(File, Metadata)> {
        let path = self.at(&name);
        // Without waiting: a pipe would have the process wait for whoever writes into it.
        let flags =
            how | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let file = match openat(&self.file, name, flags, MODE_FILE) {
            Ok(descriptor) => File::from(descriptor),
            // What a link, a socket or a pipe without a reader answers.
            Err(errno @ (Errno::ELOOP | Errno::ENXIO | Errno::EISDIR | Errno::ENODEV)) => {
                return Err(explain_file(errno.into(), &path, path.symlink_metadata()));
            }
            Err(errno) => return Err(errno.into()),
        };
        let metadata = file.metadata()?;
        match metadata.is_file() {
            true => Ok((file, metadata)),
            false => Err(no_file(&path, &metadata)),
        }
    }

    /// Removes a file; whether it was there.
    ///
    /// # Errors
    /// Of the file system.
    pub fn remove(&self, name: impl AsRef<OsStr>) -> io::Result<bool> {
        self.unlink(name.as_ref(), UnlinkatFlags::NoRemoveDir)
    }

    /// Removes a directory, which must be empty; whether it was there.
    ///
    /// # Errors
    /// Of the file system.
    pub fn remove_directory(&self, name: impl AsRef<OsStr>) -> io::Result<bool> {
        self.unlink(name.as_ref(), UnlinkatFlags::RemoveDir)
    }

    fn unlink(&self, name: &OsStr, flags: UnlinkatFlags) -> io::Result<bool> {
        match unlinkat(&self.file, name, flags) {
            Ok(()) => Ok(true),
            Err(Errno::ENOENT) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Gives `file`, whose name is `from`, the name `to` in one step, in place of what has it.
    ///
    /// # Errors
    /// A [`Refused`] when somebody has put another file under `from`.
    pub fn replace(&self, file: &File, from: &str, to: &str) -> io::Result<()> {
        renameat(&self.file, from, &self.file, to)?;
        self.check_named(file, from, to)
    }

    /// The same where nothing has that name.
    ///
    /// # Errors
    /// Also of the kind [`io::ErrorKind::AlreadyExists`] when the name is taken.
    pub fn name(
        &self,
        file: &File,
        from: impl AsRef<OsStr>,
        to: impl AsRef<OsStr>,
    ) -> io::Result<()> {
        let (from, to) = (from.as_ref(), to.as_ref());
        let here = &self.file;
        match rustix::fs::renameat_with(here, from, here, to, RenameFlags::NOREPLACE) {
            // The file system cannot, or the kernel is older.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
                nix::unistd::linkat(&self.file, from, &self.file, to, AtFlags::empty())?;
                self.remove(from)?;
            }
            renamed => renamed?,
        }
        self.check_named(file, from, to)
    }

    /// Whoever may write the directory may have exchanged the file while it had its first name.
    fn check_named(
        &self,
        file: &File,
        from: impl AsRef<OsStr>,
        to: impl AsRef<OsStr>,
    ) -> io::Result<()> {
        let flags = AtFlags::AT_SYMLINK_NOFOLLOW;
        let named = nix::sys::stat::fstatat(&self.file, to.as_ref(), flags)?;
        let written = file.metadata()?;
        if (named.st_dev, named.st_ino) == (written.dev(), written.ino()) {
            return Ok(());
        }
        renameat(&self.file, to.as_ref(), &self.file, from.as_ref())?;
        let why = "was exchanged by somebody else before it got its name: use a directory that no one else may write";
        Err(Refused::error(&self.at(&from), why))
    }

    /// The size of what has this name, itself and not what it may point to, and when it was changed last, in microseconds
    /// since the epoch; nothing if it is not there.
    ///
    /// # Errors
    /// Of the file system.
    pub fn size(&self, name: impl AsRef<OsStr>) -> io::Result<Option<(u64, i64)>> {
        match nix::sys::stat::fstatat(&self.file, name.as_ref(), AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(found) => {
                let modified = found
                    .st_mtime
                    .saturating_mul(1_000_000)
                    .saturating_add(found.st_mtime_nsec / 1000);
                Ok(Some((u64::try_from(found.st_size).unwrap_or_default(), modified)))
            }
            Err(Errno::ENOENT) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    /// All names in it.
    ///
    /// # Errors
    /// Of the file system.
    pub fn entries(&self) -> io::Result<Entries> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        Ok(Entries::new(Dir::openat(&self.file, ".", flags, Mode::empty())?))
    }

    /// Makes the names in it durable. Where the file system cannot do that by itself, they are as durable as it makes
    /// them.
    ///
    /// # Errors
    /// Of the file system.
    pub fn sync(&self) -> io::Result<()> {
        match self.file.sync_all() {
            Err(error) if is_unsupported(&error) => Ok(()),
            synced => synced,
        }
    }

    /// Which directory it is.
    ///
    /// # Errors
    /// Of the file system.
    pub fn identity(&self) -> io::Result<Identity> {
        self.file.metadata().map(|metadata| Identity::of(&metadata))
    }

    /// Where it was opened, for messages.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of a name in it, for messages.
    #[must_use]
    pub fn at(&self, name: &impl AsRef<OsStr>) -> PathBuf {
        self.path.join(name.as_ref())
    }

    /// What is made in it from now on belongs to `owner`.
    pub(super) fn made_for(self, owner: u32) -> Directory {
        Directory { heir: Some(owner), ..self }
    }

    /// What root makes in another user's directory from now on belongs to that user.
    ///
    /// # Errors
    /// Of the file system.
    pub fn for_its_owner(self) -> io::Result<Directory> {
        let owner = self.file.metadata()?.uid();
        let is_anothers = Uid::effective().is_root() && owner != 0;
        Ok(if is_anothers { self.made_for(owner) } else { self })
    }

    fn give(&self, made: &File) -> io::Result<()> {
        match self.heir {
            Some(heir) => std::os::unix::fs::fchown(made, Some(heir), None),
            None => Ok(()),
        }
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }
}

/// Opens a regular file for reading, whichever way leads there: the path is the choice of whoever gave it. Nothing is
/// waited for.
///
/// # Errors
/// A [`Refused`] when there is something else.
pub fn open_regular(path: &Path) -> io::Result<File> {
    let no_file = |metadata: &Metadata| {
        let kind = kind_of(metadata.file_type());
        Refused::error(path, format!("is {kind} and no regular file: name another one"))
    };
    let metadata = std::fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(no_file(&metadata));
    }
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path)?;
    match file.metadata()? {
        metadata if metadata.is_file() => Ok(file),
        metadata => Err(no_file(&metadata)),
    }
}

fn explain_directory(error: io::Error, path: &Path, there: io::Result<Metadata>) -> io::Error {
    match there {
        Ok(metadata) if !metadata.is_dir() => {
            let kind = kind_of(metadata.file_type());
            let why = format!(
                "is {kind}, and a directory of ebbtide's own belongs there: look who has put it there, and remove it"
            );
            Refused::error(path, why)
        }
        _ => error,
    }
}

fn explain_file(error: io::Error, path: &Path, there: io::Result<Metadata>) -> io::Error {
    match there {
        Ok(metadata) if !metadata.is_file() => no_file(path, &metadata),
        _ => error,
    }
}

fn no_file(path: &Path, metadata: &Metadata) -> io::Error {
    let kind = kind_of(metadata.file_type());
    let why = format!("is {kind} and no regular file: look who has put it there, and remove it");
    Refused::error(path, why)
}
