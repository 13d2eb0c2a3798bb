//! What all requests share.

use ebbtide_sidecar::View;

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
}

impl Site {
    pub(crate) fn new(view: View, guard: Guard, replica: Option<ShownReplica>) -> Site {
        let (costs, shelf) = (Costs::default(), Shelf::default());
        Site { view, guard, costs, shelf, replica }
    }
}
