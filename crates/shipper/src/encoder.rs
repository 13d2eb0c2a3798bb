//! Encodes commits, resyncs and claims as entries of segments.

use std::sync::Arc;

use ebbtide_fault::point;
use ebbtide_replica::{Digest, PageHash, PageHasher, Point};
use ebbtide_state::{FileIdentity, Origin, Position, State};
use ebbtide_wal::PageNumber;

use crate::batch::Batch;
use crate::encryption::Encryption;
use crate::entry::NewEntry;
use crate::error::Error;
use crate::levels::Levels;
use crate::outgoing::BeginUpload;
use crate::page_hashes::PageHashes;
use crate::pages::Pages;
use crate::sealed::SealedSegment;
use crate::segment::{FULL_BYTES, Segment};
use crate::spooled::SpooledSegment;

/// The pages that an entry changed, with their new hashes, in ascending order.
type ChangedPages = Vec<(PageNumber, PageHash)>;

/// The open segment and everything that the next entry continues. It knows no store and no clock.
///
/// Invariants: `position` is the position after the last encoded entry, and the open segment ends there. `page_hashes`
/// has one overlay for each sealed segment that is not confirmed, in the order of the segments. What is in the batch
/// comes after `position`.
pub(crate) struct Encoder {
    position: Position,
    /// What encrypts the segments, of an encrypted replica.
    encryption: Option<Arc<Encryption>>,
    page_hashes: PageHashes,
    open: Option<Segment>,
    batch: Batch,
    /// The page hashes of the entry that is being encoded. Empty in between; it keeps its allocation.
    changed: ChangedPages,
}

impl Encoder {
    /// An encoder that continues at the position of `state`, for the database in the file `database`. Its segments are
    /// encrypted if `encryption` is there.
    pub(crate) fn new(
        state: State,
        database: Option<FileIdentity>,
        encryption: Option<Arc<Encryption>>,
    ) -> Encoder {
        let position = Position { database, origin: Origin::Followed, ..state.position().clone() };
        Encoder {
            position,
            encryption,
            page_hashes: PageHashes::new(state),
            open: None,
            batch: Batch::default(),
            changed: Vec::new(),
        }
    }

    /// The position after the last encoded entry. The batch comes after it.
    pub(crate) fn position(&self) -> &Position {
        &self.position
    }

    /// The last appended entry.
    pub(crate) fn last(&self) -> Point {
        self.batch.last(self.position.state.point)
    }

    /// The durable position.
    pub(crate) fn durable(&self) -> &Position {
        self.page_hashes.durable()
    }

    /// The digest after the last entry that was recorded: encoded or replayed.
    pub(crate) fn digest(&self) -> Digest {
        self.page_hashes.digest()
    }

    /// The size of the database after that entry, in pages.
    pub(crate) fn database_pages(&self) -> u32 {
        self.page_hashes.database_pages()
    }

    /// What changed since the last deltas.
    pub(crate) fn levels(&self) -> &Levels {
        self.page_hashes.levels()
    }

    /// The same, to be changed.
    pub(crate) fn levels_mut(&mut self) -> &mut Levels {
        self.page_hashes.levels_mut()
    }

    /// The hashes of consecutive pages at the durable position.
    pub(crate) fn durable_hashes(
        &self,
        first: PageNumber,
        count: u32,
    ) -> Result<Vec<PageHash>, Error> {
        self.page_hashes.durable_pages(first, count)
    }

    /// Whether every appended entry is in a sealed segment.
    pub(crate) fn is_empty(&self) -> bool {
        self.batch.is_empty() && self.open.is_none()
    }

    /// Whether there is a segment to seal.
    pub(crate) fn has_open(&self) -> bool {
        self.open.is_some()
    }

    /// The number of entries that are in no sealed segment.
    pub(crate) fn entries(&self) -> usize {
        self.open.as_ref().map_or(0, Segment::entries) as usize + self.batch.len()
    }

    /// Whether the open segment is being streamed, so that it has to be sealed.
    pub(crate) fn is_streaming(&self) -> bool {
        self.open.as_ref().is_some_and(Segment::is_streaming)
    }

    /// Whether the open segment is full, so that it has to be sealed whatever the rate of puts.
    pub(crate) fn is_full(&self) -> bool {
        !self.has_room(FULL_BYTES)
    }

    /// Whether the open segment has room, if it may have `bytes_max` encoded bytes in memory.
    pub(crate) fn has_room(&self, bytes_max: usize) -> bool {
        self.open.as_ref().is_none_or(|open| open.has_room(bytes_max))
    }

    /// Makes the durable position and its page hashes durable on the local disk, too.
    pub(crate) fn sync(&mut self) -> Result<(), Error> {
        self.page_hashes.sync()
    }

    /// Closes the file descriptors of the local state until the next access.
    pub(crate) fn close_files(&mut self) {
        self.page_hashes.close_files();
    }

    /// Adds a small commit to the batch, and encodes the batch when it is full.
    pub(crate) fn append_to_batch<E: From<Error>>(
        &mut self,
        commit: NewEntry,
        each_page: impl Pages<E>,
    ) -> Result<(), E> {
        self.batch.push(commit, each_page)?;
        if self.batch.is_full() {
            self.encode_batch()?;
        }
        Ok(())
    }

    /// Appends an entry behind the batch. Without `begin_upload` it stays in memory, whatever its size. If the segment is
    /// streamed afterwards, it has to be sealed.
    pub(crate) fn append<E: From<Error>>(
        &mut self,
        entry: &NewEntry,
        begin_upload: Option<&BeginUpload<'_>>,
        each_page: impl Pages<E>,
    ) -> Result<(), E> {
        self.encode()?;
        self.add_entry(entry, |segment, changed| {
            each_page(&mut |page, image| {
                segment.page(page, image, begin_upload)?;
                changed.extend(segment.hashed());
                Ok(())
            })?;
            segment.hash_pages();
            changed.extend(segment.hashed());
            Ok(())
        })
    }

    /// Encodes the batch: no more commits follow in this capture.
    pub(crate) fn encode(&mut self) -> Result<(), Error> {
        self.encode_batch()?;
        // Frees the allocations.
        self.batch = Batch::default();
        Ok(())
    }

    fn encode_batch(&mut self) -> Result<(), Error> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let mut batch = std::mem::take(&mut self.batch);
        batch.encode(self.position.page_size, |commit, pages| {
            self.add_entry(commit, |segment, changed| {
                for ((page, image), hash) in pages {
                    segment.hashed_page(page, image, hash)?;
                    changed.push((page, hash));
                }
                Ok::<_, Error>(())
            })
        })?;
        batch.clear();
        self.batch = batch;
        Ok(())
    }

    /// Adds an entry to the open segment. `encode_pages` encodes its pages and collects their hashes.
    fn add_entry<E: From<Error>>(
        &mut self,
        entry: &NewEntry,
        encode_pages: impl FnOnce(&mut Segment, &mut ChangedPages) -> Result<(), E>,
    ) -> Result<(), E> {
        let Position { state: last, replica, page_size, .. } = self.position;
        let start = entry.start_after(last.point);
        let mut open = match self.open.take() {
            Some(open) => open,
            None => {
                let (first, encryption) = ((start.txid, start.time), self.encryption.as_deref());
                Segment::new(first, last.chain, (replica, page_size), encryption)?
            }
        };
        open.begin(start)?;
        let segment = self.open.insert(open);
        self.changed.clear();
        encode_pages(segment, &mut self.changed)?;
        point("shipper.append.encoded");
        let digest = self.page_hashes.record(&self.changed, entry.database_pages)?;
        segment.end(digest)?;
        self.position.state = segment.head().expect("an entry was ended");
        self.position.wal = entry.wal.or(self.position.wal);
        point("shipper.append.ended");
        Ok(())
    }

    /// Completes the open segment. Nothing if there is none.
    pub(crate) fn seal(&mut self) -> Result<Option<SealedSegment>, Error> {
        debug_assert!(self.batch.is_empty(), "the batch belongs into the segment");
        let Some(segment) = self.open.take() else { return Ok(None) };
        let key = segment.key();
        let body = segment.seal()?;
        point("shipper.segment.sealed");
        let pages = self.page_hashes.seal();
        Ok(Some(SealedSegment { key, position: self.position.clone(), pages, body }))
    }

    /// Makes `position` durable: that of the oldest segment that is not confirmed.
    pub(crate) fn confirm(&mut self, position: Position) -> Result<(), Error> {
        self.page_hashes.confirm(position)
    }

    /// Records a transaction that the replica already has, without encoding it. Returns its page hashes.
    pub(crate) fn replay<E: From<Error>>(
        &mut self,
        database_pages: u32,
        each_page: impl Pages<E>,
    ) -> Result<&[(PageNumber, PageHash)], E> {
        self.changed.clear();
        let mut hasher = PageHasher::default();
        each_page(&mut |page, image| {
            self.changed.extend(hasher.push(page, image));
            Ok(())
        })?;
        self.changed.extend(hasher.finish());
        self.page_hashes.record(&self.changed, database_pages)?;
        Ok(&self.changed)
    }

    /// Moves to the durable position `position`, whose entries were recorded and not encoded.
    pub(crate) fn move_to(&mut self, position: Position) -> Result<(), Error> {
        debug_assert!(self.is_empty(), "entries would be lost");
        self.advance(&position);
        self.page_hashes.seal();
        self.page_hashes.confirm(position)
    }

    /// Sets the log position of the last entry, which is durable.
    pub(crate) fn set_wal_position(&mut self, wal: ebbtide_wal::Position) -> Result<(), Error> {
        self.move_to(Position { wal: Some(wal), ..self.page_hashes.durable().clone() })
    }

    /// Moves behind a segment that an earlier run has spooled. Returns the number of pages that it changed.
    pub(crate) fn take_spooled(&mut self, spooled: &SpooledSegment) -> Result<u64, Error> {
        for (changed, database_pages) in &spooled.entries {
            self.page_hashes.record(changed, *database_pages)?;
        }
        let position = &spooled.position;
        if self.page_hashes.digest() != position.state.digest {
            let why = "its pages are not those of the entry";
            return Err(Error::Unproven { txid: position.state.txid(), why });
        }
        self.advance(position);
        self.page_hashes.seal();
        Ok(spooled.pages())
    }

    /// Moves behind an entry that was not encoded here. File and origin stay those of this run.
    fn advance(&mut self, to: &Position) {
        (self.position.state, self.position.wal) = (to.state, to.wal);
    }
}
