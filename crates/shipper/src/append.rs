//! Encodes commits, resyncs and claims as entries of the open segment.

use std::time::Instant;

use ebbtide_fault::point;
use ebbtide_replica::container::EntryStart;
use ebbtide_replica::{EntryFlags, EntryKind, EntryState, PageHash, ReplicaId, Timestamp};
use ebbtide_wal::Position;
use ebbtide_wal::{PageNumber, PageSize};

use crate::batch::Batch;
use crate::error::Error;
use crate::image::Pages;
use crate::outgoing::{BeginUpload, STREAM_BYTES};
use crate::parts::Parts;
use crate::segment::Segment;
use crate::shipper::Shipper;
use crate::spooling::Mode;

/// An entry without its pages.
#[derive(Debug, Clone)]
pub(crate) struct Start {
    pub(crate) kind: EntryKind,
    pub(crate) flags: EntryFlags,
    /// In µs since the epoch.
    pub(crate) time: i64,
    pub(crate) database_pages: u32,
    pub(crate) detail: Vec<u8>,
    /// The expected size of the pages in bytes.
    pub(crate) expected: u64,
    pub(crate) wal: Option<Position>,
}

/// What became of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Appended {
    /// It is in the open segment or in the batch.
    Taken,
    /// An outage lasted until the spool was full. The commit was not appended, and the log must be released.
    SpoolFull,
}

impl Start {
    /// Whether the entry may have more bytes than stay in memory.
    fn is_streamed(&self) -> bool {
        self.expected > STREAM_BYTES as u64
    }
}

impl Shipper {
    /// Appends a commit. `each_page` visits its pages in ascending order; `time` is in µs since the epoch. A small
    /// commit may stay in the batch, not yet encoded, until [`Shipper::encode`].
    ///
    /// If the spool has no room for the commit, nothing is appended.
    ///
    /// # Errors
    /// After an error the shipper cannot be used any more: open the replica again.
    pub fn append<E: From<Error>>(
        &mut self,
        time: i64,
        database_pages: u32,
        page_count: usize,
        wal: Position,
        each_page: impl Pages<E>,
    ) -> Result<Appended, E> {
        let start = Start {
            kind: EntryKind::Commit,
            flags: EntryFlags::NONE,
            time,
            database_pages,
            detail: Vec::new(),
            expected: page_count as u64 * self.page_size.offset(),
            wal: Some(wal),
        };
        self.commit_rate.count(Instant::now());
        // The spool may exceed its limit by one segment, but not by a streamed transaction, which can have any size.
        if self.is_spooling() && start.is_streamed() && !self.spool.has_room(start.expected) {
            return Ok(Appended::SpoolFull);
        }
        if Batch::takes(page_count) {
            self.append_to_batch(start, each_page)?;
        } else {
            self.append_entry(start, each_page)?;
        }
        Ok(Appended::Taken)
    }

    pub(crate) fn append_entry<E: From<Error>>(
        &mut self,
        start: Start,
        each_page: impl Pages<E>,
    ) -> Result<(), E> {
        self.encode()?;
        self.begin_entry(&start)?;
        let segment = open_segment(&mut self.open, self.head, self.replica, self.page_size);
        let (to, before) = match self.mode {
            Mode::Spooling => (self.spool.disk(), None),
            Mode::Direct => (self.presence.destination(), self.queue.last_visible()),
        };
        let begin = |key| Parts::begin(to, key, start.expected, before.clone());
        let begin: Option<&BeginUpload<'_>> =
            (start.is_streamed() && !self.non_blocking).then_some(&begin as &BeginUpload<'_>);
        each_page(&mut |page, image| {
            segment.page(page, image, begin)?;
            self.changed.extend(segment.hashed());
            Ok(())
        })?;
        segment.hash_pages();
        self.changed.extend(segment.hashed());
        Ok(self.end_entry(&start)?)
    }

    /// Appends a commit whose pages are hashed already. It stays in memory.
    pub(crate) fn append_hashed<'a>(
        &mut self,
        start: &Start,
        pages: impl Iterator<Item = ((PageNumber, &'a [u8]), PageHash)>,
    ) -> Result<(), Error> {
        self.begin_entry(start)?;
        let segment = open_segment(&mut self.open, self.head, self.replica, self.page_size);
        for ((page, image), hash) in pages {
            segment.hashed_page(page, image, hash)?;
            self.changed.push((page, hash));
        }
        self.end_entry(start)
    }

    fn begin_entry(&mut self, start: &Start) -> Result<(), Error> {
        let segment = open_segment(&mut self.open, self.head, self.replica, self.page_size);
        segment.begin(entry_start(start, self.head))?;
        self.changed.clear();
        Ok(())
    }

    /// Ends the entry whose pages are encoded. `changed` has the hashes of those pages.
    fn end_entry(&mut self, start: &Start) -> Result<(), Error> {
        point("shipper.append.encoded");
        let digest = self.page_hashes.record(&self.changed, start.database_pages)?;
        let segment = open_segment(&mut self.open, self.head, self.replica, self.page_size);
        segment.end(digest, start.wal)?;
        self.head = segment.head().unwrap_or(self.head);
        point("shipper.append.ended");
        if segment.is_streaming() {
            self.seal()?;
        }
        Ok(())
    }
}

/// The open segment. Creates one if there is none.
fn open_segment(
    open: &mut Option<Segment>,
    head: EntryState,
    replica: ReplicaId,
    page_size: PageSize,
) -> &mut Segment {
    open.get_or_insert_with(|| Segment::after(head, replica, page_size))
}

/// The time of the entry after one with the time `last`: times never decrease within a replica.
pub(crate) fn time_after(last: Timestamp, start: &Start) -> Timestamp {
    Timestamp::from_micros(start.time).unwrap_or(last).max(last)
}

/// The entry after `head`.
fn entry_start(start: &Start, head: EntryState) -> EntryStart {
    EntryStart {
        txid: head.txid().next(),
        kind: start.kind,
        flags: start.flags,
        time: time_after(head.time(), start),
        database_pages: start.database_pages,
        detail: start.detail.clone(),
    }
}
