//! Where the prompt keeps what was typed.

use std::path::PathBuf;

use crate::user_directory;

/// The file, in a directory that is the user's alone; nothing if there is no such place, and then nothing is kept.
pub(super) fn path() -> Option<PathBuf> {
    let private = user_directory::private(user_directory::state())?;
    Some(private.path().join("sql-history"))
}
