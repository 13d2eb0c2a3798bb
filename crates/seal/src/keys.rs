//! The secret keys that somebody has.

use std::collections::BTreeMap;

use crate::{KeyId, SecretKey};

/// Any number of secret keys by their ids; an object says which of them it needs.
#[derive(Debug, Clone, Default)]
pub struct Keys(BTreeMap<KeyId, SecretKey>);

impl Keys {
    /// None at all: plain objects are read, and of encrypted ones what is in the open.
    pub const NONE: Keys = Keys(BTreeMap::new());

    /// Adds a key.
    pub fn insert(&mut self, key: SecretKey) {
        self.0.insert(KeyId::of(&key), key);
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The key with this id.
    #[must_use]
    pub fn get(&self, id: KeyId) -> Option<&SecretKey> {
        self.0.get(&id)
    }
}

impl FromIterator<SecretKey> for Keys {
    fn from_iter<T: IntoIterator<Item = SecretKey>>(keys: T) -> Keys {
        let mut all = Keys::default();
        keys.into_iter().for_each(|key| all.insert(key));
        all
    }
}
