//! A walk through the directories of a pattern.

use std::fs::{self, DirEntry};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use ebbtide_config::Pattern;
use ebbtide_wal::companion;

/// So many names are looked at in one walk. What comes after them is not followed, and that is told.
pub(super) const NAMES_MAX: usize = 4_000_000;

/// A file that a pattern may name.
#[derive(Debug)]
pub(super) struct FoundFile {
    pub(super) path: PathBuf,
    pub(super) directory_device: u64,
}

/// What a walk has found.
#[derive(Debug, Default)]
pub(super) struct Walked {
    pub(super) files: Vec<FoundFile>,
    /// Directories that cannot be read, and why.
    pub(super) unreadable: Vec<(PathBuf, io::Error)>,
    pub(super) names: usize,
}

/// Whether a name may be that of a database: SQLite takes files with some endings for parts of others.
pub(super) fn may_be_database(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    !companion::SUFFIXES.iter().any(|suffix| name.ends_with(suffix.as_bytes()))
}

/// Walks through the directory `from`, which is the root of a pattern or lies below it. `entered` is called with each
/// directory before its names are read, so that nothing gets lost between that and its first event.
pub(super) fn walk(pattern: &Pattern, from: &Path, walked: &mut Walked, entered: &dyn Fn(&Path)) {
    let mut left = vec![from.to_owned()];
    while let Some(directory) = left.pop() {
        // What a replica in a directory has in it is no database.
        if directory.join("ebbtide.json").exists() {
            continue;
        }
        entered(&directory);
        if let Err(error) = names(pattern, &directory, walked, &mut left)
            && error.kind() != io::ErrorKind::NotFound
        {
            walked.unreadable.push((directory, error));
        }
    }
}

fn names(
    pattern: &Pattern,
    directory: &Path,
    walked: &mut Walked,
    left: &mut Vec<PathBuf>,
) -> io::Result<()> {
    let directory_device = fs::metadata(directory)?.dev();
    for entry in fs::read_dir(directory)? {
        walked.names += 1;
        if walked.names > NAMES_MAX {
            return Err(io::Error::other(format!("there are more than {NAMES_MAX} names")));
        }
        let entry = entry?;
        let path = entry.path();
        if is_directory(&entry) {
            if pattern.enters(&path) {
                left.push(path);
            }
        } else if pattern.names(&path) && may_be_database(&path) {
            walked.files.push(FoundFile { path, directory_device });
        }
    }
    Ok(())
}

/// A link to a directory is none: it may lead back to where it is.
fn is_directory(entry: &DirEntry) -> bool {
    entry.file_type().is_ok_and(|kind| kind.is_dir())
}
