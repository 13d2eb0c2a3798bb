//! Merges small segments into packs, so that a history of small commits is small, and a restore needs few requests.
//!
//! Segments are taken from memory where they are still there, and read back from the store where they are not; a pack is
//! the same either way. The segments are not deleted, because their names fence other writers. So it is safe if a pack
//! is lost, late, or made twice.
//!
//! A name in the log may be freed and taken again while we sleep ([0030](../../../docs/decisions/0030-freed-names.md)). So
//! a pack is put only if the segment after it continues it: then all of it is of the history.
//!
//! The host that writes an encrypted replica can open only what [`Recent`](crate::recent::Recent) has the key of; the rest
//! stays unpacked.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use ebbtide_replica::{Key, Manifest, Txid};
use ebbtide_store::Object;
use tokio::task::JoinHandle;

use crate::bodies::{BODIES, Bodies};
use crate::destination::Destination;
use crate::error::Error;
use crate::log_object::{LogObject, PACK_SEGMENTS, SEGMENT_BYTES_MAX, is_small};
use crate::merging::{Merging, first_of};
use crate::presence::Presence;

/// A pack is full with so many bytes of segments, of which at least those that came last are in memory…
const PACK_BYTES: u64 = 128 << 20;

/// …or with this many entries, so that its index fits in memory. How much memory it may take itself, `merging.rs` says.
const PACK_ENTRIES: u64 = 32_768;

/// The first search for segments to merge happens after this many confirmed segments, so that a process that is
/// restarted often makes packs, too.
const FIRST_LOOK: usize = 16;

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
            let to = presence.destination();
            let note = |pack| made.lock().unwrap_or_else(PoisonError::into_inner).push(pack);
            if let Err(error) = pack(to, presence.manifest(), &BODIES, note).await {
                // A pack is an optimization; the next search tries again.
                let error = ebbtide_store::error_chain(&error);
                tracing::warn!(store = %to.store.describe(), error, "cannot merge segments into a pack");
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
    to: &Destination,
    manifest: &Manifest,
    bodies: &Bodies,
    made: impl Fn(LogObject),
) -> Result<(), Error> {
    let (listing, _) = ebbtide_catalog::list_recent(&*to.store).await?;
    let packed = listing.packs.iter().filter_map(|object| match object.key {
        Key::Pack { last, .. } => Some(last),
        _ => None,
    });
    let packed = packed.max();
    let is_left = |object: &Object| first_of(object.key).is_some_and(|first| Some(first) > packed);
    let log: Vec<Object> = listing.log.into_iter().filter(is_left).collect();
    // The host that writes an encrypted replica can open its last segments only.
    let can_open = |first| to.encryption.as_ref().is_none_or(|it| it.recent().has(first));
    let mut rest = &log[..];
    while let Some(due) = due(rest, can_open) {
        let merge = Merging { to, manifest, bodies, log: &rest[due.start..] };
        let (merged, pack) = merge.run(due.len()).await?;
        rest = &rest[due.start + merged..];
        pack.into_iter().for_each(&made);
    }
    Ok(())
}

/// The first range of segments to merge: a full pack, or segments before a large one. The last segment is never merged:
/// its name does not tell its last txid. One that cannot be opened is as good as a large one.
fn due(log: &[Object], can_open: impl Fn(Txid) -> bool) -> Option<Range<usize>> {
    let firsts: Vec<Txid> = log.iter().map_while(|object| first_of(object.key)).collect();
    let (mut begin, mut bytes) = (0, 0);
    for at in 0..firsts.len().saturating_sub(1) {
        let entries = firsts[at + 1].get() - firsts[at].get();
        if !is_small(log[at].size, entries) || !can_open(firsts[at]) {
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

#[cfg(test)]
pub(crate) mod tests {
    use ebbtide_replica::Chain;
    use ebbtide_replica::container::Header;
    use ebbtide_replica::container::{Contents, EntryStart, Writer};
    use ebbtide_replica::{
        Digest, EntryFlags, EntryKind, KeyPrefix, ReplicaId, Timestamp, page_hash,
    };
    use ebbtide_store::{MemoryStore, Store};
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
            pack(&to(&store), &manifest, &Bodies::new(0), |_| ()).await.unwrap();
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
        pack(&to(&store), &manifest, &Bodies::new(0), |_| ()).await.unwrap();
        pack(&to(&unreadable), &manifest, &bodies, |_| ()).await.unwrap();
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
        pack(&to(&store), &manifest, &bodies, |_| ()).await.unwrap();
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
        assert!(pack(&to(&store), &manifest, &Bodies::new(0), |_| ()).await.is_err());
        assert_eq!(store.list(KeyPrefix::Pack, None).await.unwrap(), []);
    }

    /// Would catch that nothing is packed any more once a policy has given up a segment among others that are in no pack.
    #[tokio::test]
    async fn segments_on_both_sides_of_a_hole_are_packed_apart() {
        let store = MemoryStore::default();
        replica(&store, 2 * PACK_SEGMENTS as u64 + 2).await;
        let manifest = ebbtide_catalog::read_manifest(&store).await.unwrap().unwrap();
        let txid = |number| Txid::new(number).unwrap();
        store.delete(&Key::Log(txid(100))).await.unwrap();
        for _ in 0..2 {
            pack(&to(&store), &manifest, &Bodies::new(0), |_| ()).await.unwrap();
        }
        let packs: Vec<Key> = packs(&store).await.into_iter().map(|(key, _)| key).collect();
        let pack = |first, last| Key::Pack { first: txid(first), last: txid(last) };
        assert_eq!(packs, [pack(1, 98), pack(101, 100 + PACK_SEGMENTS as u64)]);
    }

    pub(crate) fn to(store: &(impl Store + Clone + 'static)) -> Destination {
        Destination::new(Arc::new(store.clone()), Arc::default())
    }

    /// Segments with these sizes, of one entry each.
    fn log(sizes: impl IntoIterator<Item = u64>) -> Vec<Object> {
        let key = |number| Key::Log(Txid::new(number).unwrap());
        (3..).zip(sizes).map(|(number, size)| Object::new(key(number), size)).collect()
    }

    #[test]
    fn small_segments_are_due_once_they_are_many() {
        let small = |count| log(std::iter::repeat_n(700, count));
        assert_eq!(due(&small(0), |_| true), None);
        assert_eq!(
            due(&small(PACK_SEGMENTS), |_| true),
            None,
            "the last one may still be followed"
        );
        assert_eq!(due(&small(PACK_SEGMENTS + 1), |_| true), Some(0..PACK_SEGMENTS));
        assert_eq!(due(&small(3 * PACK_SEGMENTS), |_| true), Some(0..PACK_SEGMENTS));
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
        assert_eq!(due(&large, |_| true), Some(0..count));
        let mut few = log([700, 700, 700, 700]);
        few[2].key = Key::Log(Txid::new(3 + PACK_ENTRIES).unwrap());
        few[3].key = Key::Log(Txid::new(4 + PACK_ENTRIES).unwrap());
        assert_eq!(due(&few, |_| true), Some(0..2));
    }

    #[test]
    fn a_large_segment_stands_alone_and_ends_a_pack() {
        let large = SMALL_BYTES + 1;
        assert_eq!(due(&log([700, 700, 700, large, 700]), |_| true), Some(0..3));
        assert_eq!(due(&log([large, large, 700, 700, large, 700]), |_| true), Some(2..4));
        assert_eq!(due(&log([700, large, 700, large, 700]), |_| true), None);
    }
}
