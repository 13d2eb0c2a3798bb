//! Where a user's programs keep what can be made again, and what is to be remembered, as the XDG base directories have it.

use std::env;
use std::path::PathBuf;

use ebbtide_directory::Private;

/// A directory of ours for what can be made again; nothing where there is no such place.
pub(crate) fn cache(name: &str) -> Option<PathBuf> {
    below("XDG_CACHE_HOME", ".cache").map(|directory| directory.join(name))
}

/// Our directory for what is to be remembered; nothing where there is no such place.
pub(crate) fn state() -> Option<PathBuf> {
    below("XDG_STATE_HOME", ".local/state")
}

/// Makes it a directory of the user's alone, if it can be.
pub(crate) fn private(directory: Option<PathBuf>) -> Option<Private> {
    let directory = directory?;
    let created = Private::create(&directory, None);
    let created = created.inspect_err(|error| {
        tracing::debug!(%error, directory = %directory.display(), "nothing is kept there");
    });
    created.ok().map(|(private, ..)| private)
}

/// A file of ours with what can be made again: whatever is wrong with it, it is as if it were not there.
pub(crate) struct CachedFile {
    directory: Private,
    name: String,
}

impl CachedFile {
    /// The one of this name in a directory of the user's cache; nothing where there is no such place.
    pub(crate) fn of(directory: &str, name: String) -> Option<CachedFile> {
        Some(CachedFile { directory: private(cache(directory))?, name })
    }

    /// Its first `most` bytes, if there are any.
    pub(crate) fn read(&self, most: u64) -> Option<Vec<u8>> {
        self.directory.read(&self.name, most).ok()
    }

    /// Writes it in place of what was there, if that can be done.
    pub(crate) fn replace(&self, bytes: &[u8]) {
        let unfinished = format!("{}.tmp", std::process::id());
        if let Err(error) = self.directory.replace(&self.name, &unfinished, &[bytes]) {
            tracing::debug!(%error, name = self.name, "it is not kept");
        }
    }
}

fn below(variable: &str, at_home: &str) -> Option<PathBuf> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = set(variable).or_else(|| Some(set("HOME")?.join(at_home)))?;
    base.is_absolute().then(|| base.join("ebbtide"))
}
