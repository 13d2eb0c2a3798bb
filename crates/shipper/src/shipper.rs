//! The shipper of one database: the face of encoder, uploader and put budget.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ebbtide_fault::point;
use ebbtide_replica::{
    ClaimedFile, Digest, EntryFlags, EntryKind, EntryState, PageHash, Point, Txid,
};
use ebbtide_state::{FileIdentity, Position, State};
use ebbtide_wal::{PageNumber, PageSize};

use crate::batch::Batch;
use crate::commit::{Appended, Blocking, Commit};
use crate::comparison::KnownPages;
use crate::encoder::Encoder;
use crate::entry::NewEntry;
use crate::error::Error;
use crate::levels::Level;
use crate::log_object::LogObject;
use crate::options::Options;
use crate::outgoing::{BeginUpload, STREAM_BYTES};
use crate::pages::Pages;
use crate::presence::Presence;
use crate::put_budget::PutBudget;
use crate::safety::{SETTLED_ENTRIES, Safety};
use crate::segment::FULL_BYTES;
use crate::snapshot::{Delta, DeltaBase, Snapshot, SnapshotStart};
use crate::spool::Spool;
use crate::spooled::SpooledSegment;
use crate::uploader::Uploader;

/// The limit of the open segment, in encoded bytes, while a put is in flight.
const BESIDE_BYTES: usize = 2 * FULL_BYTES;

/// The limit of the open segment, in encoded bytes, while the application's writers are blocked.
const NON_BLOCKING_BYTES: usize = 2 * STREAM_BYTES;

/// Ships one database into one replica.
///
/// Invariant: the uploader has the segments that the encoder has sealed and that are not confirmed, in the same order.
pub struct Shipper {
    encoder: Encoder,
    uploader: Uploader,
    budget: PutBudget,
    /// The database's file, as a claim names it.
    file: Option<ClaimedFile>,
}

impl Shipper {
    /// A shipper that continues at the position of `state`.
    pub(crate) fn new(
        state: State,
        database: Option<FileIdentity>,
        file: Option<ClaimedFile>,
        presence: Arc<Presence>,
        spool: Spool,
        options: Options,
    ) -> Shipper {
        let encryption = presence.destination().encryption.clone();
        Shipper {
            encoder: Encoder::new(state, database, encryption),
            uploader: Uploader::new(presence, spool),
            budget: PutBudget::new(options.puts, Instant::now()),
            file,
        }
    }

    /// Appends a commit, whose pages `each_page` visits in ascending order. A small commit may stay in the batch, not yet
    /// encoded, until [`Shipper::encode`].
    ///
    /// # Errors
    /// After an error the shipper cannot be used any more: open the replica again.
    pub fn append<E: From<Error>>(
        &mut self,
        commit: Commit,
        blocking: Blocking,
        each_page: impl Pages<E>,
    ) -> Result<Appended, E> {
        let Commit { time, database_pages, page_count, wal } = commit;
        let entry = NewEntry {
            kind: EntryKind::Commit,
            flags: EntryFlags::NONE,
            time,
            database_pages,
            detail: Vec::new(),
            expected: page_count as u64 * self.encoder.position().page_size.offset(),
            wal: Some(wal),
        };
        self.budget.count_commit(Instant::now());
        // The spool may exceed its limit by one segment, but not by a streamed transaction, which can have any size.
        if self.uploader.is_spooling()
            && entry.is_large()
            && !self.uploader.has_spool_room(entry.expected)
        {
            return Ok(Appended::SpoolFull);
        }
        if Batch::takes(page_count) {
            self.encoder.append_to_batch(entry, each_page)?;
        } else {
            self.append_entry(&entry, blocking, each_page)?;
        }
        Ok(Appended::Taken)
    }

    /// Appends an entry to the open segment, and seals the segment if it is streamed.
    pub(crate) fn append_entry<E: From<Error>>(
        &mut self,
        entry: &NewEntry,
        blocking: Blocking,
        each_page: impl Pages<E>,
    ) -> Result<(), E> {
        let may_stream = entry.is_large() && blocking == Blocking::Allowed;
        let begin = |key| self.uploader.begin(key, entry.expected);
        let begin: Option<&BeginUpload<'_>> = may_stream.then_some(&begin as &BeginUpload<'_>);
        self.encoder.append(entry, begin, each_page)?;
        if self.encoder.is_streaming() {
            self.seal()?;
        }
        Ok(())
    }

    /// Encodes the small commits of one capture together.
    ///
    /// # Errors
    /// As [`Shipper::append`].
    pub fn encode(&mut self) -> Result<(), Error> {
        self.encoder.encode()
    }

    /// Seals the open segment if the put budget allows a put now. Otherwise returns the time to wait, or nothing if there
    /// is no open segment or a put is in flight.
    ///
    /// # Errors
    /// As [`Shipper::append`].
    pub fn pump(&mut self, now: Instant) -> Result<Option<Duration>, Error> {
        self.encoder.encode()?;
        if let Some(encryption) = &self.presence().destination().encryption {
            encryption.forget_old(now);
        }
        if !self.encoder.has_open() {
            return Ok(None);
        }
        let is_full = self.encoder.is_full();
        if !self.uploader.is_empty() {
            // A full segment goes into the spool, which makes room for the next one.
            if is_full && self.uploader.can_spool() && self.uploader.has_spool_room(0) {
                self.seal()?;
            }
            return Ok(None);
        }
        if is_full {
            self.budget.overdraw(now);
        } else if let Err(wait) = self.budget.take(now) {
            return Ok(Some(wait));
        }
        self.seal()?;
        Ok(None)
    }

    /// Seals the open segment whatever the put budget, because a client waits for the put or the process ends.
    ///
    /// # Errors
    /// As [`Shipper::append`].
    pub fn flush(&mut self) -> Result<(), Error> {
        self.encoder.encode()?;
        if self.encoder.has_open() && (self.uploader.is_empty() || self.uploader.can_spool()) {
            self.budget.overdraw(Instant::now());
            self.seal()?;
        }
        Ok(())
    }

    /// The same for a client that waits for entry `through`. While segments go into the spool, what comes after that entry keeps to
    /// the put budget: a segment for each look at the log would be more than can be put once the store is back.
    ///
    /// # Errors
    /// As [`Shipper::append`].
    pub fn flush_through(&mut self, through: Txid) -> Result<(), Error> {
        self.encoder.encode()?;
        if !self.encoder.has_open() {
            return Ok(());
        }
        let sealed = self.last().txid.get().saturating_sub(self.encoder.entries() as u64);
        if self.uploader.is_empty() || sealed < through.get() {
            return self.flush();
        }
        if self.uploader.can_spool() && self.budget.take(Instant::now()).is_ok() {
            self.seal()?;
        }
        Ok(())
    }

    fn seal(&mut self) -> Result<(), Error> {
        let now = Instant::now();
        if let Some(segment) = self.encoder.seal()? {
            self.budget.note_put(now);
            self.uploader.accept(segment);
        }
        Ok(())
    }

    /// Waits until the oldest sealed segment is durable or a segment has been spooled, and returns the last durable entry. Never returns if every sealed
    /// segment is durable. Cancel-safe.
    ///
    /// # Errors
    /// [`Error::Fenced`] when another process has taken over; [`Error::Lost`] when a streamed upload was lost.
    pub async fn landed(&mut self) -> Result<Point, Error> {
        if let Some(position) = self.uploader.landed().await? {
            point("shipper.segment.landed");
            self.encoder.confirm(position)?;
            point("shipper.segment.confirmed");
        }
        Ok(self.durable().state.point)
    }

    /// The segments and packs that became durable since the last call.
    pub fn take_appended(&mut self) -> Vec<LogObject> {
        self.uploader.take_appended()
    }

    /// Waits until no pack is being made: for whoever goes through time faster than packs are made.
    pub async fn settle_packs(&mut self) {
        self.uploader.settle_packs().await;
    }

    /// Waits until every appended entry is durable.
    ///
    /// # Errors
    /// As [`Shipper::landed`].
    pub async fn settle(&mut self) -> Result<(), Error> {
        loop {
            self.flush()?;
            if self.safety() == Safety::Durable {
                return Ok(());
            }
            self.landed().await?;
        }
    }

    /// Switches to spooling, if a segment is in flight: the log may not grow any further during an outage.
    pub fn start_spooling(&mut self) {
        self.uploader.start_spooling();
    }

    /// Writes the open segment into the spool before the log is released. The next start sends it from there.
    ///
    /// # Errors
    /// As [`Shipper::append`].
    pub async fn drain(mut self) -> Result<(), Error> {
        self.encoder.encode()?;
        while self.uploader.is_writing_spool() || self.encoder.has_open() {
            if !self.uploader.is_writing_spool() {
                self.seal()?;
            }
            self.uploader.spooled().await?;
        }
        Ok(())
    }

    /// Whether the open segment has room. If not, new commits stay in the log (backpressure) until it is sealed.
    #[must_use]
    pub fn has_room(&self, blocking: Blocking) -> bool {
        let bytes_max = match blocking {
            Blocking::Forbidden => NON_BLOCKING_BYTES,
            Blocking::Allowed if self.is_putting() => BESIDE_BYTES,
            Blocking::Allowed => FULL_BYTES,
        };
        !self.is_spool_full() && self.encoder.has_room(bytes_max)
    }

    /// Whether a put is in flight that is probably not stuck in an outage. Otherwise new commits stay in the log instead
    /// of in memory.
    fn is_putting(&self) -> bool {
        let uploader = &self.uploader;
        !uploader.is_spooling()
            && !uploader.is_empty()
            && self.budget.has_recent_put(Instant::now())
    }

    /// Whether the shipper is spooling and the spool is full.
    #[must_use]
    pub fn is_spool_full(&self) -> bool {
        self.uploader.is_spooling() && !self.uploader.has_spool_room(0)
    }

    /// Where the appended entries are, and so what a restart of the log or a crash would lose.
    #[must_use]
    pub fn safety(&self) -> Safety {
        let (encoder, uploader) = (&self.encoder, &self.uploader);
        match uploader.is_empty() {
            // A segment that is confirmed while it is written into the spool is removed from there afterwards.
            true if encoder.is_empty() && !uploader.is_writing_spool() => Safety::Durable,
            true if encoder.entries() <= SETTLED_ENTRIES => Safety::Settled,
            _ if uploader.needs_log() => Safety::NeedsLog,
            _ if encoder.is_empty() && uploader.can_spool() => Safety::Spooled,
            _ => Safety::Buffered,
        }
    }

    /// The last appended entry.
    #[must_use]
    pub fn last(&self) -> Point {
        self.encoder.last()
    }

    /// The position of the last entry that the store has confirmed.
    #[must_use]
    pub fn durable(&self) -> &Position {
        self.encoder.durable()
    }

    /// The position after the last encoded entry.
    #[must_use]
    pub fn position(&self) -> &Position {
        self.encoder.position()
    }

    /// The size of the database after the last entry, in bytes.
    #[must_use]
    pub fn database_bytes(&self) -> u64 {
        let page_bytes = self.encoder.position().page_size.offset();
        u64::from(self.database_pages()) * page_bytes
    }

    /// The replica in its store.
    #[must_use]
    pub fn presence(&self) -> &Arc<Presence> {
        self.uploader.presence()
    }

    /// A snapshot of the state after the last encoded entry.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let position = self.encoder.position();
        let start = SnapshotStart {
            replica: position.replica,
            page_size: position.page_size,
            point: position.state.point,
            database_pages: self.database_pages(),
            delta: None,
        };
        let to = self.presence().destination().clone();
        Snapshot { to, start, chain: position.state.chain, digest: self.digest() }
    }

    /// The state that the next delta of a level begins with, and how many pages changed since; nothing if that is not known.
    #[must_use]
    pub fn level(&self, level: Level) -> Option<(EntryState, u32)> {
        let changes = self.encoder.levels().changes(level)?;
        Some((changes.base, changes.pages.len()))
    }

    /// A delta of what changed in a level, up to the last encoded entry. Nothing if that is not known, or nothing did.
    #[must_use]
    pub fn delta(&self, level: Level) -> Option<Delta> {
        let mut snapshot = self.snapshot();
        let changes = self.encoder.levels().changes(level)?;
        let pages = changes.pages.ranges(snapshot.start.database_pages);
        let first = changes.base.txid().next();
        let count = pages.iter().map(|range| range.end - range.start).sum();
        snapshot.start.delta = Some(DeltaBase { first, rest: changes.rest(), pages: count });
        (first <= snapshot.start.point.txid).then_some(Delta { snapshot, pages })
    }

    /// A snapshot, or a delta of this level, of the state after the last encoded entry is being made: levels up to this one
    /// begin again with that state, once [`Shipper::levels_vouched`] is told that an entry vouches for the object.
    pub fn begin_levels(&mut self, level: Level) {
        let state = self.encoder.position().state;
        self.encoder.levels_mut().begin(level, state);
    }

    /// The last entry vouches for the object.
    pub fn levels_vouched(&mut self) {
        let by = self.last().txid;
        self.encoder.levels_mut().vouched(by);
    }

    /// The object was not made: the levels go on from where they were.
    pub fn give_up_levels(&mut self) {
        self.encoder.levels_mut().give_up();
    }

    /// What was known to have changed in a level is wrong. Only a snapshot begins it again.
    pub fn forget_level(&mut self, level: Level) {
        self.encoder.levels_mut().forget(level);
    }

    /// Whether an object is being made, or its entry is not durable yet.
    #[must_use]
    pub fn has_begun_levels(&self) -> bool {
        self.encoder.levels().is_busy()
    }

    /// Stores `wal` as the log position of the last entry, which must be durable, for the next start.
    ///
    /// # Errors
    /// When the local state cannot be written.
    pub fn set_wal_position(&mut self, wal: ebbtide_wal::Position) -> Result<(), Error> {
        self.encoder.set_wal_position(wal)
    }

    /// Closes the file descriptors of the local state while the database is idle. They are reopened when needed.
    pub fn close_files(&mut self) {
        self.encoder.close_files();
    }

    /// Makes the local state durable on the local disk.
    pub(crate) fn sync(&mut self) -> Result<(), Error> {
        self.encoder.sync()
    }

    /// The database's file, as a claim names it.
    pub(crate) fn file(&self) -> Option<&ClaimedFile> {
        self.file.as_ref()
    }

    /// Records a transaction that the replica already has. Returns its page hashes.
    pub(crate) fn replay<E: From<Error>>(
        &mut self,
        database_pages: u32,
        each_page: impl Pages<E>,
    ) -> Result<&[(PageNumber, PageHash)], E> {
        self.encoder.replay(database_pages, each_page)
    }

    /// Moves to `position`, which the replica has, after a replay.
    pub(crate) fn move_to(&mut self, position: Position) -> Result<(), Error> {
        self.encoder.move_to(position)
    }

    /// Resumes with the segments that an earlier run left in the spool. Segments up to `head`, the replica's last
    /// entry, are confirmed; later ones are queued.
    pub(crate) fn resume_spool(
        &mut self,
        spooled: Vec<SpooledSegment>,
        head: Txid,
    ) -> Result<(), Error> {
        for segment in spooled {
            let pages = self.encoder.take_spooled(&segment)?;
            let SpooledSegment { object, position, .. } = segment;
            if position.state.txid() <= head {
                self.encoder.confirm(position)?;
                self.uploader.release_spooled(object.key, pages, object.size);
            } else {
                self.uploader.accept_spooled(object.key, position, pages, object.size);
            }
        }
        Ok(())
    }
}

/// Every appended entry must be durable: the local table has the hashes of the durable position.
impl KnownPages for Shipper {
    fn page_size(&self) -> PageSize {
        self.encoder.position().page_size
    }

    fn database_pages(&self) -> u32 {
        self.encoder.database_pages()
    }

    fn digest(&self) -> Digest {
        self.encoder.digest()
    }

    fn hashes(&self, first: PageNumber, count: u32) -> Result<Vec<PageHash>, Error> {
        debug_assert!(
            self.safety() == Safety::Durable,
            "the table is that of the durable position"
        );
        self.encoder.durable_hashes(first, count)
    }
}

impl std::fmt::Debug for Shipper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shipper")
            .field("position", self.encoder.position())
            .field("segments", &self.uploader.len())
            .finish_non_exhaustive()
    }
}
