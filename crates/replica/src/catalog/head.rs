//! Where the history of a replica ends.

use super::{CatalogError, Fetched, read_index};
use crate::store::{Object, Store};
use crate::{Chain, Entry, Error, Folder, Key, Manifest, Txid};

/// The newest entry of a replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The object it lies in.
    pub object: Object,
    /// The entry.
    pub entry: Entry,
    /// The history up to it.
    pub chain: Chain,
}

impl Head {
    /// The name under which the next segment would be put.
    #[must_use]
    pub fn next(&self) -> Key {
        Key::Log(self.entry.txid.next())
    }
}

/// Finds the newest entry, or that there is none. What the listing does not show yet is found by its name.
pub async fn head(store: &dyn Store, manifest: &Manifest) -> Result<Option<Head>, CatalogError> {
    let Some(mut object) = last_object(store).await? else { return Ok(None) };
    loop {
        let head = end_of(object, read_index(store, manifest, object).await?)?;
        match store.size(&head.next()).await? {
            Some(size) => object = Object { key: head.next(), size },
            None => return Ok(Some(head)),
        }
    }
}

fn end_of(object: Object, fetched: Fetched) -> Result<Head, CatalogError> {
    let chain = fetched.index.footer().chain;
    match fetched.index.entries().last() {
        Some(entry) => Ok(Head { object, entry: entry.clone(), chain }),
        None => {
            let source = Error::damaged("the index", "it has no entries");
            Err(CatalogError::Object { key: object.key, source })
        }
    }
}

/// The last segment, or pack if that reaches further, that the listings show. A long log is not listed from its
/// beginning: the newest snapshot and the newest pack say where its end must be.
async fn last_object(store: &dyn Store) -> Result<Option<Object>, CatalogError> {
    let (snapshots, packs) =
        futures::try_join!(store.list(Folder::Snapshot, None), store.list(Folder::Pack, None))?;
    let pack = packs.into_iter().max_by_key(|object| last_of(object.key));
    let packed = pack.and_then(|pack| last_of(pack.key)).map(Key::Log);
    let from = snapshots.last().and_then(|object| before(object.key)).max(packed);
    let mut segment = store.list(Folder::Log, from.as_ref()).await?.pop();
    if segment.is_none() && from.is_some() {
        segment = store.list(Folder::Log, None).await?.pop();
    }
    Ok(match (segment, pack) {
        (Some(segment), Some(pack)) if last_of(pack.key) > last_of(segment.key) => Some(pack),
        (Some(segment), _) => Some(segment),
        (None, pack) => pack,
    })
}

/// The name after which the segment that begins with the snapshot's entry comes.
fn before(key: Key) -> Option<Key> {
    match key {
        Key::Snapshot(txid) => txid.previous().map(Key::Log),
        _ => None,
    }
}

/// The last entry that an object has for certain, judging by its name.
fn last_of(key: Key) -> Option<Txid> {
    match key {
        Key::Log(first) => Some(first),
        Key::Pack { last, .. } => Some(last),
        Key::Manifest | Key::Delta { .. } | Key::Snapshot(_) => None,
    }
}
