//! Takes a condemning back within the grace.
//!
//! It is two horizons: one that relies on nothing and stops the deleting, and, if that was put in time, the next number,
//! which promises again what the horizon before the condemning one promised. Whoever comes between takes the second one's
//! name.

use std::sync::Arc;

use ebbtide_catalog::{index_keys, newest_horizon};
use ebbtide_fault::point;
use ebbtide_replica::container::DocumentObject;
use ebbtide_replica::{Chain, Horizon, HorizonContents, Key, Manifest, Txid, Written};
use ebbtide_store::Store;

use crate::condemn::put;
use crate::error::{PruneError, Result};
use crate::grace::is_in_time;
use crate::inventory::Inventory;

/// What was taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Undone {
    /// The number of the horizon that had condemned it.
    pub number: u64,
    /// How many objects.
    pub objects: u64,
    /// Of how many bytes.
    pub bytes: u64,
    /// The first entry from which on every state is kept again.
    pub window: Txid,
}

/// Takes back what the newest horizon has condemned itself. `by` is who writes.
///
/// # Errors
/// [`PruneError::NothingToUndo`] if there is nothing, or it is too late.
pub async fn undo(store: Arc<dyn Store>, by: &str) -> Result<Undone> {
    let now = store.now().await?;
    let inventory = Inventory::look(Arc::clone(&store), now).await?;
    let Some(stored) = inventory.horizon().cloned() else {
        return Err(PruneError::NothingToUndo("nothing was ever condemned"));
    };
    let seen = &stored.horizon;
    let revocable = |since: u64| since == seen.number;
    if !seen.contents.condemned.iter().any(|object| revocable(object.since)) {
        return Err(PruneError::NothingToUndo("the newest horizon has condemned nothing itself"));
    }
    let late = PruneError::NothingToUndo("it may be deleted at any moment, or is by now");
    if !is_in_time(stored.stored, now) {
        return Err(late);
    }
    let written = Written { time: now, by: by.to_owned() };
    let (back, rest): (Vec<_>, Vec<_>) =
        seen.contents.condemned.iter().cloned().partition(|object| revocable(object.since));
    let mut stop = seen.clone();
    stop.number += 1;
    stop.contents = HorizonContents {
        number: stop.number,
        previous: Some(HorizonContents::naming(&stored.root)),
        written: written.clone(),
        condemned: rest.clone(),
        held: seen.contents.held.iter().chain(&back).cloned().collect(),
        ..seen.contents.clone()
    };
    let manifest = inventory.survey.manifest();
    put(&*store, manifest, &stop).await?;
    point("prune.undo.stopped");
    // The store tells when both were put.
    let put_stop = newest_horizon(&*store, manifest).await?;
    let Some(put_stop) = put_stop.filter(|put| put.horizon.number == stop.number) else {
        return Err(PruneError::Overtaken);
    };
    if !is_in_time(stored.stored, put_stop.stored) {
        return Err(late);
    }
    let before = before(&*store, inventory.survey.manifest(), seen).await?;
    let again = promise(before, &stop, &put_stop.root, rest, written);
    put(&*store, manifest, &again).await?;
    let bytes = back.iter().map(|object| object.size).sum();
    Ok(Undone { number: seen.number, objects: back.len() as u64, bytes, window: again.window })
}

/// The horizon before `seen`, which must be there; nothing before the first.
async fn before(store: &dyn Store, manifest: &Manifest, seen: &Horizon) -> Result<Option<Horizon>> {
    let Some(number) = seen.number.checked_sub(1).filter(|&number| number > 0) else {
        return Ok(None);
    };
    let body = store.get(&Key::Horizon(number), DocumentObject::OBJECT_SIZE_MAX).await?;
    let key = Key::Horizon(number);
    let keys = index_keys(store, manifest, key, &body).await?;
    let (before, root) = Horizon::open(&body, &keys)?;
    if seen.contents.previous != Some(HorizonContents::naming(&root)) {
        return Err(PruneError::NothingToUndo("the horizon before is another one than it was"));
    }
    Ok(Some(before))
}

/// The horizon after `stop` that promises what `before` did.
fn promise(
    before: Option<Horizon>,
    stop: &Horizon,
    root: &[u8; 32],
    condemned: Vec<ebbtide_replica::Condemned>,
    written: Written,
) -> Horizon {
    let number = stop.number + 1;
    let (window, chain, states, objects) = match before {
        Some(before) => {
            let HorizonContents { states, objects, .. } = before.contents;
            (before.window, before.before, states, objects)
        }
        None => (Txid::FIRST, Chain::genesis(stop.replica), Vec::new(), Vec::new()),
    };
    let contents = HorizonContents {
        number,
        previous: Some(HorizonContents::naming(root)),
        written,
        keep: None,
        freed: stop.contents.freed,
        states,
        objects,
        condemned,
        held: Vec::new(),
    };
    Horizon { number, window, before: chain, contents, ..stop.clone() }
}
