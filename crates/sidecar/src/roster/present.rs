//! The databases that a pattern names just now, for whoever looks at them without following any.

use std::io;
use std::path::{Path, PathBuf};

use ebbtide_config::{Database, Pattern};
use ebbtide_directory::read_start;
use ebbtide_wal::companion;

use super::content::{Content, START_BYTES, content};
use super::walk::{Walked, walk};

/// What there is of a pattern.
#[derive(Debug, Default)]
pub struct PresentDatabases {
    /// What holds for each database, or why nothing can.
    pub databases: Vec<Result<Database, String>>,
    /// Directories that cannot be read, and why.
    pub unreadable: Vec<(PathBuf, io::Error)>,
}

/// Looks for the databases that a pattern names. To be called by no process that follows one of them.
#[must_use]
pub fn present(pattern: &Pattern) -> PresentDatabases {
    let mut walked = Walked::default();
    walk(pattern, pattern.root(), &mut walked, &|_| {});
    let mut found: Vec<PathBuf> = walked.files.into_iter().map(|file| file.path).collect();
    found.retain(|path| is_database(path));
    found.sort();
    let databases = found.iter().map(|path| pattern.database(path)).collect();
    PresentDatabases { databases, unreadable: walked.unreadable }
}

fn is_database(path: &Path) -> bool {
    let has_log =
        || companion::path(path, companion::WAL).metadata().is_ok_and(|log| log.len() > 0);
    match read_start(path, START_BYTES, |_| true) {
        Ok(Some((start, metadata))) => {
            let content = content(&start, metadata.len(), has_log());
            matches!(content, Content::Wal | Content::Journal)
        }
        Ok(None) => false,
        // Whoever may not read it has to be told.
        Err(error) => error.kind() == io::ErrorKind::PermissionDenied,
    }
}
