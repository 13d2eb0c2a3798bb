//! The restore track of one database: what a restore of its newest state begins with, and when that is to be added to.

use std::sync::Arc;

use ebbtide_fault::setting;
use ebbtide_replica::{Key, Point, Timestamp, Txid, Vouch};
use ebbtide_shipper::{Level, Shipper};
use ebbtide_store::Store;

use super::boundaries::Boundaries;
use super::head_path::{HeadPath, Member, Since};
use super::worth::{Changed, Known, PERCENT_MAX, Worth, worth};

/// So many segments go into one pack.
const SEGMENTS_OF_A_PACK: u64 = 512;

/// What the replica says, when it is asked for the path.
pub(crate) type Found = Option<(HeadPath, Since)>;

/// What was appended to the log.
#[derive(Debug, Clone, Copy, Default)]
struct Appended {
    puts: u64,
    /// Bytes of pages, uncompressed.
    bytes: u64,
}

/// The track.
#[derive(Debug)]
pub(crate) struct Track {
    boundaries: Boundaries,
    path: Option<HeadPath>,
    /// See [`Known::percent_max`].
    percent_max: u64,
    /// Whether the path is known, or it is known that there is none.
    is_known: bool,
    /// What came after the path when it was read…
    since: Since,
    /// …and what was appended then…
    appended: Appended,
    /// …of which this was there when the object was begun that is being made.
    begun: Appended,
}

impl Track {
    /// That of a database whose newest snapshot is `newest`.
    pub(crate) fn new(shipper: &Shipper, newest: Option<Point>) -> Track {
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
            since: Since::default(),
            appended: Appended::default(),
            begun: Appended::default(),
        }
    }

    /// Takes note of `bytes` of pages that were appended to the log.
    pub(crate) fn grew(&mut self, bytes: u64) {
        self.appended.bytes += bytes;
    }

    /// Takes note of a segment that was put.
    pub(crate) fn put(&mut self) {
        self.appended.puts += 1;
    }

    /// What has ended at `now` and is not dealt with.
    pub(crate) fn ended(&mut self, now: Timestamp) -> Option<Level> {
        if self.boundaries.is_ahead(now) {
            self.boundaries.pass(now);
        }
        self.boundaries.due(now)
    }

    /// It is dealt with.
    pub(crate) fn pass(&mut self, now: Timestamp) {
        self.boundaries.pass(now);
    }

    /// Asks the replica for the path, unless it is known.
    pub(crate) fn ask(
        &self,
        store: &Arc<dyn Store>,
        now: Timestamp,
    ) -> Option<impl Future<Output = Result<Found, ebbtide_catalog::PlanError>> + use<>> {
        let store = Arc::clone(store);
        (!self.is_known).then(|| HeadPath::read(store, now))
    }

    /// What the replica says.
    pub(crate) fn found(&mut self, found: Found) {
        self.is_known = true;
        self.appended = Appended::default();
        let (path, since) = found.unzip();
        (self.path, self.since) = (path, since.unwrap_or_default());
    }

    /// What is worth being made of what `shipper` has appended, now that this has ended.
    pub(crate) fn worth(&self, ended: Level, shipper: &Shipper) -> Worth {
        let page_bytes = shipper.position().page_size.offset();
        let changed = |level| {
            let (base, pages) = shipper.level(level)?;
            Some(Changed { base: base.txid(), pages })
        };
        let Appended { puts, bytes } = self.appended;
        let packed = puts / SEGMENTS_OF_A_PACK + puts % SEGMENTS_OF_A_PACK;
        let ratio = self.path.as_ref().map_or((1, 1), |path| {
            (path.snapshot.bytes, (u64::from(path.snapshot_pages) * page_bytes).max(1))
        });
        let stored = u128::from(bytes) * u128::from(ratio.0) / u128::from(ratio.1);
        let since = Since {
            objects: self.since.objects + packed,
            bytes: self.since.bytes.saturating_add(u64::try_from(stored).unwrap_or(u64::MAX)),
        };
        worth(
            ended,
            &Known {
                path: self.path.as_ref(),
                since,
                page_bytes,
                database_pages: u32::try_from(shipper.database_bytes() / page_bytes)
                    .unwrap_or(u32::MAX),
                hour: changed(Level::Hour),
                day: changed(Level::Day),
                percent_max: self.percent_max,
            },
        )
    }

    /// A snapshot or delta is begun.
    pub(crate) fn begin(&mut self) {
        self.begun = self.appended;
    }

    /// It is durable. `base` is the entry that a delta begins after, and `pages` the size of the database. Returns what an
    /// entry has to vouch for.
    pub(crate) fn made(
        &mut self,
        vouch: Vouch,
        bytes: u64,
        base: Option<Txid>,
        pages: u32,
    ) -> Vec<Vouch> {
        let member = Member { vouch, bytes };
        let kept = self.path.as_ref().zip(base).and_then(|(path, base)| path.deltas_to(base));
        match (&mut self.path, kept) {
            (Some(path), Some(kept)) if matches!(vouch.object, Key::Delta { .. }) => {
                path.add(kept, member);
            }
            (path, _) => *path = Some(HeadPath::new(member, pages)),
        }
        self.is_known = true;
        self.since = Since::default();
        self.appended.puts -= self.begun.puts.min(self.appended.puts);
        self.appended.bytes -= self.begun.bytes.min(self.appended.bytes);
        self.path.as_ref().map_or_else(Vec::new, HeadPath::vouches)
    }
}
