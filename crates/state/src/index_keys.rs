//! The index keys of encrypted replicas that this host writes, in the file `index.key`: with one of them a process
//! continues its replica, and cannot read the pages that it wrote.
//!
//! The file has one key a line in hexadecimal digits, the newest last. It lies in a private directory, for its owner
//! alone, and is replaced as a whole: a kill leaves the keys from before, or all of them. Which replica a key is of, its
//! id tells.

use std::io::{self, Write as _};
use std::path::Path;

use ebbtide_directory::{Private, database_owner};
use ebbtide_fault::point;
use ebbtide_seal::{SecretKey, scrubbed};
use zeroize::Zeroizing;

use super::error::{StateError, io_error};
use super::locked::{INDEX_KEYS, NEW_INDEX_KEYS};
use super::state::open_state_directory;

/// How many are kept, the newest of them. One comes with each replica that is begun.
const KEYS_MAX: usize = 16;

/// A line.
const LINE: usize = 2 * SecretKey::SIZE + 1;

/// The index keys in the directory of the local state `directory`, the newest last.
///
/// # Errors
/// When the file cannot be read, or is none of ours.
pub fn index_keys(directory: &Path) -> Result<Vec<SecretKey>, StateError> {
    let Some(private) = open_state_directory(directory)? else { return Ok(Vec::new()) };
    let path = directory.join(INDEX_KEYS);
    let most = (KEYS_MAX * LINE) as u64 + 1;
    let text = match private.read(INDEX_KEYS, most) {
        Ok(text) => Zeroizing::new(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(io_error("read", &path)(error)),
    };
    let key = |line: &[u8]| {
        let digits = line.strip_suffix(b"\n")?;
        SecretKey::from_hex(std::str::from_utf8(digits).ok()?)
    };
    let keys: Option<Vec<SecretKey>> = scrubbed(|| text.chunks(LINE).map(key).collect());
    keys.filter(|keys| keys.len() <= KEYS_MAX).ok_or_else(|| {
        let why = "it does not have one key of 64 hexadecimal digits in each line";
        io_error("read", &path)(io::Error::new(io::ErrorKind::InvalidData, why))
    })
}

/// Adds an index key to those in the directory of the local state `directory`, which is made if it is missing. The key is
/// durable then.
///
/// # Errors
/// When the file cannot be written.
pub fn add_index_key(directory: &Path, key: &SecretKey) -> Result<(), StateError> {
    let mut keys = index_keys(directory)?;
    keys.retain(|there| there.id() != key.id());
    keys.push(key.clone());
    let first = keys.len().saturating_sub(KEYS_MAX);
    // With room for all of it, so that no copy is left behind where it grew.
    let mut text = Zeroizing::new(String::with_capacity(KEYS_MAX * LINE));
    scrubbed(|| {
        for key in &keys[first..] {
            text.push_str(&key.to_hex());
            text.push('\n');
        }
    });
    let path = directory.join(INDEX_KEYS);
    write(directory, text.as_bytes()).map_err(io_error("write", &path))
}

fn write(directory: &Path, text: &[u8]) -> io::Result<()> {
    let (private, directory, _) = Private::create(directory, database_owner(directory))?;
    directory.remove(NEW_INDEX_KEYS)?;
    let mut file = directory.write(NEW_INDEX_KEYS, private.owner())?;
    file.write_all(text)?;
    file.sync_all()?;
    point("state.key.written");
    directory.replace(&file, NEW_INDEX_KEYS, INDEX_KEYS)?;
    directory.sync()?;
    point("state.key.named");
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn key(byte: u8) -> SecretKey {
        SecretKey::from_bytes([byte; SecretKey::SIZE])
    }

    fn bytes(directory: &Path) -> Vec<u8> {
        index_keys(directory).unwrap().iter().map(|key| key.as_bytes()[0]).collect()
    }

    #[test]
    fn keys_are_there_for_their_owner_alone_and_the_newest_are_kept() {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("state");
        assert!(bytes(&state).is_empty());
        for byte in [1, 2, 1] {
            add_index_key(&state, &key(byte)).unwrap();
        }
        assert_eq!(bytes(&state), [2, 1]);
        for byte in 3..20 {
            add_index_key(&state, &key(byte)).unwrap();
        }
        assert_eq!(bytes(&state), (4..20).collect::<Vec<u8>>());
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&state), mode(&state.join(INDEX_KEYS))), (0o700, 0o600));
        let names: Vec<_> = std::fs::read_dir(&state).unwrap().map(Result::unwrap).collect();
        assert_eq!(names.len(), 1, "{names:?}");
    }

    #[test]
    fn what_is_no_file_of_keys_is_refused_and_not_written_over() {
        let directory = tempfile::tempdir().unwrap();
        add_index_key(directory.path(), &key(1)).unwrap();
        let path = directory.path().join(INDEX_KEYS);
        let good = std::fs::read_to_string(&path).unwrap();
        for text in [&good[1..], &good[..64], "\n", &good.replace('1', "g"), &good.repeat(17)] {
            std::fs::write(&path, text).unwrap();
            assert!(index_keys(directory.path()).is_err(), "{text}");
            assert!(add_index_key(directory.path(), &key(2)).is_err(), "{text}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
    }

    /// H38: half a file is never the file.
    #[test]
    fn h38_what_was_left_half_written_does_not_count() {
        let directory = tempfile::tempdir().unwrap();
        add_index_key(directory.path(), &key(1)).unwrap();
        std::fs::write(directory.path().join(NEW_INDEX_KEYS), "half").unwrap();
        assert_eq!(bytes(directory.path()), [1]);
        add_index_key(directory.path(), &key(2)).unwrap();
        assert_eq!(bytes(directory.path()), [1, 2]);
    }
}
