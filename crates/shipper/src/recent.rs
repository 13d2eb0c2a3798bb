//! What opens the images of the segments that are in no pack yet: the key that each of them alone has for its images.
//!
//! A page key is forgotten with the process, or after a day, and a pack is made of segments that may be older. So the
//! object keys of the last ones are kept, and lie in the local state, encrypted under the index key: whoever takes that
//! over can open those segments, and no others. What is lost here, or was never here, stays unpacked.
//!
//! ```text
//!   0 [24] salt
//!  24      encrypted: for each segment u64 first txid ‖ [24] salt ‖ [32] key
//! ```

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use ebbtide_replica::Txid;
use ebbtide_seal::{KeyBytes, KeyUse, ObjectKey, Salt, SecretKey, TAG_SIZE, scrubbed};
use ebbtide_state::open_state_directory;

/// The file…
const NAME: &str = "recent.keys";

/// …and what is about to become it.
const NEW_NAME: &str = "recent.keys.new";

/// How many segments there are at most: two packs of them.
const SEGMENTS_MAX: usize = 2 * crate::log_object::PACK_SEGMENTS;

const ROW: usize = 8 + Salt::SIZE + ObjectKey::SIZE;

/// What is derived from the index key for the file is derived for this, and for no object.
const HEADER: &[u8] = b"ebbtide local state";

/// The object keys of the last segments, by their first entries.
pub(crate) struct Recent {
    directory: PathBuf,
    index: SecretKey,
    keys: Mutex<BTreeMap<Txid, (Salt, ObjectKey)>>,
}

impl Recent {
    /// Those in the local state that lies in `directory`. What cannot be read counts as lost.
    pub(crate) fn open(directory: &Path, index: SecretKey) -> Recent {
        let keys = scrubbed(|| read(directory, &index)).unwrap_or_else(|error| {
            if error.kind() != io::ErrorKind::NotFound {
                tracing::warn!(%error, "cannot open the last segments once more; they stay unpacked");
            }
            BTreeMap::new()
        });
        Recent { directory: directory.to_path_buf(), index, keys: Mutex::new(keys) }
    }

    /// Adds the key of a segment, in the place of another attempt at it.
    pub(crate) fn add(&self, first: Txid, salt: Salt, key: ObjectKey) {
        let mut keys = self.keys();
        keys.insert(first, (salt, key));
        while keys.len() > SEGMENTS_MAX {
            keys.pop_first();
        }
    }

    /// The key of the segment with this salt.
    pub(crate) fn get(&self, first: Txid, salt: Salt) -> Option<ObjectKey> {
        self.keys().get(&first).filter(|(there, _)| *there == salt).map(|(_, key)| key.clone())
    }

    /// Whether there is a key for the segment that begins with `first`.
    pub(crate) fn has(&self, first: Txid) -> bool {
        self.keys().contains_key(&first)
    }

    /// Forgets a segment, which is another one than the key is for.
    pub(crate) fn forget(&self, first: Txid) {
        self.keys().remove(&first);
    }

    /// Forgets the segments up to this entry, which are in a pack.
    pub(crate) fn forget_through(&self, last: Txid) {
        self.keys().retain(|first, _| *first > last);
    }

    /// Writes them down. Without fsync, and without an error: what is lost stays unpacked.
    pub(crate) fn write(&self) {
        if let Err(error) = self.try_write() {
            tracing::warn!(%error, "cannot note what opens the last segments; they may stay unpacked");
        }
    }

    fn try_write(&self) -> io::Result<()> {
        let mut text = Vec::new();
        {
            let keys = self.keys();
            // With room for all of it, so that no copy is left behind where it grew; it is encrypted in its place.
            text.reserve_exact(keys.len() * ROW + TAG_SIZE);
            for (first, (salt, key)) in &*keys {
                text.extend_from_slice(&first.get().to_le_bytes());
                text.extend_from_slice(salt.as_bytes());
                text.extend_from_slice(&key.as_bytes()[..]);
            }
        }
        let salt = Salt::random()?;
        file_key(&self.index, &salt).seal_block(0, b"", &mut text, 0);
        let Some(private) = open_state_directory(&self.directory).map_err(io::Error::other)? else {
            return Err(io::ErrorKind::NotFound.into());
        };
        private.directory()?.remove(NEW_NAME)?;
        private.replace(NAME, NEW_NAME, &[salt.as_bytes(), &text])
    }

    fn keys(&self) -> MutexGuard<'_, BTreeMap<Txid, (Salt, ObjectKey)>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn file_key(index: &SecretKey, salt: &Salt) -> ObjectKey {
    ObjectKey::derive(index, KeyUse::Index, salt, HEADER, NAME)
}

fn read(directory: &Path, index: &SecretKey) -> io::Result<BTreeMap<Txid, (Salt, ObjectKey)>> {
    let damaged = || io::Error::new(io::ErrorKind::InvalidData, "recent.keys is damaged");
    let private = open_state_directory(directory).map_err(io::Error::other)?;
    let private = private.ok_or(io::ErrorKind::NotFound)?;
    let most = Salt::SIZE + SEGMENTS_MAX * ROW + TAG_SIZE;
    let mut bytes = private.read(NAME, most as u64)?;
    let (salt, sealed) = bytes.split_first_chunk_mut::<{ Salt::SIZE }>().ok_or_else(damaged)?;
    let key = file_key(index, &Salt::from_bytes(*salt));
    let text = key.open_block(0, b"", sealed).ok_or_else(damaged)?;
    let row = |row: &[u8; ROW]| {
        let (first, row) = row.split_first_chunk()?;
        let (salt, key) = row.split_first_chunk()?;
        let key = ObjectKey::from_bytes(KeyBytes::copy(key.first_chunk()?));
        Some((Txid::new(u64::from_le_bytes(*first))?, (Salt::from_bytes(*salt), key)))
    };
    let (rows, rest) = text.as_chunks::<ROW>();
    let keys: Option<BTreeMap<_, _>> = rows.iter().map(row).collect();
    keys.filter(|_| rest.is_empty()).ok_or_else(damaged)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn txid(number: usize) -> Txid {
        Txid::new(number as u64).unwrap()
    }

    fn index(byte: u8) -> SecretKey {
        SecretKey::from_bytes([byte; 32])
    }

    fn salt(number: usize) -> Salt {
        Salt::from_bytes([number.to_le_bytes()[0]; Salt::SIZE])
    }

    fn key(number: usize) -> ObjectKey {
        ObjectKey::from_bytes(KeyBytes::copy(&[number.to_le_bytes()[1]; ObjectKey::SIZE]))
    }

    fn count(recent: &Recent, most: usize) -> usize {
        (1..=most).filter(|&number| recent.get(txid(number), salt(number)).is_some()).count()
    }

    #[test]
    fn the_last_segments_are_opened_after_a_restart_with_the_same_index_key_alone() {
        let state = tempfile::tempdir().unwrap();
        let recent = Recent::open(state.path(), index(1));
        for number in 1..=SEGMENTS_MAX + 10 {
            recent.add(txid(number), salt(number), key(number));
        }
        recent.write();
        assert_eq!(count(&recent, SEGMENTS_MAX + 10), SEGMENTS_MAX);
        let again = Recent::open(state.path(), index(1));
        assert_eq!(count(&again, SEGMENTS_MAX + 10), SEGMENTS_MAX);
        assert_eq!(**again.get(txid(300), salt(300)).unwrap().as_bytes(), **key(300).as_bytes());
        assert!(again.get(txid(300), salt(301)).is_none(), "another attempt at the segment");
        again.forget_through(txid(SEGMENTS_MAX));
        again.write();
        assert_eq!(count(&Recent::open(state.path(), index(1)), SEGMENTS_MAX + 10), 10);
        assert_eq!(count(&Recent::open(state.path(), index(2)), SEGMENTS_MAX + 10), 0);
    }

    #[test]
    fn a_damaged_file_is_as_good_as_none() {
        let state = tempfile::tempdir().unwrap();
        let recent = Recent::open(state.path(), index(1));
        recent.add(txid(1), salt(1), key(1));
        recent.write();
        let good = std::fs::read(state.path().join(NAME)).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            std::fs::write(state.path().join(NAME), &bad).unwrap();
            assert!(!Recent::open(state.path(), index(1)).has(txid(1)), "byte {at}");
            std::fs::write(state.path().join(NAME), &good[..at]).unwrap();
            assert!(!Recent::open(state.path(), index(1)).has(txid(1)), "{at} bytes");
        }
    }

    /// H39: neither a key nor a number of an entry lies there in clear.
    #[test]
    fn h39_the_file_shows_nothing_of_its_keys() {
        let state = tempfile::tempdir().unwrap();
        let recent = Recent::open(state.path(), index(1));
        recent.add(txid(0x0123_4567), salt(0), key(0x5a00));
        recent.write();
        let bytes = std::fs::read(state.path().join(NAME)).unwrap();
        let shows = |what: &[u8]| bytes.windows(what.len()).any(|window| window == what);
        assert!(!shows(&[0x5a; 8]) && !shows(&0x0123_4567_u64.to_le_bytes()));
    }
}
