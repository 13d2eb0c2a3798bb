//! The directory beside a database that has its local state: how it is called, and who may have made it.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::Private;

/// The directory for the local state of `database`: `.NAME-ebbtide` beside it.
#[must_use]
pub fn state_folder(database: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(database.file_name().unwrap_or_default());
    name.push("-ebbtide");
    database.with_file_name(name)
}

/// Whose database the local state in `folder` serves, where its name tells.
#[must_use]
pub fn database_owner(folder: &Path) -> Option<u32> {
    let name = folder.file_name()?.to_str()?.strip_prefix('.')?.strip_suffix("-ebbtide")?;
    let metadata = folder.with_file_name(name).symlink_metadata().ok()?;
    metadata.is_file().then(|| metadata.uid())
}

/// The private directory of the local state, if there is one.
///
/// # Errors
/// With a [`Refused`](crate::Refused) inside when others may have put it there, or could change it.
pub fn state_directory(folder: &Path) -> io::Result<Option<Private>> {
    Ok(Private::open(folder, database_owner(folder))?.map(|(private, _)| private))
}
