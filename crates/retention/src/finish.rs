//! What the newest horizon has condemned goes once that is older than the grace, and if no mark needs it. Whoever wrote the
//! horizon, nothing goes that the states which it keeps need, or that reaches into its window.

use std::collections::BTreeSet;

use ebbtide_catalog::{Listing, first_of};
use ebbtide_replica::{HorizonState, Key, Txid};
use ebbtide_store::Object;

use crate::deletion::in_order;
use crate::error::{PruneError, Result};
use crate::grace::{GRACE_MICROS, age_micros};
use crate::inventory::Inventory;
use crate::settled::{leads_to, names};
use crate::unneeded::ends_before;

/// What may be deleted now. `marked` are the states of all marks, listed after the horizon was found old enough.
pub(crate) async fn due(inventory: &mut Inventory, marked: &[Txid]) -> Result<Vec<Object>> {
    if !is_due(inventory) {
        return Ok(Vec::new());
    }
    let needed = needed(inventory, marked).await?;
    let Some(stored) = inventory.horizon() else { return Ok(Vec::new()) };
    let (window, listing) = (stored.horizon.window, inventory.listing());
    let listed = inventory.by_name();
    let names = stored.horizon.contents.condemned.iter().map(|object| object.name);
    let names = names.filter(|name| {
        !needed.contains(name) && is_deletable(*name) && is_before(*name, window, listing)
    });
    Ok(in_order(names.filter_map(|name| listed.get(&name).copied()).collect()))
}

/// What marks need, and what kept states need whose ways the newest horizon does not name.
pub(crate) async fn needed(inventory: &mut Inventory, marked: &[Txid]) -> Result<BTreeSet<Key>> {
    let mut needed = BTreeSet::new();
    for &txid in marked {
        // A mark whose state is gone needs nothing.
        let Ok(plan) = inventory.survey.plan_for(txid).await? else { continue };
        needed.extend(plan.objects().map(|object| object.key));
    }
    check_kept(inventory, &mut needed).await?;
    Ok(needed)
}

/// Whether the newest horizon is older than the grace.
pub(crate) fn is_due(inventory: &Inventory) -> bool {
    let stored = inventory.horizon();
    stored.is_some_and(|stored| age_micros(stored.stored, inventory.now) >= GRACE_MICROS)
}

/// Whether the ways that the newest horizon states lead to its states. Where the names do not tell, the state is planned, and
/// the objects of the plan are needed.
async fn check_kept(inventory: &mut Inventory, needed: &mut BTreeSet<Key>) -> Result<()> {
    let Some(stored) = inventory.horizon() else { return Ok(()) };
    let (window, contents) = (stored.horizon.window, &stored.horizon.contents);
    let base = contents.states.last().is_some_and(|base| base.txid.next() == window);
    if !base && window != Txid::FIRST {
        let why = "the newest horizon does not keep the state that its window begins from";
        return Err(PruneError::Damaged { txid: window, why: why.to_owned() });
    }
    let leads = |state: &&HorizonState| {
        leads_to(&names(&contents.objects, state), state.txid, inventory.listing())
    };
    let others = contents.states.iter().filter(|state| !leads(state)).map(|state| state.txid);
    for txid in others.collect::<Vec<Txid>>() {
        match inventory.survey.plan_for(txid).await? {
            Ok(plan) => needed.extend(plan.objects().map(|object| object.key)),
            Err(_) => {
                let why = "the objects that the newest horizon names do not lead to it".to_owned();
                return Err(PruneError::Damaged { txid, why });
            }
        }
    }
    Ok(())
}

/// Whether all entries of an object are before the window, judging by names: a segment ends where the next object begins.
pub(crate) fn is_before(key: Key, window: Txid, listing: &Listing) -> bool {
    let Key::Log(first) = key else { return ends_before(key, window) };
    let next = |objects: &[Object]| {
        let after = objects.partition_point(|object| first_of(object.key) <= Some(first));
        objects.get(after).and_then(|object| first_of(object.key))
    };
    let next = [next(&listing.log), next(&listing.packs)];
    next.into_iter().flatten().any(|next| next <= window)
}

/// Whatever a horizon says.
pub(crate) fn is_deletable(key: Key) -> bool {
    matches!(key, Key::Log(_) | Key::Pack { .. } | Key::Delta { .. } | Key::Snapshot(_))
}
