//! What opens the blocks of encrypted objects. Plain ones need nothing, and nothing is kept for them.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use ebbtide_replica::Key;
use ebbtide_replica::container::Opener;

/// By the names of the objects, which never change.
#[derive(Debug, Default)]
pub(crate) struct Openers(Mutex<HashMap<Key, Opener>>);

impl Openers {
    /// What opens the blocks of an object.
    pub(crate) fn get(&self, key: Key) -> Opener {
        let openers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        openers.get(&key).cloned().unwrap_or(Opener::PLAIN)
    }

    /// Keeps what opens the blocks of an object, if it is an encrypted one.
    pub(crate) fn put(&self, key: Key, opener: &Opener) {
        if opener.envelope().is_some() {
            let mut openers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            openers.insert(key, opener.clone());
        }
    }
}
