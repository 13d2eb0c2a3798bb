//! What lies before the window and no kept state needs.

use std::collections::BTreeSet;

use ebbtide_replica::{EntryKind, Key, Txid};
use ebbtide_store::Object;

use crate::error::Result;
use crate::inventory::Inventory;
use crate::settled::judges_all;

/// The objects before `window` that are not in `needed`. Not among them are the segments of claims, whose names are locks,
/// segments that are in a pack, which go for that reason, and those of which it is not known whether they belong to the
/// history.
pub(crate) async fn unneeded(
    inventory: &mut Inventory,
    window: Txid,
    needed: &BTreeSet<Key>,
) -> Result<Vec<Object>> {
    let unwanted = |object: &&Object| {
        !needed.contains(&object.key) && inventory.survey.known().is_usable(object.key)
    };
    let listing = inventory.listing();
    let whole = listing.packs.iter().chain(&listing.deltas).chain(&listing.snapshots);
    let whole = whole.filter(unwanted).filter(|object| ends_before(object.key, window));
    let mut unneeded: Vec<Object> = whole.copied().collect();
    // The last segment that begins before the window may reach into it, and the newest one is never deleted.
    let end = listing.log.partition_point(|object| object.key < Key::Log(window));
    let before = &listing.log[..end.min(listing.log.len().saturating_sub(1))];
    let left = left(inventory);
    let is_news = |object: &&Object| !left.contains(&object.key);
    let segments = before.iter().filter(unwanted).filter(is_news).copied();
    let segments: Vec<Object> =
        segments.filter(|object| !inventory.is_packed(object.key)).collect();
    inventory.survey.learn(segments.iter().copied()).await?;
    for segment in segments {
        if is_of_the_history(inventory, segment, window).await? {
            unneeded.push(segment);
        }
    }
    Ok(unneeded)
}

/// The segments before the window of the newest horizon that were there when it was made, and that it neither names nor
/// condemns: claims, and those of which it is not known whether they belong to the history. They are as many as starts of
/// processes, and each is read once.
fn left(inventory: &Inventory) -> BTreeSet<Key> {
    let Some(stored) = inventory.horizon().filter(|_| !judges_all(inventory)) else {
        return BTreeSet::new();
    };
    let horizon = &stored.horizon;
    let named: BTreeSet<Key> = horizon.contents.objects.iter().map(|object| object.name).collect();
    let log = &inventory.listing().log;
    let ended = log.windows(2).filter(|two| two[1].key <= Key::Log(horizon.window));
    let left = ended.map(|two| two[0]).filter(|object| object.modified < stored.stored);
    left.map(|object| object.key).filter(|key| !named.contains(key)).collect()
}

/// Whether an object that names its last entry ends before the window.
pub(crate) fn ends_before(key: Key, window: Txid) -> bool {
    match key {
        Key::Pack { last, .. } | Key::Delta { last, .. } | Key::Snapshot(last) => last < window,
        _ => false,
    }
}

/// Whether a segment is no claim, ends before the window, and is continued by what comes after it: what nobody continues
/// was put under a name that had been free for a while.
async fn is_of_the_history(inventory: &Inventory, segment: Object, window: Txid) -> Result<bool> {
    let index = match inventory.survey.index(segment).await {
        Ok(fetched) => fetched,
        Err(error) if error.is_about_object() => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    let entries = index.index.entries();
    let is_claim = entries.iter().all(|entry| entry.kind == EntryKind::Claim);
    let Some(last) = entries.last().map(|entry| entry.txid) else { return Ok(false) };
    if is_claim || last >= window {
        return Ok(false);
    }
    inventory.is_continued(&index.index).await
}
