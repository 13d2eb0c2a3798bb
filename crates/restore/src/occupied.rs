//! What may be in the place of the target, and what may not.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use ebbtide_directory::kind_of;
use ebbtide_wal::{companion, lock};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;

use crate::error::{Error, Result};

/// What is in the place of the target, all of which may be moved aside.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Existing {
    /// A database.
    pub(crate) database: bool,
    /// Suffixes of files beside it.
    pub(crate) companions: Vec<&'static str>,
}

/// Refuses what must not be replaced, and without `force` everything that is there.
///
/// The locks of other processes are asked for through files that are opened and closed again. By POSIX that drops all
/// locks that this process itself holds on them, so a process that has the target open with SQLite must not call this.
pub(crate) fn check(target: &Path, force: bool) -> Result<Existing> {
    if target.file_name().is_none() {
        return Err(Error::refused(
            target,
            "this is not the name of a file: name the database to create",
        ));
    }
    if let Some(database) = companion_of(target) {
        let why = format!(
            "SQLite would take it for a part of {}: choose another path",
            database.display()
        );
        return Err(Error::refused(target, why));
    }
    let mut existing = Existing::default();
    if let Some(metadata) = look_at(target)? {
        if !metadata.is_file() {
            let kind = kind_of(metadata.file_type());
            return Err(Error::refused(
                target,
                format!("there is {kind} there: choose another path"),
            ));
        }
        refuse_open(target, target, lock::DATABASE)?;
        existing.database = true;
    }
    let mut filled = None;
    for suffix in companion::SUFFIXES {
        let path = companion::path(target, suffix);
        let Some(metadata) = look_at(&path)? else { continue };
        if !is_hollow(suffix, &metadata) {
            filled = filled.or(Some(suffix));
        }
        if suffix == companion::SHM && metadata.is_file() {
            refuse_open(target, &path, lock::WAL_INDEX)?;
        }
        existing.companions.push(suffix);
    }
    if existing.database && !force {
        let why =
            "it exists: choose another path, or force the restore (--force), which moves it aside";
        return Err(Error::refused(target, why));
    }
    if let (Some(suffix), false) = (filled, force) {
        let why = "it was left behind by a database that had this name, and SQLite would take it for part of the \
                   restored one: remove it, or force the restore (--force), which moves it aside";
        return Err(Error::refused(&companion::path(target, suffix), why));
    }
    Ok(existing)
}

/// Whether a file beside a database has nothing that SQLite could take for part of another one: then it is moved aside without
/// being asked. A wal-index is made again of the log by whoever opens the database first.
fn is_hollow(suffix: &str, metadata: &Metadata) -> bool {
    metadata.is_file() && (metadata.len() == 0 || suffix == companion::SHM)
}

/// The database that is there, if the target has the name of what SQLite keeps beside it.
fn companion_of(target: &Path) -> Option<PathBuf> {
    let name = target.file_name()?.to_str()?;
    let database = companion::SUFFIXES.iter().find_map(|suffix| name.strip_suffix(suffix))?;
    let database = target.with_file_name(database);
    database.is_file().then_some(database)
}

/// What is at `path`, itself and not what it may point to.
fn look_at(path: &Path) -> Result<Option<Metadata>> {
    match path.symlink_metadata() {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
            match directory {
                Some(directory) if !directory.is_dir() => {
                    Err(Error::refused(directory, "there is no such directory: create it first"))
                }
                _ => Ok(None),
            }
        }
        Err(error) => Err(Error::io("look at", path)(error)),
    }
}

/// Refuses a file on which another process holds one of SQLite's locks.
fn refuse_open(target: &Path, path: &Path, locks: Range<u64>) -> Result<()> {
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC).bits())
        .open(path);
    let file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::io("open", path)(error)),
    };
    match holder(&file, &locks).map_err(Error::io("find out who uses", path))? {
        Some(process) => {
            // Of a lock that belongs to an open file, as some of ours do, the kernel names no process.
            let who = match process {
                1.. => format!("process {process}"),
                _ => "a process (such as a running `ebbtide replicate`)".to_owned(),
            };
            let why = format!("{who} has it open: stop that first");
            Err(Error::refused(target, why))
        }
        None => Ok(()),
    }
}

/// A process that holds a lock somewhere in these bytes of the file.
#[allow(
    clippy::cast_possible_truncation,
    reason = "the constants fit, and their type differs from system to system"
)]
fn holder(file: &File, bytes: &Range<u64>) -> io::Result<Option<i32>> {
    let offset = |at: u64| i64::try_from(at).expect("SQLite's lock bytes are below 2^31");
    let mut lock = libc::flock {
        l_type: libc::F_WRLCK as _,
        l_whence: libc::SEEK_SET as _,
        l_start: offset(bytes.start),
        l_len: offset(bytes.end - bytes.start),
        l_pid: 0,
    };
    fcntl(file, FcntlArg::F_GETLK(&mut lock))?;
    Ok((i32::from(lock.l_type) != libc::F_UNLCK).then_some(lock.l_pid))
}
