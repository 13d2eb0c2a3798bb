//! The log position of the last spooled segment, in the file `end.json` beside the segments.
//!
//! It is not needed: without it, or with an outdated one, a start compares pages instead of reading on in the log.

use std::io::{self, Read as _, Write as _};
use std::path::Path;

use ebbtide_replica::Txid;
use ebbtide_wal::{Checksum, Position, Salts};
use serde::{Deserialize, Serialize};

use crate::spool_directory::spool_directory;

const END: &str = "end.json";
const NEW_END: &str = "end.json.new";
const END_BYTES_MAX: u64 = 1024;

/// The contents of the file.
#[derive(Debug, Serialize, Deserialize)]
struct End {
    txid: Txid,
    salts: [u8; 8],
    frame: u32,
    checksum: (u32, u32),
}

/// The last entry of the spool and its log position, if it is known. Capturing resumes there if the spool continues the
/// replica.
#[must_use]
pub fn spooled_end(state_directory: &Path) -> Option<(Txid, Position)> {
    let bytes = match read(state_directory) {
        Ok(bytes) => bytes?,
        Err(error) => {
            tracing::warn!(%error, "cannot read where the spool ends; comparing instead");
            return None;
        }
    };
    let End { txid, salts, frame, checksum: (s0, s1) } = serde_json::from_slice(&bytes).ok()?;
    let checksum = Checksum { s0, s1 };
    Some((txid, Position { salts: Salts(salts), frame, checksum }))
}

fn read(state_directory: &Path) -> io::Result<Option<Vec<u8>>> {
    let Some((directory, owner)) = spool_directory(state_directory)? else { return Ok(None) };
    let file = match directory.read_ours(END, owner) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(END_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// Writes the file. Without fsync: if a power failure leaves an outdated or torn file, the next start compares pages.
pub(crate) fn write_spooled_end(
    state_directory: &Path,
    txid: Txid,
    wal: Position,
) -> io::Result<()> {
    let Some((directory, owner)) = spool_directory(state_directory)? else {
        return Err(io::ErrorKind::NotFound.into());
    };
    let Position { salts: Salts(salts), frame, checksum: Checksum { s0, s1 } } = wal;
    directory.remove(NEW_END)?;
    let mut file = directory.write(NEW_END, owner)?;
    file.write_all(&serde_json::to_vec(&End { txid, salts, frame, checksum: (s0, s1) })?)?;
    directory.replace(&file, NEW_END, END)
}
