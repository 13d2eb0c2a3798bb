//! A store together with its health.

use std::sync::Arc;

use ebbtide_store::{Store, StoreError};

use crate::store_health::StoreHealth;

/// The store that objects are put into, and the health that the results of its requests are reported to.
#[derive(Debug, Clone)]
pub(crate) struct Destination {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) health: Arc<StoreHealth>,
}

impl Destination {
    /// Reports a failed request.
    pub(crate) fn note_failure(&self, error: &StoreError) {
        self.health.note_failure(&*self.store, error);
    }

    /// Reports a successful request, which ends an outage.
    pub(crate) fn note_success(&self) {
        self.health.note_success(&*self.store);
    }
}
