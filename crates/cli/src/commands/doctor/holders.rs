//! Which processes have a database open, as far as /proc shows.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::sqlite_version::SqliteVersion;

/// A process that has the database open.
#[derive(Debug)]
pub(super) struct Holder {
    pub(super) process: u32,
    /// As the kernel knows it.
    pub(super) name: String,
    /// Its SQLite, if that can be seen.
    pub(super) sqlite: Option<SqliteVersion>,
}

/// Those that have it open, and all that run.
#[derive(Debug, Default)]
pub(super) struct Holders {
    pub(super) processes: Vec<Holder>,
    /// The names of all processes, whatever they have open.
    pub(super) all: Vec<(u32, String)>,
    /// Whether every process could be looked into.
    pub(super) is_whole: bool,
}

/// Looks into every process of this machine.
pub(super) fn holders(database: &Path) -> Holders {
    let identity = |path: &Path| {
        let metadata = fs::metadata(path).ok()?;
        Some((metadata.dev(), metadata.ino()))
    };
    let wanted = identity(database);
    let mut found = Holders { is_whole: Path::new("/proc/self/fd").is_dir(), ..Holders::default() };
    for process in processes() {
        let directory = PathBuf::from(format!("/proc/{process}"));
        let name = fs::read_to_string(directory.join("comm")).unwrap_or_default();
        let name = name.trim_end().to_owned();
        found.all.push((process, name.clone()));
        // One that has ended meanwhile has nothing open, and so has a thread of the kernel.
        let Ok(open) = fs::read_dir(directory.join("fd")) else {
            found.is_whole &= !directory.exists();
            continue;
        };
        let has_it = |path: PathBuf| wanted.is_some() && identity(&path) == wanted;
        if process != std::process::id() && open.flatten().any(|entry| has_it(entry.path())) {
            found.processes.push(Holder { process, name, sqlite: SqliteVersion::of(&directory) });
        }
    }
    found
}

fn processes() -> Vec<u32> {
    let names = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = names.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let mut numbers: Vec<u32> = numbers.collect();
    numbers.sort_unstable();
    numbers
}
