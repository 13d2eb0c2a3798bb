//! Where the history of a replica ends.

use super::{CatalogError, Fetched, Listing, read_index};
use ebbtide_replica::{EntryState, Error, Key, KeyPrefix, Manifest, Txid};
use ebbtide_store::{Object, Store};

/// The newest entry of a replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The object that has the entry.
    pub object: Object,
    /// The state after the entry.
    pub state: EntryState,
}

impl Head {
    /// The name under which the next segment would be put.
    #[must_use]
    pub fn next(&self) -> Key {
        Key::Log(self.state.txid().next())
    }
}

/// Finds the newest entry, or that there is none. What the listing does not show yet is found by its name; what does not
/// continue the history is named in a warning and passed over.
pub async fn head(store: &dyn Store, manifest: &Manifest) -> Result<Option<Head>, CatalogError> {
    let (snapshots, packs) = futures::try_join!(
        store.list(KeyPrefix::Snapshot, None),
        store.list(KeyPrefix::Pack, None)
    )?;
    let mut listing = Listing { snapshots, packs, ..Listing::default() };
    // A long log is not listed from its beginning: the newest snapshot and the newest pack say where its end must be.
    let packed = listing.packs.iter().filter_map(|object| last_of(object.key)).max();
    let snapshot = listing.snapshots.last().and_then(|object| before(object.key));
    // Only the log shows which of them is junk, if any is.
    let from = snapshot.max(packed.map(Key::Log)).filter(|_| listing.is_in_one_piece());
    listing.log = store.list(KeyPrefix::Log, from.as_ref()).await?;
    listing.dismiss_junk();
    match last(store, manifest, &listing).await {
        Ok(Some(head)) => return Ok(Some(head)),
        Err(error) if !error.is_about_object() => return Err(error),
        end if from.is_none() => return end,
        Ok(None) | Err(_) => {}
    }
    listing.log = store.list(KeyPrefix::Log, None).await?;
    listing.dismiss_junk();
    last(store, manifest, &listing).await
}

/// The end of what is listed, and of what comes after it by its name.
async fn last(
    store: &dyn Store,
    manifest: &Manifest,
    listing: &Listing,
) -> Result<Option<Head>, CatalogError> {
    let mut passed = Vec::new();
    let mut objects: Vec<Object> = listing.log.iter().chain(&listing.packs).copied().collect();
    // Of a pack and the segment that begins with its last entry the segment may reach further.
    objects.sort_by_key(|object| (last_of(object.key), matches!(object.key, Key::Log(_))));
    let mut found = None;
    while let Some(object) = objects.pop() {
        match read_index(store, manifest, object).await {
            Ok(fetched) => {
                found = Some(follow(store, manifest, end_of(object, fetched)?).await?);
                break;
            }
            Err(error) if error.is_about_object() => passed.push((object.key, error)),
            Err(error) => return Err(error),
        }
    }
    let Some(head) = found else {
        return passed.pop().map_or(Ok(None), |(_, error)| Err(error));
    };
    for (key, error) in passed {
        // A pack that cannot be used is as good as none, and so is what comes after a gap.
        if key == head.next() {
            return Err(error);
        }
        tracing::warn!(object = %key, %error, "passed over: it does not continue the history of the replica");
    }
    Ok(Some(head))
}

/// Goes on from entry to entry by the names of segments.
async fn follow(
    store: &dyn Store,
    manifest: &Manifest,
    mut head: Head,
) -> Result<Head, CatalogError> {
    // Nothing comes after the last number that there is.
    while head.state.txid().precedes(head.state.txid().next()) {
        let Some(size) = store.size(&head.next()).await? else { break };
        let object = Object::new(head.next(), size);
        let fetched = read_index(store, manifest, object).await?;
        if fetched.index.header().chain() != Some(head.state.chain) {
            let why = format!("it was not written after entry {}", head.state.txid());
            let source = Error::damaged("the object", why);
            return Err(CatalogError::Object { key: object.key, source });
        }
        head = end_of(object, fetched)?;
    }
    Ok(head)
}

fn end_of(object: Object, fetched: Fetched) -> Result<Head, CatalogError> {
    let chain = fetched.index.footer().chain;
    match fetched.index.entries().last() {
        Some(entry) => Ok(Head { object, state: EntryState::after(entry, chain) }),
        None => {
            let source = Error::damaged("the index", "it has no entries");
            Err(CatalogError::Object { key: object.key, source })
        }
    }
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
        Key::Manifest
        | Key::Delta { .. }
        | Key::Snapshot(_)
        | Key::Horizon(_)
        | Key::Mark { .. } => None,
    }
}
