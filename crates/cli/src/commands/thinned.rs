//! What `log` says of history of which only some states are kept.

use std::collections::BTreeMap;

use ebbtide_catalog::{CatalogError, Listing, StoredHorizon, newest_horizon};
use ebbtide_replica::{HorizonState, Key, Manifest, Timestamp, Txid};
use ebbtide_retention::GRACE_MICROS;
use ebbtide_store::Store;
use serde_json::{Value, json};

use crate::terminal;

/// What the newest horizon says.
pub(super) struct Thinned(StoredHorizon);

impl Thinned {
    pub(super) async fn read(
        store: &dyn Store,
        manifest: &Manifest,
    ) -> Result<Option<Thinned>, CatalogError> {
        Ok(newest_horizon(store, manifest).await?.map(Thinned))
    }

    /// The first entry from which on every commit is kept.
    pub(super) fn window(&self) -> Txid {
        self.0.horizon.window
    }

    /// The states before it that are kept.
    pub(super) fn states(&self) -> &[HorizonState] {
        &self.0.horizon.contents.states
    }

    /// For people. `listing` is what is there: what was condemned and is deleted stays in the horizon until the next one.
    pub(super) fn summary(&self, listing: &Listing) -> Vec<String> {
        let mut lines = vec![format!(
            "every commit is kept from txid {} on, and {} before that",
            self.window(),
            terminal::number_of(self.states().len() as u64, "state")
        )];
        let there: BTreeMap<Key, u64> =
            listing.objects().map(|object| (object.key, object.size)).collect();
        let condemned = self.0.horizon.contents.condemned.iter();
        let condemned: Vec<u64> =
            condemned.filter_map(|object| there.get(&object.name).copied()).collect();
        if !condemned.is_empty() {
            let bytes = condemned.iter().sum();
            let at = self.0.stored.as_micros().saturating_add(GRACE_MICROS);
            let at = Timestamp::from_micros(at).unwrap_or(Timestamp::MAX);
            lines.push(format!(
                "condemned: {} objects, {}; the first prune after {at} deletes them",
                condemned.len(),
                terminal::bytes(bytes)
            ));
        }
        lines
    }
}

/// A state that is kept, as a line of the list.
pub(super) fn as_text(state: &HorizonState) -> String {
    let HorizonState { txid, time, .. } = state;
    format!("{txid}  {time}  state     kept: {}", state.why.join(", "))
}

/// The same as JSON.
pub(super) fn as_json(state: &HorizonState) -> Value {
    json!({
        "what": "state", "txid": state.txid, "time": state.time, "until": state.until, "why": state.why,
    })
}
