//! Segments that are in packs: they go a day after a pack of them was put, once all of it was read back.
//!
//! No horizon is needed for them: the pack has all that they had. What stays is the segment of each claim, because its
//! name is a lock, and the newest segment.

use std::collections::BTreeSet;

use ebbtide_catalog::Progress;
use ebbtide_fault::point;
use ebbtide_replica::{EntryKind, Key, Txid};
use ebbtide_restore::check_object;
use ebbtide_store::Object;

use crate::deletion::{Deleted, delete};
use crate::error::Result;
use crate::grace::{GRACE_MICROS, age_micros};
use crate::inventory::Inventory;

/// Segments that may go, and the pack that has them.
#[derive(Debug)]
pub(crate) struct Packed {
    pub(crate) pack: Object,
    pub(crate) segments: Vec<Object>,
}

/// What may go now, judging by names, ages and the indexes of the packs.
pub(crate) async fn packed(inventory: &Inventory) -> Result<Vec<Packed>> {
    let listing = inventory.listing();
    let newest = listing.log.last().map(|object| object.key);
    let condemned: BTreeSet<Key> = inventory
        .horizon()
        .into_iter()
        .flat_map(|stored| stored.horizon.contents.condemned.iter().map(|object| object.name))
        .collect();
    let mut found = Vec::new();
    let mut done = BTreeSet::new();
    for &pack in &listing.packs {
        let Key::Pack { first, last } = pack.key else { continue };
        if age_micros(pack.modified, inventory.now) < GRACE_MICROS || condemned.contains(&pack.key)
        {
            continue;
        }
        let begin = listing.log.partition_point(|object| object.key < Key::Log(first));
        let end = listing.log.partition_point(|object| object.key <= Key::Log(last));
        let segments = listing.log[begin..end]
            .iter()
            .filter(|object| Some(object.key) != newest && !done.contains(&object.key));
        let mut segments: Vec<Object> = segments.copied().collect();
        if segments.is_empty() || !inventory.survey.known().is_usable(pack.key) {
            continue;
        }
        let Some(claims) = claims(inventory, pack).await? else { continue };
        segments.retain(|object| !matches!(object.key, Key::Log(first) if claims.contains(&first)));
        if !segments.is_empty() {
            done.extend(segments.iter().map(|object| object.key));
            found.push(Packed { pack, segments });
        }
    }
    Ok(found)
}

/// The claims in a pack, or nothing if it cannot be used: it is damaged, or what comes after it does not continue it.
async fn claims(inventory: &Inventory, pack: Object) -> Result<Option<BTreeSet<Txid>>> {
    let index = match inventory.survey.index(pack).await {
        Ok(fetched) => fetched,
        Err(error) if error.is_about_object() => {
            tracing::warn!(object = %pack.key, %error, "a pack cannot be used: its segments stay");
            return Ok(None);
        }
        Err(error) => return Err(error.into()),
    };
    if !inventory.is_continued(&index.index).await? {
        return Ok(None);
    }
    let entries = index.index.entries().iter();
    let claims = entries.filter(|entry| entry.kind == EntryKind::Claim).map(|entry| entry.txid);
    Ok(Some(claims.collect()))
}

/// Reads each pack back and deletes its segments, the oldest first.
pub(crate) async fn delete_packed(inventory: &Inventory, packed: Vec<Packed>) -> Result<Deleted> {
    let progress = Progress::default();
    let mut objects = Vec::new();
    for Packed { pack, segments } in packed {
        point("prune.packed.read");
        match check_object(&inventory.survey, &progress, pack).await? {
            Ok(_) => objects.extend(segments),
            Err(why) => {
                tracing::error!(object = %pack.key, %why, "a pack is damaged: its segments stay");
            }
        }
    }
    objects.sort_unstable();
    point("prune.packed.delete");
    delete(inventory.store(), &objects).await
}
