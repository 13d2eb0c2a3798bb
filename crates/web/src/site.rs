//! What all requests share.

use std::sync::Arc;

use ebbtide_config::Prices;
use ebbtide_sidecar::View;
use ebbtide_store::Keyring;

use crate::cost::Costs;
use crate::guard::Guard;
use crate::shelf::Shelf;

/// What all requests share.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) view: View,
    pub(crate) guard: Guard,
    pub(crate) costs: Costs,
    pub(crate) shelf: Shelf,
    /// A replica that is shown by itself.
    pub(crate) replica: Option<ShownReplica>,
}

/// A replica that nobody follows here.
#[derive(Debug, Clone)]
pub(crate) struct ShownReplica {
    /// What it is called.
    pub(crate) name: String,
    /// Its address.
    pub(crate) address: String,
    /// What opens it, if it is encrypted.
    pub(crate) keyring: Option<Arc<Keyring>>,
}

impl Site {
    pub(crate) fn new(
        view: View,
        prices: Prices,
        guard: Guard,
        replica: Option<ShownReplica>,
    ) -> Site {
        let keyring = replica.as_ref().and_then(|replica| replica.keyring.clone());
        let (costs, shelf) = (Costs::new(prices), Shelf::new(keyring));
        Site { view, guard, costs, shelf, replica }
    }
}
