//! Segments in the spool.

use bytes::Bytes;
use ebbtide_replica::container::Index;
use ebbtide_replica::{EntryState, Key, Manifest, PageHash};
use ebbtide_seal::KeyId;
use ebbtide_state::Position;
use ebbtide_store::{Object, Store};
use ebbtide_wal::PageNumber;

/// The bytes of a queued segment.
#[derive(Debug)]
pub(crate) enum QueuedBody {
    /// In memory, because the write to the local disk failed.
    Memory(Bytes),
    /// In the spool, with this size.
    Spooled(u64),
}

/// A segment that an earlier run left in the spool.
#[derive(Debug)]
pub(crate) struct SpooledSegment {
    pub(crate) object: Object,
    /// The position after it.
    pub(crate) position: Position,
    /// For each entry the changed page hashes and the size of the database.
    pub(crate) entries: Vec<(Vec<(PageNumber, PageHash)>, u32)>,
    /// The page key that it names, if it is encrypted.
    page_key: Option<KeyId>,
}

/// What an earlier run left in the spool.
#[derive(Debug, Default)]
pub(crate) struct SpooledSegments {
    /// The segments that continue the durable position, in order.
    pub(crate) continuing: Vec<SpooledSegment>,
    /// All other segments.
    pub(crate) others: Vec<Key>,
    /// The wrapped keys that lie beside them.
    pub(crate) keys: Vec<Key>,
}

impl SpooledSegments {
    /// Whether the page key that a segment names lies beside it. If not, nobody could open it once it is sent.
    pub(crate) fn has_key_of(&self, segment: &SpooledSegment) -> bool {
        let is_its =
            |id| move |key: &Key| matches!(key, Key::Wrapped { id: there, .. } if *there == id);
        segment.page_key.is_none_or(|id| self.keys.iter().any(is_its(id)))
    }

    /// Whether `head` is the last entry of a segment that continues.
    pub(crate) fn has(&self, head: &EntryState) -> bool {
        let is_head = |found: &SpooledSegment| {
            let state = &found.position.state;
            (state.txid(), state.chain) == (head.txid(), head.chain)
        };
        self.continuing.iter().any(is_head)
    }
}

impl SpooledSegment {
    /// Reads a spooled segment, if it is complete and directly follows `before`.
    pub(crate) async fn read(
        store: &dyn Store,
        manifest: &Manifest,
        object: Object,
        before: &Position,
    ) -> Option<SpooledSegment> {
        let fetched = ebbtide_catalog::read_index(store, manifest, object).await.ok()?;
        let index: &Index = &fetched.index;
        if object.key != Key::Log(before.state.txid().next())
            || index.header().chain() != Some(before.state.chain)
        {
            return None;
        }
        let mut entries: Vec<(Vec<(PageNumber, PageHash)>, u32)> =
            index.entries().iter().map(|entry| (Vec::new(), entry.database_pages)).collect();
        let mut hashes = ebbtide_catalog::Hashes::new(store, object.key, &fetched);
        while let Some(run) = hashes.next().await.ok()? {
            let pages = (run.first.get()..).filter_map(PageNumber::new);
            entries[run.entry].0.extend(pages.zip(run.hashes.iter().copied()));
        }
        let last = index.entries().last()?;
        let position = Position {
            state: EntryState::after(last, index.footer().chain),
            // Only the last segment's log position is stored.
            wal: None,
            ..before.clone()
        };
        let page_key = index.opener().envelope().and_then(|envelope| envelope.pages);
        Some(SpooledSegment { object, position, entries, page_key })
    }

    /// The number of page hashes that it changed, counted once for each entry.
    pub(crate) fn pages(&self) -> u64 {
        self.entries.iter().map(|entry| entry.0.len() as u64).sum()
    }
}
