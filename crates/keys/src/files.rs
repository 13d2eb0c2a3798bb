//! The small files that recipients and identities are in.

use std::fs::File;
use std::io::{Read as _, stdin};
use std::os::fd::AsFd as _;
use std::path::Path;

use zeroize::Zeroizing;

use crate::KeysError;

/// How large such a file may be, in bytes. One recipient takes 63, one identity 75, one with a post-quantum key 2 KB.
const FILE_BYTES_MAX: usize = 1 << 20;

/// The whole file, or standard input for `-`.
pub(crate) fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, KeysError> {
    if path.to_string_lossy().to_ascii_uppercase().starts_with("AGE-SECRET-KEY-") {
        return Err(KeysError::NoFile);
    }
    let failed = |source| KeysError::Io { path: path.to_path_buf(), source };
    // With room for all of it, so that no copy is left behind where it grew.
    let mut bytes = Zeroizing::new(Vec::with_capacity(FILE_BYTES_MAX + 1));
    let limit = FILE_BYTES_MAX as u64 + 1;
    let opened = match path == Path::new("-") {
        // Not through the buffer that the program has for it, which nobody overwrites.
        true => stdin().as_fd().try_clone_to_owned().map(File::from),
        false => File::open(path),
    };
    opened.and_then(|file| file.take(limit).read_to_end(&mut bytes)).map_err(failed)?;
    if bytes.len() > FILE_BYTES_MAX {
        let why = format!("it has more than {FILE_BYTES_MAX} bytes, which no file of keys has");
        return Err(KeysError::File { path: path.to_path_buf(), why });
    }
    Ok(bytes)
}

/// The lines that are neither empty nor a comment, each with its number from 1.
pub(crate) fn lines<'a>(
    path: &Path,
    bytes: &'a [u8],
) -> Result<impl Iterator<Item = (usize, &'a str)>, KeysError> {
    let text = std::str::from_utf8(bytes).map_err(|_| KeysError::File {
        path: path.to_path_buf(),
        why: "it is no text".to_owned(),
    })?;
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
    Ok(lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')))
}
