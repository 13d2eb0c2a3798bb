//! Reads the position of a local state without its lock, to find out which replica it belongs to.

use std::io::{self, Read as _};
use std::path::Path;

use super::error::{StateError, io_error};
use super::position::Position;
use super::record::{self, Record, Slot};
use super::slots::is_newer;
use super::state::open_state_directory;
use ebbtide_directory::Private;

/// A longer slot is not read to its end: it then counts as invalid. Few commits change so many pages.
const SLOT_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// The newest position in the directory `directory`, or nothing if there is no valid one. A process that uses the state
/// may have moved on when this returns.
///
/// # Errors
/// When a file exists and cannot be read.
pub fn peek(directory: &Path) -> Result<Option<Position>, StateError> {
    // A directory that another user may have created is refused.
    let Some(private) = open_state_directory(directory)? else { return Ok(None) };
    let mut newest: Option<Record> = None;
    for name in ["position.0", "position.1"] {
        let path = directory.join(name);
        let bytes = match read(&private, name) {
            Ok(bytes) => bytes,
            Err(error) if is_absent(&error) => continue,
            Err(error) => return Err(io_error("read", &path)(error)),
        };
        if let Slot::Valid(record) = record::decode(&bytes)
            && newest.as_ref().is_none_or(|newest| is_newer(&record, newest))
        {
            newest = Some(*record);
        }
    }
    Ok(newest.map(|record| record.position))
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn read(private: &Private, name: &str) -> io::Result<Vec<u8>> {
    let file = private.directory()?.read_ours(name, private.owner())?;
    let mut bytes = Vec::new();
    file.take(SLOT_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}
