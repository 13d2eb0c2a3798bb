//! A store together with its health, and with the keys of what is put there.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use ebbtide_seal::KeyId;
use ebbtide_store::{Store, StoreError};

use crate::encryption::Encryption;
use crate::store_health::StoreHealth;

/// The store that objects are put into, and the health that the results of its requests are reported to.
#[derive(Debug, Clone)]
pub(crate) struct Destination {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) health: Arc<StoreHealth>,
    /// What encrypts the objects, of an encrypted replica.
    pub(crate) encryption: Option<Arc<Encryption>>,
    /// Which wrapped keys were put there.
    pub(crate) keys: Arc<KeysThere>,
}

/// The page keys whose wrapped form is known to be in a store.
#[derive(Debug, Default)]
pub(crate) struct KeysThere(Mutex<BTreeSet<KeyId>>);

impl KeysThere {
    pub(crate) fn has(&self, id: KeyId) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&id)
    }

    pub(crate) fn add(&self, id: KeyId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
    }
}

impl Destination {
    /// A store for plain objects.
    pub(crate) fn new(store: Arc<dyn Store>, health: Arc<StoreHealth>) -> Destination {
        Destination { store, health, encryption: None, keys: Arc::default() }
    }

    /// The same for the objects of a replica that is encrypted so, if it is.
    pub(crate) fn encrypted(self, encryption: Option<Arc<Encryption>>) -> Destination {
        Destination { encryption, ..self }
    }

    /// Reports a failed request.
    pub(crate) fn note_failure(&self, error: &StoreError) {
        self.health.note_failure(&*self.store, error);
    }

    /// Reports a successful request, which ends an outage.
    pub(crate) fn note_success(&self) {
        self.health.note_success(&*self.store);
    }
}
