//! What a copy still has, and its source has given up.
//!
//! The horizons of a copy come from its source, one a day at most. Each of them comes before the one before it is a day old
//! in the copy, and what that one condemned the source has deleted meanwhile, so the newest one does not name it any more. It
//! goes if no horizon needs it that the copy has had within the grace, nor the one before those.

use ebbtide_catalog::{StoredHorizon, horizon_before};
use ebbtide_replica::Txid;
use ebbtide_store::{Object, Store};
use futures::{StreamExt as _, TryStreamExt as _, stream};

use crate::deletion::in_order;
use crate::error::Result;
use crate::finish::{is_before, is_deletable, needed};
use crate::grace::{GRACE_MICROS, age_micros};
use crate::inventory::Inventory;

/// How many objects the source is asked for at a time.
const ASKED_AT_ONCE: usize = 16;

/// The objects of the copy that may be deleted now. `marked` are the states of all its marks.
pub(crate) async fn given_up(
    inventory: &mut Inventory,
    marked: &[Txid],
    source: &dyn Store,
) -> Result<Vec<Object>> {
    let horizons = of_the_grace(inventory).await?;
    let Some(window) = horizons.iter().map(|stored| stored.horizon.window).min() else {
        return Ok(Vec::new());
    };
    let mut needed = needed(inventory, marked).await?;
    for stored in &horizons {
        let contents = &stored.horizon.contents;
        needed.extend(contents.objects.iter().map(|object| object.name));
        needed.extend(contents.held.iter().map(|object| object.name));
    }
    let (listing, now) = (inventory.listing(), inventory.now);
    let objects = listing.objects().filter(|object| {
        is_deletable(object.key)
            && !needed.contains(&object.key)
            && age_micros(object.modified, now) >= GRACE_MICROS
            && is_before(object.key, window, listing)
    });
    Ok(in_order(gone(source, objects.collect()).await?))
}

/// The horizons that the copy has had within the grace, and the one before those; none if that one is not there.
async fn of_the_grace(inventory: &Inventory) -> Result<Vec<StoredHorizon>> {
    let mut horizons: Vec<StoredHorizon> = Vec::new();
    let mut next = inventory.horizon().cloned();
    while let Some(stored) = next {
        let (number, is_old) =
            (stored.horizon.number, age_micros(stored.stored, inventory.now) >= GRACE_MICROS);
        horizons.push(stored);
        if is_old {
            return Ok(horizons);
        }
        let manifest = inventory.survey.manifest();
        next = horizon_before(inventory.store(), manifest, number).await?;
    }
    Ok(Vec::new())
}

/// Those that the source does not have.
async fn gone(source: &dyn Store, objects: Vec<Object>) -> Result<Vec<Object>> {
    let asked = stream::iter(objects)
        .map(|object| async move { source.size(&object.key).await.map(|size| (object, size)) })
        .buffered(ASKED_AT_ONCE);
    let gone =
        asked.try_filter_map(|(object, size)| async move { Ok(size.is_none().then_some(object)) });
    Ok(gone.try_collect().await?)
}
