//! The restore track of one database: what a restore of its newest state begins with, and when that is to be added to.

use std::sync::Arc;

use ebbtide_catalog::PlanError;
use ebbtide_fault::setting;
use ebbtide_replica::{Key, Point, Timestamp, Txid, Vouch};
use ebbtide_shipper::{Level, LogObject, PACK_SEGMENTS, Shipper};
use ebbtide_store::Store;

use super::boundaries::Boundaries;
use super::head_path::{Found, HeadPath, Member};
use super::tail::Tail;
use super::worth::{Changed, Known, PERCENT_MAX, Worth, worth};

/// The restore track of a database that a [`Shipper`] ships. Time is an argument.
#[derive(Debug)]
pub struct Track {
    boundaries: Boundaries,
    path: Option<HeadPath>,
    /// See [`Known::percent_max`].
    percent_max: u64,
    /// Whether the path is known, or it is known that there is none.
    is_known: bool,
    /// What comes after the path.
    tail: Tail,
}

impl Track {
    /// That of a database whose newest snapshot is `newest`.
    #[must_use]
    pub fn new(shipper: &Shipper, newest: Option<Point>) -> Track {
        let newest = newest.map_or(Timestamp::MIN, |newest| newest.time);
        let since = |level| {
            let base = shipper.level(level).map(|(base, _)| base.time());
            base.unwrap_or(Timestamp::MIN).max(newest)
        };
        let replica = shipper.position().replica;
        Track {
            boundaries: Boundaries::new(replica, since(Level::Hour), since(Level::Day)),
            path: None,
            percent_max: setting("percent-max").unwrap_or(PERCENT_MAX),
            is_known: false,
            // In a test, few segments are many.
            tail: Tail::new(setting("pack-segments").unwrap_or(PACK_SEGMENTS as u64)),
        }
    }

    /// Takes note of segments and packs that are durable.
    pub fn appended(&mut self, objects: impl IntoIterator<Item = LogObject>) {
        objects.into_iter().for_each(|object| self.tail.add(object));
    }

    /// What has ended at `now` and is not dealt with.
    pub fn ended(&mut self, now: Timestamp) -> Option<Level> {
        if self.boundaries.is_ahead(now) {
            self.boundaries.pass(now);
        }
        self.boundaries.due(now)
    }

    /// It is dealt with. A replica that had no snapshot is asked again the next time: the entry of the first one may have been
    /// on its way.
    pub fn pass(&mut self, now: Timestamp) {
        self.boundaries.pass(now);
        self.is_known = self.path.is_some();
    }

    /// Asks the replica for the path, unless it is known.
    pub fn ask(
        &self,
        store: &Arc<dyn Store>,
        now: Timestamp,
    ) -> Option<impl Future<Output = Result<Found, PlanError>> + use<>> {
        let store = Arc::clone(store);
        (!self.is_known).then(|| HeadPath::read(store, now))
    }

    /// What the replica says.
    pub fn found(&mut self, found: Found) {
        self.is_known = true;
        let Some((path, history)) = found else {
            self.path = None;
            return;
        };
        if let Some(end) = path.end() {
            self.tail.found(end, &history);
        }
        self.path = Some(path);
    }

    /// What is worth being made of what `shipper` has appended, now that this has ended.
    #[must_use]
    pub fn worth(&self, ended: Level, shipper: &Shipper) -> Worth {
        let page_bytes = shipper.position().page_size.offset();
        let changed = |level| {
            let (base, pages) = shipper.level(level)?;
            Some(Changed { base: base.txid(), pages })
        };
        let pages = shipper.database_bytes() / page_bytes;
        worth(
            ended,
            &Known {
                path: self.path.as_ref(),
                since: self.tail.read(),
                page_bytes,
                database_pages: u32::try_from(pages).unwrap_or(u32::MAX),
                hour: changed(Level::Hour),
                day: changed(Level::Day),
                percent_max: self.percent_max,
            },
        )
    }

    /// A snapshot or delta of so many bytes is durable. `base` is the entry that a delta begins after, and `pages` the size of
    /// the database. Returns what an entry has to vouch for.
    pub fn made(&mut self, vouch: Vouch, bytes: u64, base: Option<Txid>, pages: u32) -> Vec<Vouch> {
        let member = Member { vouch, bytes };
        let kept = self.path.as_ref().zip(base).and_then(|(path, base)| path.deltas_to(base));
        match (&mut self.path, kept) {
            (Some(path), Some(kept)) if matches!(vouch.object, Key::Delta { .. }) => {
                path.add(kept, member);
            }
            (path, _) => *path = Some(HeadPath::new(member, pages)),
        }
        self.is_known = true;
        if let Some(end) = vouch.object.state() {
            self.tail.begin_after(end);
        }
        self.path.as_ref().map_or_else(Vec::new, HeadPath::vouches)
    }
}
