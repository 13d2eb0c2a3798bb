//! The marks of a replica, as they lie in the store.

use ebbtide_replica::{Error, Key, KeyPrefix, Manifest, Mark, Timestamp};
use ebbtide_store::{Object, Store};
use futures::{StreamExt as _, stream};

use crate::CatalogError;
use crate::index_keys::index_keys;

/// The number of marks that are read concurrently.
const MARKS_AT_ONCE: usize = 32;

/// A mark and since when it is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredMark {
    /// The mark.
    pub mark: Mark,
    /// Since when the store has had it.
    pub stored: Timestamp,
}

/// All marks of a replica, in the order of their entries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Marks {
    /// Those that can be read.
    pub marks: Vec<StoredMark>,
    /// Those that are damaged, or belong to another replica. Only their names tell which entry they are of.
    pub unreadable: Vec<Key>,
}

/// Reads all marks. Those that cannot be used are named in a warning, too.
///
/// # Errors
/// When the store fails, or a mark was written by a newer version: what that one keeps is not known.
pub async fn read_marks(store: &dyn Store, manifest: &Manifest) -> Result<Marks, CatalogError> {
    let listed = store.list(KeyPrefix::Mark, None).await?;
    let read = |object: Object| async move { (object, read_mark(store, manifest, object).await) };
    let mut read = std::pin::pin!(stream::iter(listed).map(read).buffered(MARKS_AT_ONCE));
    let mut marks = Marks::default();
    while let Some((object, mark)) = read.next().await {
        match mark {
            Ok(Some(mark)) => marks.marks.push(StoredMark { mark, stored: object.modified }),
            Ok(None) => {}
            Err(CatalogError::Object { key, source: source @ Error::Newer { .. } }) => {
                return Err(CatalogError::Object { key, source });
            }
            Err(error) if error.is_about_object() => {
                tracing::warn!(%error, "a mark cannot be used");
                marks.unreadable.push(object.key);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(marks)
}

/// The mark, unless it was removed meanwhile.
async fn read_mark(
    store: &dyn Store,
    manifest: &Manifest,
    object: Object,
) -> Result<Option<Mark>, CatalogError> {
    let body = match store.get(&object.key, Mark::SIZE_MAX).await {
        Err(error) if error.kind() == ebbtide_store::ErrorKind::NotFound => return Ok(None),
        body => body?,
    };
    let damaged = CatalogError::object(object.key);
    let keys = index_keys(store, manifest, object.key, &body).await?;
    let mark = Mark::open(&body, &keys).map_err(&damaged)?;
    if mark.replica != manifest.replica || mark.page_size != manifest.page_size {
        let why = format!("it belongs to the replica {}", mark.replica);
        return Err(damaged(Error::damaged("the mark", why)));
    }
    if mark.key() != object.key {
        let why = format!("it was written as {}", mark.key());
        return Err(damaged(Error::damaged("the mark", why)));
    }
    Ok(Some(mark))
}

#[cfg(test)]
mod tests {
    use ebbtide_replica::{Chain, Digest, MarkContents, ReplicaId, Txid};
    use ebbtide_store::MemoryStore;
    use ebbtide_wal::PageSize;

    use super::*;

    fn manifest(id: u8) -> Manifest {
        Manifest {
            replica: ReplicaId::from_bytes([id; 16]),
            page_size: PageSize::new(512).unwrap(),
            created: Timestamp::EPOCH,
            created_by: "a test".to_owned(),
            encryption: None,
        }
    }

    fn mark(manifest: &Manifest, number: u64, random: u64) -> Mark {
        let txid = Txid::new(number).unwrap();
        let (name, time, lasts) = (format!("mark {number}"), Timestamp::EPOCH, None);
        Mark {
            replica: manifest.replica,
            page_size: manifest.page_size,
            txid,
            random,
            chain: Chain::from_bytes([1; 32]),
            digest: Digest::from_bytes([2; 16]),
            contents: MarkContents { name, txid, time, lasts },
        }
    }

    #[tokio::test]
    async fn marks_are_read_in_order_and_what_is_none_of_ours_is_named() {
        let (store, ours) = (MemoryStore::default(), manifest(1));
        let put = |key: Key, body: Vec<u8>| {
            let store = store.clone();
            async move { store.put(&key, body.into()).await.unwrap() }
        };
        let (one, two) = (mark(&ours, 2, 7), mark(&ours, 5, 1));
        put(two.key(), two.encode().unwrap()).await;
        put(one.key(), one.encode().unwrap()).await;
        let foreign = mark(&manifest(2), 3, 3);
        put(foreign.key(), foreign.encode().unwrap()).await;
        let renamed = Key::Mark { txid: Txid::new(4).unwrap(), random: 4 };
        put(renamed, one.encode().unwrap()).await;
        let long = Key::Mark { txid: Txid::new(6).unwrap(), random: 6 };
        put(long, vec![0; usize::try_from(Mark::SIZE_MAX).unwrap() + 1]).await;
        let torn = Key::Mark { txid: Txid::new(7).unwrap(), random: 7 };
        put(torn, one.encode().unwrap()[..200].to_vec()).await;
        let read = read_marks(&store, &ours).await.unwrap();
        let found: Vec<&Mark> = read.marks.iter().map(|stored| &stored.mark).collect();
        assert_eq!(found, [&one, &two]);
        assert_eq!(read.unreadable, [foreign.key(), renamed, long, torn]);
    }
}
