//! The secret keys of a replica: those that somebody has, and what opens others.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use ebbtide_replica::{Key, Timestamp};
use ebbtide_seal::{KeyId, Keys, SecretKey, Unwrap};
use tokio::sync::Mutex as Turn;

use super::key_error::KeyError;

/// Secret keys that grow with what is asked of them, by [`open_key`](super::open_key). It is shared by all who read one
/// replica, and shows nothing of what it has.
///
/// A key is asked for once, however many need it at the same time, and what became of that is remembered, unless it was
/// the store that failed.
pub struct Keyring {
    keys: Mutex<Arc<Keys>>,
    pub(super) identity: Option<Arc<dyn Unwrap>>,
    /// Why a key was not opened; locked while it is asked for.
    asked: Mutex<BTreeMap<KeyId, Arc<Turn<Option<KeyError>>>>>,
    /// What the store has in wrapped form, listed once for all keys.
    pub(super) listed: Turn<Option<Arc<WrappedNames>>>,
    /// Wrapped keys that were fetched before anybody asked for them; locked while they are.
    pub(super) foreseen: Turn<BTreeMap<Key, Bytes>>,
    /// Forms of keys that are damaged although another form opened.
    damaged: Mutex<BTreeMap<Key, String>>,
    /// Why the identity cannot be used; locked while it is used, because it may ask a person, or a device.
    pub(super) unusable: Turn<Option<String>>,
}

/// For each key, the numbers under which it was wrapped, ascending, and when.
pub(super) type WrappedNames = BTreeMap<KeyId, Vec<(u32, Option<Timestamp>)>>;

impl Keyring {
    /// One with these keys, to which others are added that an identity opens if there is one.
    #[must_use]
    pub fn new(keys: Keys, identity: Option<Arc<dyn Unwrap>>) -> Keyring {
        Keyring {
            keys: Mutex::new(Arc::new(keys)),
            identity,
            asked: Mutex::default(),
            listed: Turn::default(),
            foreseen: Turn::default(),
            damaged: Mutex::default(),
            unusable: Turn::default(),
        }
    }

    /// The keys that it has now.
    #[must_use]
    pub fn keys(&self) -> Arc<Keys> {
        Arc::clone(&lock(&self.keys))
    }

    /// Whether wrapped keys can be opened at all.
    #[must_use]
    pub fn has_identity(&self) -> bool {
        self.identity.is_some()
    }

    /// Adds a key.
    pub fn insert(&self, key: SecretKey) {
        Arc::make_mut(&mut *lock(&self.keys)).insert(key);
    }

    /// Whether a key was opened, or was there.
    #[must_use]
    pub fn has(&self, id: KeyId) -> bool {
        lock(&self.keys).get(id).is_some()
    }

    /// The wrapped keys that were found to be damaged, each with what is wrong, although an older form of the key opened.
    #[must_use]
    pub fn damaged(&self) -> Vec<(Key, String)> {
        lock(&self.damaged).iter().map(|(&key, why)| (key, why.clone())).collect()
    }

    pub(super) fn note_damaged(&self, key: Key, why: String) {
        lock(&self.damaged).insert(key, why);
    }

    pub(super) fn asked(&self, id: KeyId) -> Arc<Turn<Option<KeyError>>> {
        Arc::clone(lock(&self.asked).entry(id).or_default())
    }
}

/// A panic elsewhere leaves a map whole: each change is one call.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keyring(..)")
    }
}
