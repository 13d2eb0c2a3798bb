//! Where the history of a replica ends.

use super::{CatalogError, Fetched, Listing, last_of, read_index};
use ebbtide_replica::{EntryState, Error, Key, KeyPrefix, Manifest, Txid};
use ebbtide_store::{Object, Store};

/// So many segments that a listing did not show are found by their names. Beside a writer that puts them as fast as they are
/// found, this has an end, and a put after what was found is refused.
const FOLLOWED_MAX: usize = 1024;

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
    listing.dismiss_junk(store).await?;
    match last(store, manifest, &listing).await {
        Ok(Some(head)) => return Ok(Some(head)),
        Err(error) if !error.is_about_object() => return Err(error),
        end if from.is_none() => return end,
        Ok(None) | Err(_) => {}
    }
    listing.log = store.list(KeyPrefix::Log, None).await?;
    listing.dismiss_junk(store).await?;
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
    objects.sort_by_key(|object| (reaches(object.key), matches!(object.key, Key::Log(_))));
    let mut found = None;
    while let Some(object) = objects.pop() {
        match read_linked(store, manifest, listing, object).await {
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

/// Reads the index of an object that does not contradict what comes before it. Where nothing that is listed comes right
/// before it, there is nothing to contradict: it may be the end of a history of which a part is lost.
async fn read_linked(
    store: &dyn Store,
    manifest: &Manifest,
    listing: &Listing,
    object: Object,
) -> Result<Fetched, CatalogError> {
    let fetched = read_index(store, manifest, object).await?;
    let header = fetched.index.header();
    let Some(before) = header.first().previous() else { return Ok(fetched) };
    let Some(object_before) = listing.history_at(before) else { return Ok(fetched) };
    let index = match read_index(store, manifest, object_before).await {
        Ok(fetched) => fetched.index,
        Err(error) if error.is_about_object() => return Ok(fetched),
        Err(error) => return Err(error),
    };
    let entries = index.entries().iter().zip(index.chains());
    let chain =
        entries.into_iter().find_map(|(entry, chain)| (entry.txid == before).then_some(chain));
    match chain.is_none_or(|chain| header.chain() == Some(chain)) {
        true => Ok(fetched),
        false => Err(not_after(object.key, before)),
    }
}

fn not_after(key: Key, before: Txid) -> CatalogError {
    let why = format!("it was not written after entry {before}");
    CatalogError::Object { key, source: Error::damaged("the object", why) }
}

/// Goes on from entry to entry by the names of segments, [`FOLLOWED_MAX`] of them at most.
async fn follow(
    store: &dyn Store,
    manifest: &Manifest,
    mut head: Head,
) -> Result<Head, CatalogError> {
    for _ in 0..FOLLOWED_MAX {
        // Nothing comes after the last number that there is.
        if !head.state.txid().precedes(head.state.txid().next()) {
            break;
        }
        let Some(size) = store.size(&head.next()).await? else { break };
        let object = Object::new(head.next(), size);
        let fetched = read_index(store, manifest, object).await?;
        if fetched.index.header().chain() != Some(head.state.chain) {
            return Err(not_after(object.key, head.state.txid()));
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

/// The last entry that an object has for certain, judging by its name: of a segment that is its first.
fn reaches(key: Key) -> Option<Txid> {
    match key {
        Key::Log(first) => Some(first),
        key => last_of(key),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ebbtide_replica::container::{Contents, EntryStart, Header, Writer};
    use ebbtide_replica::{Chain, Digest, EntryFlags, EntryKind, ReplicaId, Timestamp};
    use ebbtide_store::MemoryStore;
    use ebbtide_wal::PageSize;

    fn txid(number: u64) -> Txid {
        Txid::new(number).unwrap()
    }

    fn manifest(replica: u8) -> Manifest {
        Manifest {
            replica: ReplicaId::from_bytes([replica; 16]),
            page_size: PageSize::new(512).unwrap(),
            created: Timestamp::EPOCH,
            created_by: "a test".to_owned(),
            encryption: None,
        }
    }

    /// Puts a segment with one claim; the chain after it.
    async fn put(store: &MemoryStore, replica: u8, number: u64, before: Chain) -> Chain {
        let Manifest { replica, page_size, created: time, .. } = manifest(replica);
        let contents = Contents::Segment { first: txid(number), chain: before };
        let mut writer = Writer::new(Header { replica, page_size, contents });
        let (kind, flags, detail) = (EntryKind::Claim, EntryFlags::NONE, Vec::new());
        let txid = txid(number);
        writer
            .begin_entry(EntryStart { txid, kind, flags, time, database_pages: 0, detail })
            .unwrap();
        writer.end_entry(Digest::EMPTY).unwrap();
        let chain = writer.chain().unwrap();
        store.put(&Key::Log(txid), writer.finish().unwrap().tail.into()).await.unwrap();
        chain
    }

    /// A replica with entries 1 to 5, and the chain after each.
    async fn replica() -> (MemoryStore, Vec<Chain>) {
        let store = MemoryStore::default();
        store.put(&Key::Manifest, manifest(7).to_json().into()).await.unwrap();
        let mut chains = vec![Chain::genesis(manifest(7).replica)];
        for number in 1..=5 {
            let chain = put(&store, 7, number, *chains.last().unwrap()).await;
            chains.push(chain);
        }
        (store, chains)
    }

    async fn end(store: &MemoryStore) -> Result<u64, CatalogError> {
        Ok(head(store, &manifest(7)).await?.unwrap().state.txid().get())
    }

    /// Would catch a prefix that was emptied and used again under a writer that sleeps, whose put lands far ahead.
    #[tokio::test]
    async fn h19_an_object_of_another_replica_or_a_broken_one_with_a_high_number_is_not_the_head() {
        let (store, _) = replica().await;
        put(&store, 8, 9, Chain::NONE).await;
        store.put(&Key::Log(txid(11)), vec![7; 300].into()).await.unwrap();
        let pack = Key::Pack { first: txid(8), last: txid(20) };
        store.put(&pack, vec![7; 300].into()).await.unwrap();
        put(&store, 8, 1 << 40, Chain::NONE).await;
        assert_eq!(end(&store).await.unwrap(), 5);
    }

    /// A copy of the replica that went on by itself, of which an object was brought back.
    #[tokio::test]
    async fn h19_an_object_that_contradicts_what_comes_before_it_is_not_the_head() {
        let (store, chains) = replica().await;
        let six = put(&store, 7, 6, chains[5]).await;
        put(&store, 7, 7, six).await;
        assert_eq!(end(&store).await.unwrap(), 7);
        store.delete(&Key::Log(txid(7))).await.unwrap();
        put(&store, 7, 7, chains[3]).await;
        // Nothing can be put under its name, so it is not passed over but named.
        let error = end(&store).await.unwrap_err();
        assert!(error.to_string().contains("log/0000000000000007.seg: the object"), "{error}");
        assert!(error.to_string().contains("not written after entry 0000000000000006"), "{error}");
        store.delete(&Key::Log(txid(7))).await.unwrap();
        assert_eq!(end(&store).await.unwrap(), 6);
        // A row of them, of which the last links with its own.
        let eight = put(&store, 7, 8, chains[2]).await;
        put(&store, 7, 9, eight).await;
        assert_eq!(end(&store).await.unwrap(), 9, "a part of the history may be lost before it");
    }
}
