//! Merges small segments into packs, so that a history of small commits is small, and a restore needs few requests.
//!
//! Segments are taken from memory where they are still there, and read back from the store where they are not; a pack is
//! the same either way. The segments are not deleted, because their names fence other writers. So it is safe if a pack
//! is lost, late, or made twice.
//!
//! A name in the log may be freed and taken again while we sleep ([0030](../../../docs/decisions/0030-freed-names.md)). So
//! a pack is put only if the segment after it continues it: then all of it is of the history.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use ebbtide_catalog::{self, CatalogError};
use ebbtide_replica::container::{Header, Index, Merge, Parsed, limits::BY_PAGE_IMAGES_MAX};
use ebbtide_replica::{Chain, Key, Manifest, Txid};
use ebbtide_store::{ErrorKind, Object, Store};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::bodies::{BODIES, Bodies};
use crate::error::Error;
use crate::log_object::{LogObject, PACK_SEGMENTS, SEGMENT_BYTES_MAX, is_small};
use crate::presence::Presence;

/// A pack is full with so many bytes of segments, of which at least those that came last are in memory…
const PACK_BYTES: u64 = 128 << 20;

/// …or with this many entries, so that its index fits in memory…
const PACK_ENTRIES: u64 = 32_768;

/// …or once it takes so much memory itself.
const PACK_MEMORY: usize = 24 << 20;

/// The first search for segments to merge happens after this many confirmed segments, so that a process that is
/// restarted often makes packs, too.
const FIRST_LOOK: usize = 16;

/// One pack of the process is made at a time, so that their memory does not add up.
static ONE_AT_A_TIME: Semaphore = Semaphore::const_new(1);

/// Makes packs in a background task, one at a time.
#[derive(Debug)]
pub(crate) struct Packer {
    task: Option<JoinHandle<()>>,
    /// The packs that were made and that nobody has asked for yet.
    made: Arc<Mutex<Vec<LogObject>>>,
    /// The number of confirmed segments until the next search…
    left: usize,
    /// …and the number of their bytes.
    bytes_left: u64,
}

impl Drop for Packer {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

impl Packer {
    pub(crate) fn new() -> Packer {
        Packer { task: None, made: Arc::default(), left: FIRST_LOOK, bytes_left: PACK_BYTES }
    }

    /// Counts a confirmed segment, and starts the task if a search is due. `body` is nothing if it is not in memory.
    pub(crate) fn landed(&mut self, presence: &Arc<Presence>, key: Key, body: Option<&Bytes>) {
        let bytes = body.map_or(0, |body| body.len() as u64);
        if let (Key::Log(first), Some(body)) = (key, body)
            && bytes <= SEGMENT_BYTES_MAX
        {
            BODIES.keep(presence.manifest().replica, first, body);
        }
        self.left = self.left.saturating_sub(1);
        self.bytes_left = self.bytes_left.saturating_sub(bytes);
        let is_busy = self.task.as_ref().is_some_and(|task| !task.is_finished());
        if (self.left > 0 && self.bytes_left > 0) || is_busy {
            return;
        }
        (self.left, self.bytes_left) = (PACK_SEGMENTS, PACK_BYTES);
        let (presence, made) = (Arc::clone(presence), Arc::clone(&self.made));
        self.task = Some(tokio::spawn(async move {
            let store = &presence.destination().store;
            let note = |pack| made.lock().unwrap_or_else(PoisonError::into_inner).push(pack);
            if let Err(error) = pack(&**store, presence.manifest(), &BODIES, note).await {
                // A pack is an optimization; the next search tries again.
                tracing::warn!(store = %store.describe(), ?error, "cannot merge segments into a pack");
            }
        }));
    }

    /// Waits until no pack is being made.
    pub(crate) async fn settle(&mut self) {
        if let Some(task) = self.task.take() {
            // What became of it stands in the log.
            drop(task.await);
        }
    }

    /// The packs that were made since the last call.
    pub(crate) fn take_made(&self) -> Vec<LogObject> {
        std::mem::take(&mut *self.made.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Makes all packs that are due, and gives each to `made`.
pub(crate) async fn pack(
    store: &dyn Store,
    manifest: &Manifest,
    bodies: &Bodies,
    made: impl Fn(LogObject),
) -> Result<(), Error> {
    let (listing, _) = ebbtide_catalog::list_recent(store).await?;
    let packed = listing.packs.iter().filter_map(|object| match object.key {
        Key::Pack { last, .. } => Some(last),
        _ => None,
    });
    let packed = packed.max();
    let is_left = |object: &Object| match object.key {
        Key::Log(first) => Some(first) > packed,
        _ => false,
    };
    let log: Vec<Object> = listing.log.into_iter().filter(is_left).collect();
    let mut rest = &log[..];
    while let Some(due) = due(rest) {
        let (merged, pack) = merge(store, manifest, bodies, &rest[due.start..], due.len()).await?;
        rest = &rest[due.start + merged..];
        pack.into_iter().for_each(&made);
    }
    Ok(())
}

/// The first range of segments to merge: a full pack, or segments before a large one. The last segment is never merged:
/// its name does not tell its last txid.
fn due(log: &[Object]) -> Option<std::ops::Range<usize>> {
    let firsts: Vec<Txid> = log
        .iter()
        .map_while(|object| match object.key {
            Key::Log(first) => Some(first),
            _ => None,
        })
        .collect();
    let (mut begin, mut bytes) = (0, 0);
    for at in 0..firsts.len().saturating_sub(1) {
        if !is_small(log[at].size, firsts[at + 1].get() - firsts[at].get()) {
            if at - begin > 1 {
                return Some(begin..at);
            }
            (begin, bytes) = (at + 1, 0);
            continue;
        }
        bytes += log[at].size;
        let entries = firsts[at + 1].get() - firsts[begin].get();
        let is_full =
            at + 1 - begin >= PACK_SEGMENTS || bytes >= PACK_BYTES || entries >= PACK_ENTRIES;
        if is_full && at > begin {
            return Some(begin..at + 1);
        }
    }
    None
}

/// Puts a pack of the first `count` segments of the log, or of as many of them as one has room for. How many they are, and
/// the pack.
async fn merge(
    store: &dyn Store,
    manifest: &Manifest,
    bodies: &Bodies,
    log: &[Object],
    count: usize,
) -> Result<(usize, Option<LogObject>), Error> {
    let _turn = ONE_AT_A_TIME.acquire().await;
    let mut merge: Option<Merge> = None;
    let (mut merged, mut from_memory, mut merged_bytes) = (0, 0, 0);
    let mut chain = None;
    for &object in &log[..count] {
        let (index, body) = match kept(manifest, bodies, object.key) {
            Some(kept) => {
                from_memory += 1;
                kept
            }
            None => read_back(store, manifest, object).await?,
        };
        let is_full = |merge: &Merge| {
            let images = u64::from(merge.images()) + index.page_count();
            merge.memory() >= PACK_MEMORY || images > u64::from(BY_PAGE_IMAGES_MAX)
        };
        if merged > 0 && merge.as_ref().is_some_and(is_full) {
            break;
        }
        chain = Some(index.footer().chain);
        merge = Some(add(merge, object.key, index, body).await?);
        merged += 1;
        merged_bytes += object.size;
    }
    let (Some(merge), Some(chain)) = (merge, chain) else { return Ok((merged, None)) };
    if let Some(after) = log.get(merged) {
        check_continues(store, manifest, bodies, after.key, chain).await?;
    }
    let (key, entries) = (merge.key(), merge.entries());
    let body = blocking(move || merge.finish().map_err(Error::from)).await?;
    let bytes = body.len();
    match store.put(&key, body.into()).await {
        Ok(()) => {
            tracing::info!(%key, entries, bytes, segments = merged, from_memory, "merged segments")
        }
        // A pack of the same entries proves the same history.
        Err(error) if error.kind() == ErrorKind::Exists => {}
        Err(error) => return Err(error.into()),
    }
    let Key::Pack { first, last } = key else { return Ok((merged, None)) };
    bodies.forget_through(manifest.replica, last);
    let pack = LogObject { first, last, bytes: bytes as u64, merged: Some(merged_bytes) };
    Ok((merged, Some(pack)))
}

/// Checks that the segment after a pack continues what the pack ends with.
async fn check_continues(
    store: &dyn Store,
    manifest: &Manifest,
    bodies: &Bodies,
    key: Key,
    chain: Chain,
) -> Result<(), Error> {
    let damaged = |source| CatalogError::Object { key, source };
    let header = match kept(manifest, bodies, key) {
        Some((index, _)) => *index.header(),
        None => {
            let bytes = store.get_range(&key, 0..Header::SIZE as u64).await?;
            Header::parse(&bytes).map_err(damaged)?
        }
    };
    if header.chain() == Some(chain) {
        return Ok(());
    }
    let why = "it does not continue the segment before it";
    Err(damaged(ebbtide_replica::Error::damaged("the object", why)).into())
}

/// The segment with this name, if it is in memory and is what it is taken for.
fn kept(manifest: &Manifest, bodies: &Bodies, key: Key) -> Option<(Index, Bytes)> {
    let Key::Log(first) = key else { return None };
    let body = bodies.get(manifest.replica, first)?;
    let Ok(Parsed::Ready(index)) = Index::parse(body.len() as u64, &body, &body) else {
        return None;
    };
    let is_it = index.key() == key && index.header().replica == manifest.replica;
    is_it.then_some((index, body))
}

async fn read_back(
    store: &dyn Store,
    manifest: &Manifest,
    object: Object,
) -> Result<(Index, Bytes), Error> {
    let fetched = ebbtide_catalog::read_index(store, manifest, object).await?;
    let body = match fetched.body {
        Some(body) => body,
        None => store.get(&object.key, SEGMENT_BYTES_MAX).await?,
    };
    Ok((fetched.index, body))
}

/// Adds a segment, beside whatever waits for this thread.
async fn add(merge: Option<Merge>, key: Key, index: Index, body: Bytes) -> Result<Merge, Error> {
    blocking(move || {
        let damaged = |source| CatalogError::Object { key, source };
        let mut merge = match merge {
            Some(merge) => merge,
            None => Merge::begin(&index).map_err(damaged)?,
        };
        merge.add(&index, &body).map_err(damaged)?;
        Ok(merge)
    })
    .await
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await?
}

#[cfg(test)]
pub(crate) mod tests {
    use ebbtide_replica::container::{Contents, EntryStart, Writer};
    use ebbtide_replica::{
        Digest, EntryFlags, EntryKind, KeyPrefix, ReplicaId, Timestamp, page_hash,
    };
    use ebbtide_store::MemoryStore;
    use ebbtide_wal::{PageNumber, PageSize};

    use super::*;
    use crate::log_object::SMALL_BYTES;

    /// Puts a replica with `segments` segments that each write page 1. Returns the chain after the last.
    pub(crate) async fn replica(store: &MemoryStore, segments: u64) -> Chain {
        let (replica, page_size) = (ReplicaId::from_bytes([7; 16]), PageSize::new(512).unwrap());
        let created = Timestamp::EPOCH;
        let manifest = Manifest {
            replica,
            page_size,
            created,
            created_by: "a test".to_owned(),
            encryption: None,
        };
        store.put(&Key::Manifest, manifest.to_json().into()).await.unwrap();
        let mut chain = Chain::genesis(replica);
        for number in 1..=segments {
            let (first, image) = (Txid::new(number).unwrap(), [number.to_le_bytes()[0]; 512]);
            let contents = Contents::Segment { first, chain };
            let mut writer = Writer::new(Header { replica, page_size, contents });
            let (kind, flags, pages) = match number {
                1 => (EntryKind::Claim, EntryFlags::NONE, 0),
                2 => (EntryKind::Resync, EntryFlags::COMPLETE, 1),
                _ => (EntryKind::Commit, EntryFlags::NONE, 1),
            };
            let (time, detail) = (created, Vec::new());
            let start =
                EntryStart { txid: first, kind, flags, time, database_pages: pages, detail };
            writer.begin_entry(start).unwrap();
            let mut digest = Digest::EMPTY;
            if pages > 0 {
                writer.page(PageNumber::ONE, &image).unwrap();
                digest = digest.toggle(page_hash(PageNumber::ONE, &image));
            }
            writer.end_entry(digest).unwrap();
            chain = writer.chain().unwrap();
            store.put(&Key::Log(first), writer.finish().unwrap().tail.into()).await.unwrap();
        }
        chain
    }

    #[tokio::test]
    async fn packs_follow_each_other_and_prove_the_history_of_their_segments() {
        let store = MemoryStore::default();
        let count = 2 * PACK_SEGMENTS as u64;
        let chain = replica(&store, count + 1).await;
        let manifest = ebbtide_catalog::read_manifest(&store).await.unwrap().unwrap();
        // The second time there is nothing left to do.
        for _ in 0..2 {
            pack(&store, &manifest, &Bodies::new(0), |_| ()).await.unwrap();
        }
        let (listing, complete_from) = ebbtide_catalog::list_recent(&store).await.unwrap();
        let range = |first: u64, last: u64| Key::Pack {
            first: Txid::new(first).unwrap(),
            last: Txid::new(last).unwrap(),
        };
        let keys: Vec<Key> = listing.packs.iter().map(|object| object.key).collect();
        assert_eq!(keys, [range(1, count / 2), range(count / 2 + 1, count)]);
        assert_eq!((listing.log.len(), complete_from), (1, None));
        let last = ebbtide_catalog::read_index(&store, &manifest, listing.packs[1]).await.unwrap();
        let head = ebbtide_catalog::head(&store, &manifest).await.unwrap().unwrap();
        let begin = ebbtide_catalog::read_index(&store, &manifest, head.object).await.unwrap();
        assert_eq!(Some(last.index.footer().chain), begin.index.header().chain());
        assert_eq!(head.state.chain, chain);
    }

    /// The bytes of all packs.
    async fn packs(store: &MemoryStore) -> Vec<(Key, Bytes)> {
        let (listing, _) = ebbtide_catalog::list_recent(store).await.unwrap();
        let mut packs = Vec::new();
        for pack in listing.packs {
            packs.push((pack.key, store.get(&pack.key, u64::MAX).await.unwrap()));
        }
        packs
    }

    #[tokio::test]
    async fn a_pack_from_memory_is_the_pack_from_the_store() {
        let store = MemoryStore::default();
        replica(&store, PACK_SEGMENTS as u64 + 1).await;
        let manifest = ebbtide_catalog::read_manifest(&store).await.unwrap().unwrap();
        // Of these, only every hundredth can be read back.
        let (unreadable, bodies) = (MemoryStore::default(), Bodies::new(64 << 20));
        for (number, object) in ebbtide_catalog::list(&store).await.unwrap().log.iter().enumerate()
        {
            let body = store.get(&object.key, u64::MAX).await.unwrap();
            let Key::Log(first) = object.key else { panic!("a segment") };
            if number % 100 == 0 {
                unreadable.put(&object.key, body).await.unwrap();
            } else {
                bodies.keep(manifest.replica, first, &body);
                unreadable.put(&object.key, vec![0; body.len()].into()).await.unwrap();
            }
        }
        pack(&store, &manifest, &Bodies::new(0), |_| ()).await.unwrap();
        pack(&unreadable, &manifest, &bodies, |_| ()).await.unwrap();
        let from_memory = packs(&unreadable).await;
        assert_eq!(from_memory.len(), 1);
        assert!(packs(&store).await == from_memory);
        assert!(bodies.get(manifest.replica, Txid::new(2).unwrap()).is_none(), "it is in the pack");
    }

    /// What is in memory under a name, and is not the segment of that name, is not believed.
    #[tokio::test]
    async fn another_body_in_memory_is_passed_over() {
        let store = MemoryStore::default();
        replica(&store, PACK_SEGMENTS as u64 + 1).await;
        let manifest = ebbtide_catalog::read_manifest(&store).await.unwrap().unwrap();
        let (bodies, txid) = (Bodies::new(1 << 20), |number| Txid::new(number).unwrap());
        bodies.keep(manifest.replica, txid(3), b"no segment");
        let other = store.get(&Key::Log(txid(5)), u64::MAX).await.unwrap();
        bodies.keep(manifest.replica, txid(4), &other);
        pack(&store, &manifest, &bodies, |_| ()).await.unwrap();
        assert_eq!(packs(&store).await.len(), 1);
    }

    /// The last segment of a pack is void: it was put under a name that had been freed, and continues what is before it.
    #[tokio::test]
    async fn h05_a_void_segment_gets_into_no_pack() {
        let store = MemoryStore::default();
        let count = PACK_SEGMENTS as u64;
        replica(&store, count + 1).await;
        let manifest = ebbtide_catalog::read_manifest(&store).await.unwrap().unwrap();
        let log = |number: u64| Key::Log(Txid::new(number).unwrap());
        let before = store.list(KeyPrefix::Log, Some(&log(count - 2))).await.unwrap()[0];
        let before = ebbtide_catalog::read_index(&store, &manifest, before).await.unwrap();
        let (first, chain) = (Txid::new(count).unwrap(), before.index.footer().chain);
        let Manifest { replica, page_size, created: time, .. } = manifest.clone();
        let contents = Contents::Segment { first, chain };
        let mut writer = Writer::new(Header { replica, page_size, contents });
        let (kind, flags) = (EntryKind::Claim, EntryFlags::NONE);
        let start =
            EntryStart { txid: first, kind, flags, time, database_pages: 1, detail: Vec::new() };
        writer.begin_entry(start).unwrap();
        writer.end_entry(before.index.footer().digest).unwrap();
        store.delete(&log(count)).await.unwrap();
        store.put(&log(count), writer.finish().unwrap().tail.into()).await.unwrap();
        assert!(pack(&store, &manifest, &Bodies::new(0), |_| ()).await.is_err());
        assert_eq!(store.list(KeyPrefix::Pack, None).await.unwrap(), []);
    }

    /// Segments with these sizes, of one entry each.
    fn log(sizes: impl IntoIterator<Item = u64>) -> Vec<Object> {
        let key = |number| Key::Log(Txid::new(number).unwrap());
        (3..).zip(sizes).map(|(number, size)| Object::new(key(number), size)).collect()
    }

    #[test]
    fn small_segments_are_due_once_they_are_many() {
        let small = |count| log(std::iter::repeat_n(700, count));
        assert_eq!(due(&small(0)), None);
        assert_eq!(due(&small(PACK_SEGMENTS)), None, "the last one may still be followed");
        assert_eq!(due(&small(PACK_SEGMENTS + 1)), Some(0..PACK_SEGMENTS));
        assert_eq!(due(&small(3 * PACK_SEGMENTS)), Some(0..PACK_SEGMENTS));
    }

    #[test]
    fn bytes_and_entries_make_a_pack_full() {
        // The largest segments that are merged, of entries that are just small enough.
        let (size, entries) = (SEGMENT_BYTES_MAX, 64);
        let key = |number| Key::Log(Txid::new(3 + number * entries).unwrap());
        let count = usize::try_from(PACK_BYTES / size).unwrap();
        assert!(count < PACK_SEGMENTS, "bytes make a pack full before their number does");
        let large: Vec<Object> =
            (0..count as u64 + 3).map(|number| Object::new(key(number), size)).collect();
        assert_eq!(due(&large), Some(0..count));
        let mut few = log([700, 700, 700, 700]);
        few[2].key = Key::Log(Txid::new(3 + PACK_ENTRIES).unwrap());
        few[3].key = Key::Log(Txid::new(4 + PACK_ENTRIES).unwrap());
        assert_eq!(due(&few), Some(0..2));
    }

    #[test]
    fn a_large_segment_stands_alone_and_ends_a_pack() {
        let large = SMALL_BYTES + 1;
        assert_eq!(due(&log([700, 700, 700, large, 700])), Some(0..3));
        assert_eq!(due(&log([large, large, 700, 700, large, 700])), Some(2..4));
        assert_eq!(due(&log([700, large, 700, large, 700])), None);
    }
}
