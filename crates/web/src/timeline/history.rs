//! The history of one replica, read once and then what is new.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use ebbtide_catalog::{CatalogError, Identity, Listing, chronology, identify, newest_horizon};
use ebbtide_catalog::{read_indexes, read_marks};
use ebbtide_replica::{Key, Manifest, Point, Timestamp, Txid};
use ebbtide_store::{Object, Store, StoreError};
use futures::TryStreamExt as _;

use super::cells::{Cell, Cells};
use super::event::Event;
use super::kept::{NamedState, single, snapshots};
use super::row::Row;

/// So many events are kept, the newest.
const EVENTS_MAX: usize = 4096;

/// The entries of so many objects are kept for whoever goes from one to the next.
const OBJECTS_KEPT: usize = 8;

/// Where a part of the history has no more entries than this, it is read again to show each.
const CLOSE_MAX: u64 = 100_000;

/// Why a history cannot be shown.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TimelineError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

/// What is known of a history.
#[derive(Debug)]
pub(crate) struct History {
    pub(crate) manifest: Manifest,
    pub(crate) cells: Cells,
    pub(crate) events: VecDeque<Event>,
    pub(crate) snapshots: Vec<Txid>,
    pub(crate) marks: Vec<NamedState>,
    /// Single states, from before every commit is kept.
    pub(crate) states: Vec<NamedState>,
    /// The first entry from which on every commit is kept.
    pub(crate) window: Txid,
    /// How many bytes all objects have.
    pub(crate) bytes: u64,
    objects: Vec<Object>,
    /// The last entry that was read.
    read: Option<Txid>,
    rows: Mutex<VecDeque<(Key, Arc<Vec<Row>>)>>,
}

impl History {
    /// Reads what there is; `before` is what was read earlier. Nothing if there is no replica.
    pub(crate) async fn read(
        store: &dyn Store,
        before: Option<&History>,
    ) -> Result<Option<History>, TimelineError> {
        let identity = identify(store, before.map(|it| it.manifest.replica)).await?;
        let Some(Identity { manifest, .. }) = identity else { return Ok(None) };
        let listing = list(store).await?;
        let marks = read_marks(store, &manifest).await?.marks;
        let horizon = newest_horizon(store, &manifest).await?.map(|stored| stored.horizon);
        let window = horizon.as_ref().map_or(Txid::FIRST, |horizon| horizon.window);
        let states = horizon.iter().flat_map(|horizon| &horizon.contents.states);
        let states = states.filter(|state| state.txid < window).map(single).collect();
        let same = |it: &&History| it.window == window && it.manifest.replica == manifest.replica;
        let before = before.filter(same);
        let mut history = History {
            cells: before.map(|it| it.cells.clone()).unwrap_or_default(),
            events: before.map(|it| it.events.clone()).unwrap_or_default(),
            read: before.and_then(|it| it.read),
            snapshots: snapshots(&listing),
            marks: marks.iter().map(NamedState::of).collect(),
            bytes: listing.objects().map(|object| object.size).sum(),
            objects: chronology(&listing, window),
            manifest,
            states,
            window,
            rows: Mutex::default(),
        };
        history.read_on(store).await?;
        Ok(Some(history))
    }

    /// Reads what was not read yet.
    async fn read_on(&mut self, store: &dyn Store) -> Result<(), TimelineError> {
        let unread = match self.read {
            Some(read) => self.covering(read.next(), Txid::MAX).to_vec(),
            None => self.objects.clone(),
        };
        let manifest = self.manifest.clone();
        let mut indexes = std::pin::pin!(read_indexes(store, &manifest, unread));
        while let Some((_, fetched)) = indexes.try_next().await? {
            for entry in fetched.index.entries() {
                // Packs that two processes have made may overlap, and what is left from before the window is not kept.
                if Some(entry.txid) <= self.read || entry.txid < self.window {
                    continue;
                }
                self.read = Some(entry.txid);
                let row = Row::of(entry);
                if row.is_state() {
                    self.cells.push(row.point, u64::from(row.pages));
                }
                self.events.extend(Event::of(entry));
            }
            let excess = self.events.len().saturating_sub(EVENTS_MAX);
            self.events.drain(..excess);
        }
        Ok(())
    }

    /// The objects that may have entries from `first` to `last`.
    pub(super) fn covering(&self, first: Txid, last: Txid) -> &[Object] {
        let begin = |object: &Object| match object.key {
            Key::Pack { first, .. } | Key::Log(first) => first,
            _ => Txid::FIRST,
        };
        // The last one that begins at or before it has it, or none has.
        let from = self.objects.partition_point(|object| begin(object) <= first).saturating_sub(1);
        let to = self.objects.partition_point(|object| begin(object) <= last);
        self.objects.get(from..to).unwrap_or_default()
    }

    /// The entries of an object.
    pub(super) async fn rows(
        &self,
        store: &dyn Store,
        object: Object,
    ) -> Result<Arc<Vec<Row>>, TimelineError> {
        let kept = || self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, rows)) = kept().iter().find(|(key, _)| *key == object.key) {
            return Ok(Arc::clone(rows));
        }
        let fetched = ebbtide_catalog::read_index(store, &self.manifest, object).await?;
        let rows: Arc<Vec<Row>> = Arc::new(fetched.index.entries().iter().map(Row::of).collect());
        let mut kept = kept();
        kept.truncate(OBJECTS_KEPT - 1);
        kept.push_front((object.key, Arc::clone(&rows)));
        Ok(rows)
    }

    /// The commits between two times: each by itself, if they are few enough to be read again where they became one.
    pub(crate) async fn close(
        &self,
        store: &dyn Store,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<Cell>, TimelineError> {
        let cells = self.cells.between(from, to);
        let commits: u64 = cells.iter().map(|cell| cell.commits).sum();
        let ends = cells.first().zip(cells.last());
        let Some((first, last)) = ends.filter(|_| !self.cells.is_exact() && commits <= CLOSE_MAX)
        else {
            return Ok(cells.to_vec());
        };
        let (first, last) = (first.first.txid, last.last.txid);
        let mut close = Vec::new();
        for object in self.covering(first, last) {
            let rows = self.rows(store, *object).await?;
            let within = |row: &&Row| {
                row.is_state()
                    && row.point.txid >= self.window
                    && (from..=to).contains(&row.point.time)
            };
            let cell = |row: &Row| Cell::of(row.point, u64::from(row.pages));
            close.extend(rows.iter().filter(within).map(cell));
        }
        Ok(close)
    }

    /// The last state up to a time; where cells have many entries, one that is near it.
    pub(crate) fn last_by(&self, time: Timestamp) -> Option<Txid> {
        let cell = self.cells.between(Timestamp::MIN, time).last();
        let entry = cell.map(|it| if it.last.time <= time { it.last.txid } else { it.first.txid });
        let states = self.states.iter().rev();
        entry.or_else(|| states.map(|it| it.point).find(|it| it.time <= time).map(|it| it.txid))
    }

    /// The first and the last state that can be restored.
    pub(crate) fn ends(&self) -> Option<(Point, Point)> {
        let (first, last) = match self.cells.ends() {
            Some(ends) => ends,
            None => (self.states.first()?.point, self.states.last()?.point),
        };
        Some((self.states.first().map_or(first, |state| state.point), last))
    }
}

/// The names, without those of segments that are in packs, if all others are known then.
async fn list(store: &dyn Store) -> Result<Listing, StoreError> {
    match ebbtide_catalog::list_recent(store).await? {
        (listing, None) => Ok(listing),
        (_, Some(_)) => ebbtide_catalog::list(store).await,
    }
}
