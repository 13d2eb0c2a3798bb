//! Merges small segments into packs, so that a restore needs fewer requests.
//!
//! The segments are read back from the store, so a pack has the bytes that a restore would read. The segments are not
//! deleted, because their names fence other writers. So it is safe if a pack is lost, late, or made twice.

use std::sync::Arc;

use ebbtide_catalog::{self, CatalogError};
use ebbtide_replica::container::Merge;
use ebbtide_replica::{Key, Manifest, Txid};
use ebbtide_store::{ErrorKind, Object, Store};
use tokio::task::JoinHandle;

use crate::error::Error;
use crate::presence::Presence;

/// The number of segments in a full pack.
const SEGMENTS: usize = 512;

/// A larger segment is not merged: one request for it is cheap relative to its size.
const SEGMENT_BYTES_MAX: u64 = 256 * 1024;

/// A pack is full with this many bytes, so that it fits in memory…
const PACK_BYTES: u64 = 4 * 1024 * 1024;

/// …or with this many entries, so that its index does.
const PACK_ENTRIES: u64 = 32_768;

/// The first search for segments to merge happens after this many confirmed segments, so that a process that is
/// restarted often makes packs, too.
const FIRST_LOOK: usize = 16;

/// Makes packs in a background task, one at a time.
#[derive(Debug)]
pub(crate) struct Packer {
    task: Option<JoinHandle<()>>,
    /// The number of confirmed segments until the next search.
    left: usize,
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
        Packer { task: None, left: FIRST_LOOK }
    }

    /// Counts a confirmed segment, and starts the task if a search is due.
    pub(crate) fn landed(&mut self, presence: &Arc<Presence>) {
        self.left = self.left.saturating_sub(1);
        let is_busy = self.task.as_ref().is_some_and(|task| !task.is_finished());
        if self.left > 0 || is_busy {
            return;
        }
        self.left = SEGMENTS;
        let presence = Arc::clone(presence);
        self.task = Some(tokio::spawn(async move {
            let store = &presence.destination().store;
            if let Err(error) = pack(&**store, presence.manifest()).await {
                // A pack is an optimization; the next search tries again.
                tracing::warn!(store = %store.describe(), ?error, "cannot merge segments into a pack");
            }
        }));
    }
}

/// Makes all packs that are due.
pub(crate) async fn pack(store: &dyn Store, manifest: &Manifest) -> Result<(), Error> {
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
        merge(store, manifest, &rest[due.clone()]).await?;
        rest = &rest[due.end..];
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
        if log[at].size > SEGMENT_BYTES_MAX {
            if at - begin > 1 {
                return Some(begin..at);
            }
            (begin, bytes) = (at + 1, 0);
            continue;
        }
        bytes += log[at].size;
        let entries = firsts[at + 1].get() - firsts[begin].get();
        let is_full = at + 1 - begin >= SEGMENTS || bytes >= PACK_BYTES || entries >= PACK_ENTRIES;
        if is_full && at > begin {
            return Some(begin..at + 1);
        }
    }
    None
}

/// Puts a pack of these segments.
async fn merge(store: &dyn Store, manifest: &Manifest, segments: &[Object]) -> Result<(), Error> {
    let mut merge: Option<Merge> = None;
    for &object in segments {
        let damaged = |source| CatalogError::Object { key: object.key, source };
        let fetched = ebbtide_catalog::read_index(store, manifest, object).await?;
        let body = match fetched.body {
            Some(body) => body,
            None => store.get(&object.key, SEGMENT_BYTES_MAX).await?,
        };
        let merge = match &mut merge {
            Some(merge) => merge,
            None => merge.insert(Merge::begin(&fetched.index).map_err(damaged)?),
        };
        merge.add(&fetched.index, &body).map_err(damaged)?;
    }
    let Some(merge) = merge else { return Ok(()) };
    let (key, entries) = (merge.key(), merge.entries());
    let body = merge.finish()?;
    match store.put(&key, body.into()).await {
        Ok(()) => tracing::info!(%key, entries, segments = segments.len(), "merged segments"),
        // A pack of the same entries has the same bytes.
        Err(error) if error.kind() == ErrorKind::Exists => {}
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use ebbtide_replica::container::{Contents, EntryStart, Header, Writer};
    use ebbtide_replica::{Chain, Digest, EntryFlags, EntryKind, ReplicaId, Timestamp, page_hash};
    use ebbtide_store::MemoryStore;
    use ebbtide_wal::{PageNumber, PageSize};

    use super::*;

    /// Puts a replica with `segments` segments that each write page 1. Returns the chain after the last.
    async fn replica(store: &MemoryStore, segments: u64) -> Chain {
        let (replica, page_size) = (ReplicaId::from_bytes([7; 16]), PageSize::new(512).unwrap());
        let created = Timestamp::EPOCH;
        let manifest = Manifest { replica, page_size, created, created_by: "a test".to_owned() };
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
        let count = 2 * SEGMENTS as u64;
        let chain = replica(&store, count + 1).await;
        let manifest = ebbtide_catalog::read_manifest(&store).await.unwrap().unwrap();
        // The second time there is nothing left to do.
        for _ in 0..2 {
            pack(&store, &manifest).await.unwrap();
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

    /// Segments with these sizes, of one entry each.
    fn log(sizes: impl IntoIterator<Item = u64>) -> Vec<Object> {
        let key = |number| Key::Log(Txid::new(number).unwrap());
        (3..).zip(sizes).map(|(number, size)| Object { key: key(number), size }).collect()
    }

    #[test]
    fn small_segments_are_due_once_they_are_many() {
        let small = |count| log(std::iter::repeat_n(700, count));
        assert_eq!(due(&small(0)), None);
        assert_eq!(due(&small(SEGMENTS)), None, "the last one may still be followed");
        assert_eq!(due(&small(SEGMENTS + 1)), Some(0..SEGMENTS));
        assert_eq!(due(&small(3 * SEGMENTS)), Some(0..SEGMENTS));
    }

    #[test]
    fn bytes_and_entries_make_a_pack_full() {
        let size = SEGMENT_BYTES_MAX;
        let count = usize::try_from(PACK_BYTES / size).unwrap();
        assert_eq!(due(&log(std::iter::repeat_n(size, count + 3))), Some(0..count));
        let mut few = log([700, 700, 700, 700]);
        few[2].key = Key::Log(Txid::new(3 + PACK_ENTRIES).unwrap());
        few[3].key = Key::Log(Txid::new(4 + PACK_ENTRIES).unwrap());
        assert_eq!(due(&few), Some(0..2));
    }

    #[test]
    fn a_large_segment_stands_alone_and_ends_a_pack() {
        let large = SEGMENT_BYTES_MAX + 1;
        assert_eq!(due(&log([700, 700, 700, large, 700])), Some(0..3));
        assert_eq!(due(&log([large, large, 700, 700, large, 700])), Some(2..4));
        assert_eq!(due(&log([700, large, 700, large, 700])), None);
    }
}
