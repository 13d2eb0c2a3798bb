//! The directory beside a database that has its local state: how it is called, and who may have made it.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::Private;

/// The directory for the local state of `database`: `.NAME-ebbtide` beside it.
#[must_use]
pub fn state_directory(database: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(database.file_name().unwrap_or_default());
    name.push("-ebbtide");
    database.with_file_name(name)
}

/// Whose database the local state in `directory` serves, where its name tells.
#[must_use]
pub fn database_owner(directory: &Path) -> Option<u32> {
    let name = directory.file_name()?.to_str()?.strip_prefix('.')?.strip_suffix("-ebbtide")?;
    let metadata = directory.with_file_name(name).symlink_metadata().ok()?;
    metadata.is_file().then(|| metadata.uid())
}

/// The private directory of the local state, if there is one.
///
/// # Errors
/// With a [`Refused`](crate::Refused) inside when others may have put it there, or could change it.
pub fn open_state_directory(directory: &Path) -> io::Result<Option<Private>> {
    Ok(Private::open(directory, database_owner(directory))?.map(|(private, _)| private))
}
