//! Deletes what the newest horizon has condemned, once that is older than the grace and no mark needs it.

use std::collections::BTreeSet;

use ebbtide_replica::{Key, Txid};
use ebbtide_store::Object;

use crate::deletion::in_order;
use crate::error::Result;
use crate::grace::{GRACE_MICROS, age_micros};
use crate::inventory::Inventory;

/// What may be deleted now. `marked` are the states of all marks, listed after the horizon was found old enough.
pub(crate) async fn due(inventory: &mut Inventory, marked: &[Txid]) -> Result<Vec<Object>> {
    if !is_due(inventory) {
        return Ok(Vec::new());
    }
    let mut needed = BTreeSet::new();
    for &txid in marked {
        // A mark whose state is gone needs nothing.
        let Ok(plan) = inventory.survey.plan_for(txid).await? else { continue };
        needed.extend(plan.objects().map(|object| object.key));
    }
    let listed = inventory.by_name();
    let condemned = inventory.horizon().map(|stored| &stored.horizon.contents.condemned);
    let names = condemned.into_iter().flatten().map(|object| object.name);
    let names = names.filter(|name| !needed.contains(name) && is_deletable(*name));
    Ok(in_order(names.filter_map(|name| listed.get(&name).copied()).collect()))
}

/// Whether the newest horizon is older than the grace.
pub(crate) fn is_due(inventory: &Inventory) -> bool {
    let stored = inventory.horizon();
    stored.is_some_and(|stored| age_micros(stored.stored, inventory.now) >= GRACE_MICROS)
}

/// Whatever a horizon says.
fn is_deletable(key: Key) -> bool {
    matches!(key, Key::Log(_) | Key::Pack { .. } | Key::Delta { .. } | Key::Snapshot(_))
}
