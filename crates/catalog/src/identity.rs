//! What a replica is, also where `ebbtide.json` is gone: every object says it too. So the manifest is the first object
//! that a rule about old objects deletes, and nothing is lost by it.

use ebbtide_wal::PageSize;

use super::{CatalogError, Fetched, first_of, read_index, read_manifest};
use ebbtide_replica::container::{Envelope, Header};
use ebbtide_replica::{
    Claim, Encryption, Entry, EntryKind, Key, KeyPrefix, Manifest, ReplicaId, Timestamp, Txid,
};
use ebbtide_seal::KeyId;
use ebbtide_store::{Object, Store};

/// So many names of each directory are looked at…
const NAMES: usize = 64;

/// …and the number of those objects, half of them the first and half the last.
const SAMPLES: usize = 4;

/// What a replica is, and how that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The manifest; where it is missing, what the objects give.
    pub manifest: Manifest,
    /// Whether `ebbtide.json` is there.
    pub is_stored: bool,
}

/// Reads `ebbtide.json`, or takes what it says from the objects; nothing where there are neither. Objects of other
/// replicas are outvoted; `known` is the replica that is expected here, and is believed if one object belongs to it.
pub async fn identify(
    store: &dyn Store,
    known: Option<ReplicaId>,
) -> Result<Option<Identity>, CatalogError> {
    let damage = match read_manifest(store).await {
        Ok(Some(manifest)) => return Ok(Some(Identity { manifest, is_stored: true })),
        Ok(None) => None,
        // A full disk or a power failure empties small files. An empty one says nothing that could be wrong.
        Err(error @ CatalogError::Object { .. }) if is_empty(store).await? => Some(error),
        Err(error) => return Err(error),
    };
    let Some(manifest) = from_objects(store, known).await? else {
        return damage.map_or(Ok(None), Err);
    };
    let what = if damage.is_some() { "empty; remove it" } else { "missing" };
    tracing::warn!(
        store = %store.describe(),
        replica = %manifest.replica,
        "ebbtide.json is {what}: the replica's id and page size are taken from its objects"
    );
    Ok(Some(Identity { manifest, is_stored: false }))
}

async fn is_empty(store: &dyn Store) -> Result<bool, CatalogError> {
    Ok(store.size(&Key::Manifest).await? == Some(0))
}

/// What the headers of some objects say of the replica.
struct Vote {
    /// Which one it is, its page size, and whether it is encrypted.
    says: (ReplicaId, PageSize, bool),
    /// The index key of the first of them.
    index: Option<KeyId>,
    /// How many say so.
    count: usize,
}

/// What the headers of some objects say most often.
async fn from_objects(
    store: &dyn Store,
    known: Option<ReplicaId>,
) -> Result<Option<Manifest>, CatalogError> {
    let mut votes: Vec<Vote> = Vec::new();
    let mut oldest = Vec::new();
    for directory in [KeyPrefix::Snapshot, KeyPrefix::Pack, KeyPrefix::Log, KeyPrefix::Delta] {
        let objects = store.list_some(directory, None, NAMES).await?;
        if matches!(directory, KeyPrefix::Pack | KeyPrefix::Log) {
            oldest.extend(objects.first());
        }
        for object in sample(&objects) {
            let Some((header, envelope)) = read_header(store, *object).await? else { continue };
            let says = (header.replica, header.page_size, envelope.is_some());
            match votes.iter_mut().find(|vote| vote.says == says) {
                Some(vote) => vote.count += 1,
                None => {
                    let index = envelope.map(|envelope| envelope.index);
                    votes.push(Vote { says, index, count: 1 });
                }
            }
        }
    }
    // Of as many votes the first counts, which is a snapshot's.
    let best = votes.iter().rev().max_by_key(|vote| (Some(vote.says.0) == known, vote.count));
    let Some(&Vote { says: (replica, page_size, _), index, .. }) = best else { return Ok(None) };
    let unknown = Manifest {
        replica,
        page_size,
        created: Timestamp::EPOCH,
        created_by: "ebbtide, from the objects of the replica".to_owned(),
        encryption: index.map(Encryption::new),
    };
    Ok(Some(with_beginning(store, unknown, oldest).await?))
}

/// Adds when the replica was begun, and by whom, as the first claim states it: just as it stood in `ebbtide.json`, if the
/// beginning of the history is still there. A copy may have another form than what the claim states.
async fn with_beginning(
    store: &dyn Store,
    manifest: Manifest,
    oldest: Vec<Object>,
) -> Result<Manifest, CatalogError> {
    let first = match oldest_entry(store, &manifest, oldest).await {
        // Without its key, what the objects show has to do.
        Err(CatalogError::Key(_)) | Ok(None) => return Ok(manifest),
        first => first?,
    };
    let Some((first, index)) = first else { return Ok(manifest) };
    let claim = claim_of(&first);
    if let Some(stated) = claim.as_ref().and_then(|claim| stated_by(claim, &manifest)) {
        return Ok(stated.in_form(index.map(Encryption::new)));
    }
    let created_by = match claim.filter(|_| manifest.encryption.is_none()) {
        Some(claim) => Manifest::creator(&claim.version, &claim.host),
        None => manifest.created_by,
    };
    Ok(Manifest { created: first.time, created_by, ..manifest })
}

/// What entry 1 states as `ebbtide.json` of the replica that says `manifest` of itself, if it can be read: a copy may have
/// another form. It may stand by itself once the history after it is thinned.
///
/// # Errors
/// When the store fails, or the key of the entry is not to be had.
pub async fn stated_manifest(
    store: &dyn Store,
    manifest: &Manifest,
) -> Result<Option<Manifest>, CatalogError> {
    let mut oldest = store.list_some(KeyPrefix::Log, None, 1).await?;
    oldest.extend(store.list_some(KeyPrefix::Pack, None, 1).await?);
    oldest.retain(|object| first_of(object.key) == Some(Txid::FIRST));
    let first = oldest_entry(store, manifest, oldest).await?;
    let claim = first.as_ref().and_then(|(first, _)| claim_of(first));
    Ok(claim.and_then(|claim| stated_by(&claim, manifest)))
}

/// The first entry of the first of these objects that can be read, and the index key of that object.
async fn oldest_entry(
    store: &dyn Store,
    manifest: &Manifest,
    mut objects: Vec<Object>,
) -> Result<Option<(Entry, Option<KeyId>)>, CatalogError> {
    objects.sort_by_key(|object| first_of(object.key));
    for object in objects {
        match read_index(store, manifest, object).await {
            Ok(Fetched { index, .. }) => {
                let key = index.opener().envelope().map(|envelope| envelope.index);
                return Ok(index.entries().first().cloned().map(|first| (first, key)));
            }
            Err(error) if error.is_about_object() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

fn claim_of(first: &Entry) -> Option<Claim> {
    let is_claim = first.kind == EntryKind::Claim;
    is_claim.then(|| Claim::from_detail(&first.detail).ok()).flatten()
}

/// The manifest that a claim states, if it is of the same replica.
fn stated_by(claim: &Claim, manifest: &Manifest) -> Option<Manifest> {
    let stated = claim.stated_manifest()?;
    let is_same = (stated.replica, stated.page_size) == (manifest.replica, manifest.page_size);
    is_same.then_some(stated)
}

fn sample(objects: &[Object]) -> impl Iterator<Item = &Object> {
    let (first, rest) = objects.split_at(objects.len().min(SAMPLES / 2));
    first.iter().chain(rest.iter().rev().take(SAMPLES / 2))
}

/// The header of an object, unless it is none of ours.
async fn read_header(
    store: &dyn Store,
    object: Object,
) -> Result<Option<(Header, Option<Envelope>)>, CatalogError> {
    if object.size < Header::SIZE as u64 {
        return Ok(None);
    }
    match store.get_range(&object.key, 0..Header::SIZE as u64).await.map_err(CatalogError::from) {
        Ok(bytes) => Ok(Header::parse_any(&bytes).ok()),
        Err(error) if error.is_about_object() => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ebbtide_replica::container::{Contents, EntryStart, Writer};
    use ebbtide_replica::{Chain, Digest, EntryFlags};
    use ebbtide_store::MemoryStore;

    fn time() -> Timestamp {
        Timestamp::from_micros(1_795_253_400_000_000).unwrap()
    }

    fn manifest(replica: u8) -> Manifest {
        Manifest {
            replica: ReplicaId::from_bytes([replica; 16]),
            page_size: PageSize::new(512).unwrap(),
            created: time(),
            created_by: Manifest::creator("0.1.0", "db1"),
            encryption: None,
        }
    }

    /// Puts a segment with one claim.
    async fn put_claim(store: &MemoryStore, replica: u8, number: u64) {
        put_claim_stating(store, replica, number, None).await;
    }

    async fn put_claim_stating(
        store: &MemoryStore,
        replica: u8,
        number: u64,
        stated: Option<&Manifest>,
    ) {
        let Manifest { replica, page_size, created, .. } = manifest(replica);
        let first = Txid::new(number).unwrap();
        let chain = if number == 1 { Chain::genesis(replica) } else { Chain::NONE };
        let contents = Contents::Segment { first, chain };
        let mut writer = Writer::new(Header { replica, page_size, contents });
        let claim = Claim {
            host: "db1".to_owned(),
            pid: 1,
            session: "5eed".to_owned(),
            version: "0.1.0".to_owned(),
            time: created,
            database: None,
            manifest: stated.map(|stated| String::from_utf8(stated.to_json()).unwrap().into()),
        };
        let detail = claim.to_detail().unwrap();
        let (kind, flags) = (EntryKind::Claim, EntryFlags::NONE);
        let start =
            EntryStart { txid: first, kind, flags, time: created, database_pages: 0, detail };
        writer.begin_entry(start).unwrap();
        writer.end_entry(Digest::EMPTY).unwrap();
        store.put(&Key::Log(first), writer.finish().unwrap().tail.into()).await.unwrap();
    }

    async fn found(store: &MemoryStore, known: Option<u8>) -> Option<Manifest> {
        let known = known.map(|known| ReplicaId::from_bytes([known; 16]));
        let identity = identify(store, known).await.unwrap()?;
        assert!(!identity.is_stored);
        Some(identity.manifest)
    }

    #[tokio::test]
    async fn o02_the_beginning_of_the_history_gives_the_manifest_as_it_was() {
        let store = MemoryStore::default();
        assert_eq!(found(&store, None).await, None);
        put_claim(&store, 7, 1).await;
        assert_eq!(found(&store, None).await, Some(manifest(7)));
        store.put(&Key::Manifest, manifest(7).to_json().into()).await.unwrap();
        let there = Identity { manifest: manifest(7), is_stored: true };
        assert_eq!(identify(&store, None).await.unwrap(), Some(there));
    }

    /// Whoever puts the first claim need not be who put the manifest.
    #[tokio::test]
    async fn o02_the_manifest_is_put_again_as_the_first_claim_states_it() {
        let created_by = Manifest::creator("0.0.9", "another");
        let stated = Manifest { created: Timestamp::EPOCH, created_by, ..manifest(7) };
        let store = MemoryStore::default();
        put_claim_stating(&store, 7, 1, Some(&stated)).await;
        assert_eq!(found(&store, None).await, Some(stated));
        // What it states of another replica is nothing.
        let store = MemoryStore::default();
        put_claim_stating(&store, 7, 1, Some(&manifest(8))).await;
        assert_eq!(found(&store, None).await, Some(manifest(7)));
    }

    #[tokio::test]
    async fn the_first_entry_states_the_manifest_and_nothing_of_another_replica_does() {
        let store = MemoryStore::default();
        assert_eq!(stated_manifest(&store, &manifest(7)).await.unwrap(), None);
        put_claim_stating(&store, 7, 1, Some(&manifest(7))).await;
        assert_eq!(stated_manifest(&store, &manifest(7)).await.unwrap(), Some(manifest(7)));
        let store = MemoryStore::default();
        put_claim_stating(&store, 7, 1, Some(&manifest(8))).await;
        assert_eq!(stated_manifest(&store, &manifest(7)).await.unwrap(), None);
    }

    #[tokio::test]
    async fn o02_objects_of_other_replicas_are_outvoted_and_junk_is_none() {
        let store = MemoryStore::default();
        for number in [3, 4] {
            put_claim(&store, 7, number).await;
        }
        put_claim(&store, 8, 9).await;
        let junk = Key::Snapshot(Txid::new(5).unwrap());
        store.put(&junk, vec![7; 300].into()).await.unwrap();
        assert_eq!(found(&store, None).await.unwrap().replica, manifest(7).replica);
        assert_eq!(found(&store, Some(8)).await.unwrap().replica, manifest(8).replica);
        assert_eq!(found(&store, Some(9)).await.unwrap().replica, manifest(7).replica);
    }
}
