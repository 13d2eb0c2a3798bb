//! Encrypts what a session writes into an encrypted replica.
//!
//! It has the index key, with which alone a session continues the replica, and a page key of its own. That one is drawn
//! when the first object needs it, replaced after a day or [`PAGE_KEY_BYTES`], and is never on a disk but wrapped. Its
//! wrapped form goes into each store before the first object that names it (`key_put.rs`).

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ebbtide_fault::setting;
use ebbtide_replica::container::{Header, Sealer, Sealing};
use ebbtide_replica::{Encryption as Stated, KeyDocument, Manifest, ReplicaId, Timestamp, Txid};
use ebbtide_seal::{KeyId, KeyUse, Keys, SecretKey, Wrap};
use ebbtide_store::WrappedKey;

use crate::error::Error;
use crate::recent::Recent;

/// A page key is used for so long…
const PAGE_KEY_AGE: Duration = Duration::from_secs(24 * 3600);

/// …or for so many bytes: an object that is begun with it is ended with it.
const PAGE_KEY_BYTES: u64 = 64 << 30;

/// How long a page key is used; days are short where a test says so.
fn page_key_age() -> Duration {
    setting("page-key-millis").map_or(PAGE_KEY_AGE, Duration::from_millis)
}

/// The keys of a session in one replica.
pub(crate) struct Encryption {
    wrap: Arc<dyn Wrap>,
    replica: ReplicaId,
    index: SecretKey,
    pages: Mutex<PageKeys>,
    /// What opens the segments that are in no pack yet.
    recent: Recent,
}

#[derive(Default)]
struct PageKeys {
    current: Option<PageKey>,
    /// Those of this session, and those that a spool of an earlier one needs.
    wrapped: BTreeMap<KeyId, WrappedKey>,
}

/// The page key in use.
struct PageKey {
    key: SecretKey,
    /// The time of what it was drawn for…
    since: Timestamp,
    /// …and when that was, by a clock that does not count how long the machine slept.
    drawn: Instant,
    /// How many bytes were written with it.
    bytes: u64,
}

impl PageKey {
    fn is_due(&self, time: Timestamp) -> bool {
        self.since.until(time) >= page_key_age() || self.bytes >= PAGE_KEY_BYTES
    }
}

impl Encryption {
    /// In the replica `replica`, whose local state lies in `directory`.
    pub(crate) fn new(
        wrap: Arc<dyn Wrap>,
        replica: ReplicaId,
        index: SecretKey,
        directory: &Path,
    ) -> Encryption {
        let recent = Recent::open(directory, index.clone());
        Encryption { wrap, replica, index, pages: Mutex::default(), recent }
    }

    /// How the replica that says `manifest` of itself is written with what is configured; nothing if it is in plain text.
    /// `keys` are the index keys on this host.
    ///
    /// # Errors
    /// When what is configured does not fit the replica, or its index key is not here.
    pub(crate) fn of(
        manifest: &Manifest,
        wrap: Option<&Arc<dyn Wrap>>,
        keys: &Keys,
        directory: &Path,
        place: String,
    ) -> Result<Option<Arc<Encryption>>, Error> {
        match (manifest.encryption, wrap) {
            (None, None) => Ok(None),
            (None, Some(_)) => Err(Error::NotEncrypted { place }),
            (Some(_), None) => Err(Error::Encrypted { place }),
            (Some(Stated { index: id, .. }), Some(wrap)) => {
                let index = keys.get(id).cloned().ok_or(Error::NoIndexKey { place, id })?;
                let wrap = Arc::clone(wrap);
                let encryption = Encryption::new(wrap, manifest.replica, index, directory);
                Ok(Some(Arc::new(encryption)))
            }
        }
    }

    /// The index key, wrapped for those who may have it.
    pub(crate) fn wrapped_index(&self) -> Result<WrappedKey, Error> {
        self.wrap(&self.index, KeyUse::Index)
    }

    /// What an object is encrypted with that is begun at `time`.
    pub(crate) fn sealing(&self, time: Timestamp) -> Result<Sealing, Error> {
        let mut pages = self.pages();
        let current = match pages.current.take().filter(|current| !current.is_due(time)) {
            Some(current) => current,
            None => {
                let key = SecretKey::random().map_err(cannot_draw)?;
                let wrapped = self.wrap(&key, KeyUse::Pages)?;
                pages.wrapped.insert(KeyId::of(&key), wrapped);
                PageKey { key, since: time, drawn: Instant::now(), bytes: 0 }
            }
        };
        let key = current.key.clone();
        pages.current = Some(current);
        Ok(Sealing { pages: Some(key), index: self.index.clone() })
    }

    /// What encrypts the object that begins with `header` and ends with entry `last`.
    pub(crate) fn sealer(
        &self,
        header: &Header,
        last: Txid,
        time: Timestamp,
    ) -> Result<Sealer, Error> {
        self.sealing(time)?.object(header, last).map_err(cannot_draw)
    }

    /// The same of a segment, which is opened once more when it gets into a pack.
    pub(crate) fn segment_sealer(&self, header: &Header, time: Timestamp) -> Result<Sealer, Error> {
        let sealer = self.sealer(header, header.first(), time)?;
        if let Some(key) = sealer.page_object_key() {
            self.recent.add(header.first(), sealer.envelope().salt, key.clone());
        }
        Ok(sealer)
    }

    /// What opens the segments that are in no pack yet.
    pub(crate) fn recent(&self) -> &Recent {
        &self.recent
    }

    /// Counts the bytes of an object that was written with a page key.
    pub(crate) fn count(&self, id: KeyId, bytes: u64) {
        if let Some(current) = &mut self.pages().current
            && KeyId::of(&current.key) == id
        {
            current.bytes = current.bytes.saturating_add(bytes);
        }
    }

    /// Forgets a page key that nothing was written with for so long that the next object gets another one.
    pub(crate) fn forget_old(&self, now: Instant) {
        let mut pages = self.pages();
        pages.current = pages
            .current
            .take()
            .filter(|current| now.saturating_duration_since(current.drawn) < page_key_age());
    }

    /// The wrapped form of a page key.
    pub(crate) fn wrapped(&self, id: KeyId) -> Option<WrappedKey> {
        self.pages().wrapped.get(&id).cloned()
    }

    /// Takes a wrapped key over that an earlier session has left on the local disk.
    pub(crate) fn take_over(&self, wrapped: WrappedKey) {
        self.pages().wrapped.insert(wrapped.id(), wrapped);
    }

    fn wrap(&self, key: &SecretKey, key_use: KeyUse) -> Result<WrappedKey, Error> {
        let document = KeyDocument { replica: self.replica, key_use, key: key.clone() };
        let wrapped = WrappedKey::new(&*self.wrap, &document);
        wrapped.map_err(|source| Error::System { doing: "wrap a key", source })
    }

    fn pages(&self) -> MutexGuard<'_, PageKeys> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) fn cannot_draw(source: io::Error) -> Error {
    Error::System { doing: "draw random numbers", source }
}

impl fmt::Debug for Encryption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Encryption(..)")
    }
}

#[cfg(test)]
mod tests {
    use ebbtide_testkit::wrapped::Recipient;

    use super::*;

    fn encryption(directory: &Path) -> Encryption {
        let (replica, index) = (ReplicaId::from_bytes([7; 16]), SecretKey::from_bytes([1; 32]));
        Encryption::new(Arc::new(Recipient("owner")), replica, index, directory)
    }

    fn at(hours: i64) -> Timestamp {
        Timestamp::from_micros(hours * 3_600_000_000).unwrap()
    }

    fn id(encryption: &Encryption, time: Timestamp) -> KeyId {
        KeyId::of(&encryption.sealing(time).unwrap().pages.unwrap())
    }

    /// H40, by the time of what is written.
    #[test]
    fn h40_a_page_key_is_replaced_after_a_day() {
        let directory = tempfile::tempdir().unwrap();
        let encryption = encryption(directory.path());
        let first = id(&encryption, at(100));
        assert_eq!(id(&encryption, at(123)), first);
        let second = id(&encryption, at(124));
        assert_ne!(second, first);
        // What is written later and was begun earlier does not bring the old one back.
        assert_eq!(id(&encryption, at(100)), second);
        assert!(encryption.wrapped(first).is_some(), "an object that names it may still be put");
    }

    #[test]
    fn h40_a_page_key_is_replaced_after_64_gib() {
        let directory = tempfile::tempdir().unwrap();
        let encryption = encryption(directory.path());
        let first = id(&encryption, at(1));
        encryption.count(KeyId::from_bytes([1; 8]), u64::MAX);
        encryption.count(first, PAGE_KEY_BYTES - 1);
        assert_eq!(id(&encryption, at(1)), first);
        encryption.count(first, 1);
        assert_ne!(id(&encryption, at(1)), first);
    }

    #[test]
    fn h40_a_page_key_is_forgotten_in_silence() {
        let directory = tempfile::tempdir().unwrap();
        let encryption = encryption(directory.path());
        let first = id(&encryption, at(1));
        encryption.forget_old(Instant::now());
        assert_eq!(id(&encryption, at(1)), first);
        encryption.forget_old(Instant::now() + PAGE_KEY_AGE);
        assert_ne!(id(&encryption, at(1)), first);
    }
}
