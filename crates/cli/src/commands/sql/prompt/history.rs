//! Where the prompt keeps what was typed.

use std::env;
use std::path::PathBuf;

use ebbtide_directory::Private;

/// The file, in a directory that is the user's alone; nothing if there is no such place, and then nothing is kept.
pub(super) fn path() -> Option<PathBuf> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = set("XDG_STATE_HOME").or_else(|| Some(set("HOME")?.join(".local/state")))?;
    let directory = base.is_absolute().then(|| base.join("ebbtide"))?;
    match Private::create(&directory, None) {
        Ok((private, ..)) => Some(private.path().join("sql-history")),
        Err(error) => {
            tracing::debug!(%error, "the history of the prompt is not kept");
            None
        }
    }
}
