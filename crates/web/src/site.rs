//! What all requests share.

use std::sync::Arc;

use ebbtide_config::Prices;
use ebbtide_fleet::Open;
use ebbtide_sidecar::View;

use crate::cost::Costs;
use crate::fleet::ShownFleet;
use crate::guard::Guard;
use crate::shelf::Shelf;

/// What all requests share.
pub(crate) struct Site {
    pub(crate) view: View,
    pub(crate) guard: Guard,
    pub(crate) costs: Costs,
    pub(crate) shelf: Shelf,
    /// What is shown although nobody follows it here.
    pub(crate) elsewhere: Option<Elsewhere>,
}

/// What nobody follows here.
#[derive(Debug)]
pub enum Elsewhere {
    /// One replica.
    Replica(ShownReplica),
    /// All replicas below an address.
    Fleet(ShownFleet),
}

/// A replica that nobody follows here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownReplica {
    /// What it is called.
    pub name: String,
    /// Its address.
    pub address: String,
}

impl Site {
    pub(crate) fn new(
        view: View,
        prices: Prices,
        guard: Guard,
        elsewhere: Option<(Elsewhere, Arc<Open>)>,
    ) -> Site {
        let (elsewhere, open) = elsewhere.unzip();
        Site { view, guard, costs: Costs::new(prices), shelf: Shelf::new(open), elsewhere }
    }

    /// The address of the replica that is shown under this name although nobody follows it here.
    pub(crate) fn address_elsewhere(&self, name: &str) -> Option<String> {
        match self.elsewhere.as_ref()? {
            Elsewhere::Replica(replica) => (replica.name == name).then(|| replica.address.clone()),
            Elsewhere::Fleet(fleet) => fleet.address_of(name),
        }
    }
}
