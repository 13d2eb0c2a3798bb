//! The three files of a database: their paths, and their device and inode numbers.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, FileTypeExt as _, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use ebbtide_wal::{DatabaseHeader, companion};
use nix::fcntl::OFlag;
use nix::sys::statfs;
use nix::unistd::{AccessFlags, access};

use crate::error::{Error, Moved, Refusal};

/// The paths of a database, its log and its wal-index.
#[derive(Debug, Clone)]
pub(crate) struct Paths {
    /// The path that the user gave. It may name another file later.
    pub(crate) given: PathBuf,
    pub(crate) database: PathBuf,
    pub(crate) wal: PathBuf,
    pub(crate) shm: PathBuf,
    /// The rollback journal, which a database with a log has none of.
    journal: PathBuf,
}

impl Paths {
    /// Links are resolved as SQLite resolves them (`unixFullPathname`): the log lies beside the file, not beside a
    /// link.
    pub(crate) fn of(given: &Path) -> Paths {
        let resolved = std::fs::canonicalize(given).ok();
        let database = resolved.as_deref().unwrap_or(given);
        let beside = |suffix| companion::path(database, suffix);
        let wal = beside(companion::WAL);
        let (shm, journal) = (beside(companion::SHM), beside(companion::JOURNAL));
        Paths { given: given.to_owned(), database: database.to_owned(), wal, shm, journal }
    }

    /// Their directory.
    fn directory(&self) -> &Path {
        let parent = self.database.parent().filter(|parent| !parent.as_os_str().is_empty());
        parent.unwrap_or(Path::new("."))
    }

    /// Those of the database, its log and its wal-index that are there and that this process may not read and write.
    pub(crate) fn forbidden(&self) -> Vec<PathBuf> {
        let all = [&self.database, &self.wal, &self.shm].into_iter().filter(|path| path.exists());
        let may_not =
            |path: &&PathBuf| access(*path, AccessFlags::R_OK | AccessFlags::W_OK).is_err();
        all.filter(may_not).cloned().collect()
    }

    /// The directory, if the log or the wal-index is missing and this process may not create files there.
    pub(crate) fn unwritable_directory(&self) -> Option<PathBuf> {
        let complete = self.wal.exists() && self.shm.exists();
        let may_make = || access(self.directory(), AccessFlags::W_OK | AccessFlags::X_OK).is_ok();
        (!complete && !may_make()).then(|| self.directory().to_owned())
    }

    pub(crate) fn refuse(&self, refusal: Refusal) -> Error {
        Error::Refused { path: self.given.clone(), refusal }
    }

    /// An error of SQLite about the database. `doing` is a verb.
    pub(crate) fn sqlite(&self, doing: &'static str) -> impl FnOnce(rusqlite::Error) -> Error {
        let path = self.database.clone();
        move |source| Error::Sqlite { doing, path, source }
    }
}

/// The device and inode of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    pub(crate) fn of(file: &File) -> io::Result<Identity> {
        let metadata = file.metadata()?;
        Ok(Identity { device: metadata.dev(), inode: metadata.ino() })
    }

    pub(crate) fn at(path: &Path) -> io::Result<Identity> {
        let metadata = std::fs::metadata(path)?;
        Ok(Identity { device: metadata.dev(), inode: metadata.ino() })
    }

    /// The device and the inode.
    pub(crate) fn numbers(self) -> (u64, u64) {
        (self.device, self.inode)
    }

    /// Checks that the file at `path` is still this one.
    pub(crate) fn check(self, path: &Path) -> Result<(), Error> {
        self.check_found(Identity::at(path), path)
    }

    /// Checks that `file`, which was opened at `path`, is this one.
    pub(crate) fn check_is(self, file: &File, path: &Path) -> Result<(), Error> {
        self.check_found(Identity::of(file), path)
    }

    fn check_found(self, found: io::Result<Identity>, path: &Path) -> Result<(), Error> {
        let moved = |moved| Err(Error::Moved { path: path.to_owned(), moved });
        match found {
            Ok(now) if now == self => Ok(()),
            Ok(_) => moved(Moved::Replaced),
            Err(error) if error.kind() == io::ErrorKind::NotFound => moved(Moved::Deleted),
            Err(source) => Err(Error::Io { doing: "look at", path: path.to_owned(), source }),
        }
    }
}

/// Reads the database's header. Must be called before a connection of ours is open: closing the file descriptor
/// afterwards would drop that connection's locks.
pub(crate) fn read_header(paths: &Paths) -> Result<DatabaseHeader, Error> {
    header_of(&open_database(paths)?, paths)
}

/// Opens the database's file for reading. As for [`read_header`].
pub(crate) fn open_database(paths: &Paths) -> Result<File, Error> {
    let path = &paths.database;
    check_kinds(paths)?;
    let mut options = OpenOptions::new();
    options.read(true).custom_flags((OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits());
    match options.open(path) {
        Ok(file) => Ok(file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(paths.refuse(Refusal::Missing))
        }
        Err(source) => Err(Error::Io { doing: "open", path: path.clone(), source }),
    }
}

/// The header of a database's file.
pub(crate) fn header_of(file: &File, paths: &Paths) -> Result<DatabaseHeader, Error> {
    let io = |source| Error::Io { doing: "read", path: paths.database.clone(), source };
    let mut bytes = [0; 100];
    let read = read_up_to(file, &mut bytes, 0).map_err(io)?;
    DatabaseHeader::parse(&bytes[..read])
        .map_err(|reason| paths.refuse(Refusal::Unfollowable(reason)))
}

/// Refuses a path that names no regular file before SQLite opens it: opening a pipe blocks until another process
/// writes.
fn check_kinds(paths: &Paths) -> Result<(), Error> {
    // SQLite opens a rollback journal to see whether it is hot, and would wait for a pipe's other end for ever.
    let others =
        [&paths.wal, &paths.shm, &paths.journal].map(|path| (path, path.symlink_metadata()));
    let all = others.into_iter().chain([(&paths.database, paths.database.metadata())]);
    for (path, metadata) in all {
        let Some(kind) = metadata.ok().map(|metadata| metadata.file_type()) else { continue };
        let kind = match () {
            () if kind.is_file() => continue,
            () if kind.is_dir() => "a directory",
            () if kind.is_symlink() => "a symbolic link",
            () if kind.is_fifo() => "a pipe",
            () if kind.is_socket() => "a socket",
            () => "a device",
        };
        return Err(paths.refuse(Refusal::Kind(path.clone(), kind)));
    }
    Ok(())
}

/// On what a database lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileSystem {
    /// A disk, or what passes for one.
    Disk,
    /// The layer of a container: it goes with the container, unless it is a volume.
    Overlay,
    /// Memory: it goes with the machine.
    Memory,
}

/// Refuses file systems on which shared memory or byte-range locks do not work between all processes.
pub(crate) fn check_file_system(paths: &Paths) -> Result<FileSystem, Error> {
    // From linux/magic.h and the file systems' own sources; nix names only some of them.
    const NETWORK: [(i64, &str); 9] = [
        (0x6969, "NFS"),
        (0x517b, "SMB"),
        (0xff53_4d42, "CIFS"),
        (0xfe53_4d42, "SMB2"),
        (0x0102_1997, "9p"),
        (0x00c3_6400, "Ceph"),
        (0x5346_414f, "AFS"),
        (0x0bd0_0bd0, "Lustre"),
        (0x6573_5546, "FUSE or virtiofs"),
    ];
    let statfs = match statfs::statfs(paths.directory()) {
        Ok(statfs) => statfs,
        Err(nix::Error::ENOENT) => return Err(paths.refuse(Refusal::Missing)),
        Err(errno) => {
            let path = paths.database.clone();
            return Err(Error::Io { doing: "find the file system of", path, source: errno.into() });
        }
    };
    let kind = statfs.filesystem_type().0;
    match NETWORK.iter().find(|&&(magic, _)| magic == kind) {
        Some(&(_, name)) => Err(paths.refuse(Refusal::NetworkFileSystem(name))),
        None => Ok(match kind {
            0x794c_7630 => FileSystem::Overlay,
            0x0102_1994 | 0x8584_58f6 => FileSystem::Memory,
            _ => FileSystem::Disk,
        }),
    }
}

/// Opens the log for reading. SQLite takes no locks on the log, so this file descriptor may be closed at any time.
pub(crate) fn open_wal(paths: &Paths) -> Result<File, Error> {
    OpenOptions::new()
        .read(true)
        .custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits())
        .open(&paths.wal)
        .map_err(|source| Error::Io { doing: "open", path: paths.wal.clone(), source })
}

/// Reads at `offset` until `bytes` is full or the file ends. Returns the number of bytes read.
pub(crate) fn read_up_to(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
