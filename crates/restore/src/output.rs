//! The file that comes out: written beside its place under another name, and given its name only when it is proved.
//!
//! What a crash or a kill leaves, in the order of steps:
//! 1. before the existing files are moved aside: the temporary file, which the next restore removes;
//! 2. after the database was moved aside, before its companions were: the same, and the companions in their place; no
//!    database is there that they could be mistaken for part of, and the next restore refuses them by name if they have anything in them;
//! 3. after that, before the new file has its name: everything that was there, under its new name;
//! 4. afterwards: the new database.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ebbtide_fault::point;
use ebbtide_replica::Timestamp;
use ebbtide_wal::companion;
use nix::errno::Errno;

use crate::error::{Error, Result};
use crate::likeness::Likeness;
use crate::occupied::{Existing, check};
use crate::space::{allocate, check_space};
use crate::temporary::{Temporary, remove_abandoned};

/// How much of the target's name the temporary file repeats, so that its own is not too long.
const NAME_BYTES_MAX: usize = 128;

/// A database file in the making. Dropped without [`Output::publish`], it leaves nothing behind.
#[derive(Debug)]
pub(crate) struct Output {
    target: PathBuf,
    force: bool,
    temporary: Temporary,
    file: Arc<File>,
}

impl Output {
    /// Begins a file of `size` bytes, all zeros, that becomes `target`. `more` bytes are needed beside it.
    pub(crate) fn create(target: &Path, force: bool, size: u64, more: u64) -> Result<Output> {
        check(target, force)?;
        let directory = directory_of(target);
        let prefix = temporary_prefix(target);
        remove_abandoned(&directory, &prefix)?;
        check_space(&directory, size, more)?;
        let temporary = Temporary::create(&directory, &prefix)?;
        let file = temporary.as_file();
        allocate(file, size).map_err(Error::io("make room for", temporary.path()))?;
        let file = Arc::new(file.try_clone().map_err(Error::io("open", temporary.path()))?);
        Ok(Output { target: target.to_path_buf(), force, temporary, file })
    }

    /// The file, of which any part may be written at any time.
    pub(crate) fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// Its name for now.
    pub(crate) fn path(&self) -> &Path {
        self.temporary.path()
    }

    /// Makes the file like the one in its place, if there is one, and durable, and gives it its name. What is in its place
    /// is moved aside first, if that was asked for. `now` makes the new names of that differ from each other.
    pub(crate) fn publish(self, now: Timestamp) -> Result<Published> {
        let Output { target, force, temporary, file } = self;
        point("restore.publish.proved");
        let lost = keep_likeness(&target, &file)?;
        file.sync_all().map_err(Error::io("make durable", temporary.path()))?;
        let existing = check(&target, force)?;
        point("restore.publish.synced");
        let moved = move_aside(&target, &existing, now)?;
        point("restore.publish.aside");
        let directory = temporary.publish(&target).inspect_err(|_| move_back(&moved))?;
        point("restore.publish.named");
        directory.sync().map_err(Error::io("make durable", directory.path()))?;
        Ok(Published { moved_aside: moved.into_iter().map(|(_, to)| to).collect(), lost })
    }
}

/// What became of what was in the place of the file.
#[derive(Debug)]
pub(crate) struct Published {
    /// Its new names.
    pub(crate) moved_aside: Vec<PathBuf>,
    /// What of its owner, mode and attributes could not be kept.
    pub(crate) lost: Vec<String>,
}

/// The new file belongs to whom the old one belongs to, before it can be opened under its name.
fn keep_likeness(target: &Path, file: &File) -> Result<Vec<String>> {
    match target.symlink_metadata() {
        Ok(metadata) if metadata.is_file() => {
            let likeness = Likeness::of(target, &metadata);
            likeness.give(file).map_err(Error::io("look at the new file for", target))
        }
        // What is no file is refused, and of nothing there is nothing to keep.
        _ => Ok(Vec::new()),
    }
}

/// The directory in which `target` lies.
fn directory_of(target: &Path) -> PathBuf {
    match target.parent() {
        Some(parent) if parent.as_os_str().is_empty() => PathBuf::from("."),
        Some(parent) => parent.to_path_buf(),
        None => PathBuf::from("/"),
    }
}

/// How the names of temporary files for `target` begin.
fn temporary_prefix(target: &Path) -> String {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let mut end = name.len().min(NAME_BYTES_MAX);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    format!(".{}.ebbtide-restore-", &name[..end])
}

/// Gives what exists new names; answers the old and the new ones. Nothing has moved when this fails.
fn move_aside(
    target: &Path,
    existing: &Existing,
    now: Timestamp,
) -> Result<Vec<(PathBuf, PathBuf)>> {
    let aside = aside(target, now);
    let mut moves = Vec::new();
    if existing.database {
        moves.push((target.to_path_buf(), aside.clone()));
    }
    let companions =
        companion::SUFFIXES.iter().filter(|suffix| existing.companions.contains(suffix));
    moves.extend(
        companions.map(|suffix| (companion::path(target, suffix), companion::path(&aside, suffix))),
    );
    let mut moved = Vec::new();
    for (from, to) in moves {
        match rename_to_free_name(&from, &to) {
            Ok(()) => moved.push((from, to)),
            // Whoever had it removed it meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                move_back(&moved);
                return Err(Error::io("move aside", &from)(error));
            }
        }
    }
    Ok(moved)
}

/// `NAME.before-restore-20261121T093000.000000Z`
fn aside(target: &Path, now: Timestamp) -> PathBuf {
    let time: String = now.to_string().chars().filter(|c| !matches!(c, '-' | ':')).collect();
    companion::path(target, &format!(".before-restore-{time}"))
}

fn rename_to_free_name(from: &Path, to: &Path) -> io::Result<()> {
    match fs::symlink_metadata(to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => fs::rename(from, to),
        Err(error) => Err(error),
        Ok(_) => Err(Errno::EEXIST.into()),
    }
}

fn move_back(moved: &[(PathBuf, PathBuf)]) {
    for (from, to) in moved.iter().rev() {
        if let Err(error) = rename_to_free_name(to, from) {
            tracing::error!(from = %to.display(), to = %from.display(), %error, "could not move back");
        }
    }
}
