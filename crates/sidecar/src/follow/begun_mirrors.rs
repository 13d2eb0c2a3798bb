//! Which mirrors were begun, in the local state: a place that has none any more is a disk that is not mounted, or was emptied,
//! and no place to begin one again.

use std::io::{self, Read as _};
use std::path::Path;

use ebbtide_state::{StateError, open_state_directory};
use ebbtide_store::Location;

/// The file in the directory of the local state, with a line for each mirror…
const NAME: &str = "mirrors";
/// …and its name while it is written.
const NEW_NAME: &str = "mirrors.new";

/// A longer file is none of ours.
const BYTES_MAX: u64 = 1 << 20;

/// Whether a mirror was begun there; not if there is no local state.
pub(super) fn was_begun(directory: &Path, mirror: &Location) -> Result<bool, StateError> {
    let wanted = mirror.to_string();
    Ok(read(directory)?.lines().any(|line| line == wanted))
}

/// Takes note of one that has been begun.
pub(super) fn note(directory: &Path, mirror: &Location) -> Result<(), StateError> {
    if was_begun(directory, mirror)? {
        return Ok(());
    }
    let text = format!("{}{mirror}\n", read(directory)?);
    let Some(private) = open_state_directory(directory)? else { return Ok(()) };
    let written = private.replace_durably(NAME, NEW_NAME, text.as_bytes());
    written.map_err(failed("note a mirror in", directory))
}

fn failed<'a>(what: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> StateError + 'a {
    move |source| StateError::Io { what, path: path.to_owned(), source }
}

fn read(directory: &Path) -> Result<String, StateError> {
    let Some(private) = open_state_directory(directory)? else { return Ok(String::new()) };
    let read = || -> io::Result<String> {
        let mut text = String::new();
        match private.directory()?.read(NAME) {
            Ok((file, _)) => drop(file.take(BYTES_MAX).read_to_string(&mut text)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        Ok(text)
    };
    read().map_err(failed("read which mirrors were begun in", directory))
}
