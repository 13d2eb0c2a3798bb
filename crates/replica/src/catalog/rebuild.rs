//! Gives the local state its page hashes back.

use std::pin::pin;

use futures::TryStreamExt as _;

use super::{CatalogError, HashRun, Hashes, Head, Listing, list, read_indexes};
use crate::state::Fill;
use crate::store::{Object, Store};
use crate::{EntryFlags, Key, Manifest, Txid};

/// Fills a table with the hashes of all pages as they were after `upto`, mostly an entry at or near the head. What it
/// reads are indexes and hashes, no pages: from the newest snapshot at or before the entry on, so that the length of the
/// history does not matter. [`Fill::publish`] proves the result by its digest.
pub async fn rebuild_table(
    store: &dyn Store,
    manifest: &Manifest,
    upto: &Head,
    fill: &Fill,
) -> Result<(), CatalogError> {
    let listing = list(store).await?;
    let upto = upto.entry.txid;
    let base = listing.snapshot_before(upto);
    let mut objects: Vec<Object> = base.into_iter().collect();
    let base = base.and_then(|object| match object.key {
        Key::Snapshot(txid) => Some(txid),
        _ => None,
    });
    objects.extend(history(&listing, base, upto)?);
    let mut indexes = pin!(read_indexes(store, manifest, objects));
    while let Some((object, fetched)) = indexes.try_next().await? {
        let is_base = matches!(object.key, Key::Snapshot(_));
        let entries = fetched.index.entries();
        let wanted = |txid: Txid| txid <= upto && (is_base || base.is_none_or(|base| txid > base));
        let elsewhere = entries
            .iter()
            .find(|entry| wanted(entry.txid) && entry.flags.contains(EntryFlags::IN_SNAPSHOT));
        if let Some(entry) = elsewhere {
            let why = format!("entry {} has its pages there", entry.txid);
            return Err(CatalogError::Missing { key: Key::Snapshot(entry.txid), why });
        }
        let mut hashes = Hashes::new(store, object.key, &fetched);
        while let Some(HashRun { entry, first, hashes }) = hashes.next().await? {
            if wanted(entries[entry].txid) {
                fill.set(first, hashes)?;
            }
        }
    }
    Ok(())
}

/// The objects with the entries after `base` up to `upto`, in order.
fn history(listing: &Listing, base: Option<Txid>, upto: Txid) -> Result<Vec<Object>, CatalogError> {
    let mut objects = Vec::new();
    let mut wanted = upto;
    while base.is_none_or(|base| wanted > base) {
        let segment = listing.segment_of(wanted);
        let packs = listing.packs.iter().filter_map(|&object| match object.key {
            Key::Pack { first, last } if first <= wanted && wanted <= last => Some((first, object)),
            _ => None,
        });
        let segment = segment.and_then(|object| match object.key {
            Key::Log(first) => Some((first, object)),
            _ => None,
        });
        let Some((first, object)) = packs.chain(segment).min() else {
            let why = format!("entry {wanted} is needed");
            return Err(CatalogError::Missing { key: Key::Log(wanted), why });
        };
        objects.push(object);
        match first.previous() {
            Some(previous) => wanted = previous,
            None => break,
        }
    }
    objects.reverse();
    Ok(objects)
}
