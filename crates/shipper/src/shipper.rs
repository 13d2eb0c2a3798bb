//! The shipper of one database: entries are appended to the open segment, segments are sealed, queued, put and
//! confirmed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ebbtide_fault::point;
use ebbtide_replica::{Chain, ClaimedFile, EntryState, PageHash, PageHasher, Point, ReplicaId};
use ebbtide_state::{FileIdentity, Origin, Position, State};
use ebbtide_store::Store;
use ebbtide_wal::{PageNumber, PageSize};

use crate::batch::Batch;
use crate::commit_rate::CommitRate;
use crate::error::Error;
use crate::image::{Difference, Pages};
use crate::open::OpenContext;
use crate::outgoing::Sealed;
use crate::pack::Packer;
use crate::page_hashes::PageHashes;
use crate::presence::Presence;
use crate::queue::{Event, Queue};
use crate::rate_limiter::{Rate, RateLimiter};
use crate::segment::Segment;
use crate::spool::Spool;
use crate::spooling::Mode;
use crate::store_health::StoreHealth;

/// Limits of one shipper.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// The allowed rate of puts.
    pub puts: Rate,
    /// The largest size of the spool on the local disk, in bytes.
    pub spool_bytes_max: u64,
}

/// With at most this many entries that are not durable, a log may be restarted: see [`Safety::Settled`].
const SETTLED_ENTRIES: usize = 4;

/// A database with more commits than this in the last second is held to the sustained rate of puts.
const BUSY_COMMITS: u32 = 10;

/// Ships one database into one replica.
pub struct Shipper {
    pub(crate) replica: ReplicaId,
    location: String,
    pub(crate) page_size: PageSize,
    database: Option<FileIdentity>,
    /// The database's file, as a claim names it.
    pub(crate) file: Option<ClaimedFile>,
    pub(crate) presence: Arc<Presence>,
    pub(crate) page_hashes: PageHashes,
    pub(crate) head: EntryState,
    pub(crate) open: Option<Segment>,
    pub(crate) queue: Queue,
    pub(crate) spool: Spool,
    /// Where sealed segments go.
    pub(crate) mode: Mode,
    rate_limiter: RateLimiter,
    pub(crate) commit_rate: CommitRate,
    packer: Packer,
    pub(crate) last_put: Option<Instant>,
    pub(crate) changed: Vec<(PageNumber, PageHash)>,
    /// The hash chain over the contents of the transactions that were read again since the durable position.
    pub(crate) carried: Chain,
    /// Small commits that are appended and not yet encoded.
    pub(crate) batch: Batch,
    /// Appending must not block on the store, because the application's writers are blocked meanwhile.
    pub(crate) non_blocking: bool,
}

/// What would be lost if SQLite restarted the log now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Safety {
    /// All but a few entries are durable. If this process crashed after a restart of the log, the next start would
    /// record those few transactions as one entry.
    Settled,
    /// Nothing while this process runs: entries that are not durable are in memory or in the spool.
    Buffered,
    /// A transaction that is being streamed: if the upload fails, it must be read from the log again.
    NeedsLog,
}

impl Shipper {
    pub(crate) fn new(
        context: OpenContext,
        state: State,
        spool: Spool,
        presence: Arc<Presence>,
    ) -> Shipper {
        let OpenContext { options, database, file, .. } = context;
        let position = state.position();
        let head = position.state;
        Shipper {
            replica: position.replica,
            location: position.location.clone(),
            page_size: position.page_size,
            database,
            file,
            presence,
            head,
            page_hashes: PageHashes::new(state),
            open: None,
            queue: Queue::default(),
            spool,
            mode: Mode::Direct,
            rate_limiter: RateLimiter::new(options.puts, Instant::now()),
            commit_rate: CommitRate::new(Instant::now()),
            packer: Packer::new(),
            last_put: None,
            changed: Vec::new(),
            carried: head.chain,
            batch: Batch::default(),
            non_blocking: false,
        }
    }

    /// The last entry that the store has confirmed.
    #[must_use]
    pub fn durable(&self) -> Point {
        self.page_hashes.durable().state.point
    }

    /// The chain after the last entry that the store has confirmed.
    #[must_use]
    pub fn durable_chain(&self) -> Chain {
        self.page_hashes.durable().state.chain
    }

    /// The durable position: that of the last entry that the store has confirmed.
    #[must_use]
    pub fn durable_position(&self) -> Position {
        self.page_hashes.durable().clone()
    }

    /// The replica.
    #[must_use]
    pub fn replica(&self) -> ReplicaId {
        self.replica
    }

    /// Whether every appended entry is durable.
    #[must_use]
    pub fn is_durable(&self) -> bool {
        self.batch.is_empty() && self.open.is_none() && self.queue.is_empty()
    }

    /// Whether the log may be restarted.
    #[must_use]
    pub fn safety(&self) -> Safety {
        let open = self.open.as_ref().map_or(0, Segment::entries) as usize + self.batch.len();
        if self.queue.is_empty() && open <= SETTLED_ENTRIES {
            Safety::Settled
        } else if self.queue.has_streamed() {
            Safety::NeedsLog
        } else {
            Safety::Buffered
        }
    }

    /// The log position of the last sealed entry, if it is known.
    #[must_use]
    pub fn wal_position(&self) -> Option<ebbtide_wal::Position> {
        self.queue.last().map_or(self.page_hashes.durable().wal, |last| last.position.wal)
    }

    /// Whether the database is in the state of the last entry. The count of differing pages decides, not the digest
    /// alone: a writer to the store can construct pages with any digest.
    #[must_use]
    pub fn is_state(&self, difference: &Difference, database_pages: u32) -> bool {
        difference.count == 0
            && self.page_hashes.digest() == difference.digest
            && self.page_hashes.database_pages() == database_pages
    }

    /// The size of the database after the last entry, in bytes.
    #[must_use]
    pub fn database_bytes(&self) -> u64 {
        u64::from(self.page_hashes.database_pages()) * self.page_size.offset()
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.presence.destination().store)
    }

    /// Stores `wal` as the log position of the last entry, for the next start.
    ///
    /// # Errors
    /// When the local state cannot be written.
    pub fn set_wal_position(&mut self, wal: ebbtide_wal::Position) -> Result<(), Error> {
        let position = Position { wal: Some(wal), ..self.page_hashes.durable().clone() };
        self.page_hashes.seal();
        self.page_hashes.confirm(position)
    }

    /// The check that the replica still exists.
    #[must_use]
    pub fn presence(&self) -> &Arc<Presence> {
        &self.presence
    }

    /// The health of the store, as the puts see it.
    #[must_use]
    pub fn store_health(&self) -> Arc<StoreHealth> {
        Arc::clone(&self.presence.destination().health)
    }

    /// Closes the file descriptors of the local state while the database is idle. They are reopened when needed.
    pub fn close_files(&mut self) {
        self.page_hashes.close_files();
    }

    /// Reads a transaction that the replica already has, to update the page hashes.
    ///
    /// # Errors
    /// As [`Shipper::append`].
    pub fn replay<E: From<Error>>(
        &mut self,
        database_pages: u32,
        each_page: impl Pages<E>,
    ) -> Result<(), E> {
        self.changed.clear();
        let mut hasher = PageHasher::default();
        each_page(&mut |page, image| {
            self.changed.extend(hasher.push(page, image));
            Ok(())
        })?;
        let mut changed = std::mem::take(&mut self.changed);
        changed.extend(hasher.finish());
        self.page_hashes.record(&changed, database_pages)?;
        self.replayed(database_pages, &changed);
        self.changed = changed;
        Ok(())
    }

    /// Seals the open segment if the rate limiter allows a put now. Otherwise returns the time to wait, or nothing if
    /// there is no open segment or a put is in flight.
    ///
    /// # Errors
    /// As [`Shipper::append`].
    pub fn pump(&mut self, now: Instant) -> Result<Option<Duration>, Error> {
        self.encode()?;
        let Some(open) = &self.open else { return Ok(None) };
        if !self.queue.is_empty() {
            // A full segment goes into the spool, which makes room for the next one.
            let can_spool =
                self.is_spooling() && self.spool.has_room(0) && !self.queue.is_writing_spool();
            if can_spool && open.is_full() {
                self.seal()?;
            }
            return Ok(None);
        }
        if open.is_full() {
            self.rate_limiter.overdraw(now);
        } else if let Some(wait) = self.wait_when_busy(now) {
            return Ok(Some(wait));
        } else if !self.rate_limiter.take(now) {
            return Ok(Some(self.rate_limiter.wait(now)));
        }
        self.seal()?;
        Ok(None)
    }

    /// The time to wait for a database with many commits per second. It would use up its burst within seconds, so it is
    /// held to the sustained rate from the start.
    fn wait_when_busy(&mut self, now: Instant) -> Option<Duration> {
        if self.commit_rate.per_second(now) <= BUSY_COMMITS {
            return None;
        }
        let due = self.last_put? + self.rate_limiter.interval();
        due.checked_duration_since(now).filter(|wait| !wait.is_zero())
    }

    /// Seals the open segment without asking the rate limiter, because a client waits for the put or the process ends.
    ///
    /// # Errors
    /// As [`Shipper::append`].
    pub fn flush(&mut self) -> Result<(), Error> {
        self.encode()?;
        let can_spool = self.is_spooling() && !self.queue.is_writing_spool();
        if self.open.is_some() && (self.queue.is_empty() || can_spool) {
            self.rate_limiter.overdraw(Instant::now());
            self.seal()?;
        }
        Ok(())
    }

    pub(crate) fn seal(&mut self) -> Result<(), Error> {
        debug_assert!(self.batch.is_empty(), "what waits belongs into the segment");
        let Some(segment) = self.open.take() else { return Ok(()) };
        let position = self.position(self.head, segment.wal());
        let (key, streamed) = (segment.key(), segment.is_streaming());
        self.last_put = Some(Instant::now());
        let sealed = segment.seal()?;
        point("shipper.segment.sealed");
        let pages = self.page_hashes.seal();
        if self.is_spooling() && (streamed || !self.queue.is_empty()) {
            self.spool.count_pages(pages);
            let write = self.spool.write(sealed, key, position.state.txid(), position.wal);
            self.queue.spool(key, position, pages, write);
            return Ok(());
        }
        let body = match &sealed {
            Sealed::Whole(body) => Some(body.clone()),
            Sealed::Streamed(_) => None,
        };
        let presence = Arc::clone(&self.presence);
        let land = async move {
            sealed.land(presence.destination(), &key).await?;
            presence.confirm().await
        };
        self.queue.send(key, position, pages, body, land);
        Ok(())
    }

    /// The position of the local state once `head` is durable.
    fn position(&self, head: EntryState, wal: Option<ebbtide_wal::Position>) -> Position {
        Position {
            replica: self.replica,
            location: self.location.clone(),
            page_size: self.page_size,
            state: head,
            wal: wal.or(self.wal_position()),
            database: self.database,
            origin: Origin::Followed,
        }
    }

    /// Waits until the oldest queued segment is durable or a segment has been spooled. Never returns if the queue is
    /// empty. Cancel-safe.
    ///
    /// # Errors
    /// [`Error::Fenced`] when another process has taken over; [`Error::Lost`] when a streamed upload was lost.
    pub async fn landed(&mut self) -> Result<Point, Error> {
        match self.queue.next(&mut self.spool, &self.presence).await? {
            Event::Spooled => {}
            Event::Landed(landed) => {
                point("shipper.segment.landed");
                self.page_hashes.confirm(landed.position.clone())?;
                point("shipper.segment.confirmed");
                self.packer.landed(&self.presence);
                if self.is_spooling() && self.queue.is_empty() {
                    tracing::info!("the spool is empty again");
                    self.mode = Mode::Direct;
                }
            }
        }
        Ok(self.durable())
    }

    /// Waits until every appended entry is durable.
    ///
    /// # Errors
    /// As [`Shipper::landed`].
    pub async fn settle(&mut self) -> Result<(), Error> {
        loop {
            self.flush()?;
            if self.is_durable() {
                return Ok(());
            }
            self.landed().await?;
        }
    }

    /// Drops the shipper without waiting. A put in flight may still succeed.
    pub fn abandon(mut self) {
        if let Some(open) = self.open.take() {
            open.abandon();
        }
    }

    /// Moves to `position`, which the replica has, after a replay.
    pub(crate) fn adopt(&mut self, position: Position) -> Result<(), Error> {
        point("shipper.replay.adopted");
        self.head = position.state;
        self.page_hashes.seal();
        self.page_hashes.confirm(position)
    }

    pub(crate) fn head(&self) -> EntryState {
        self.head
    }

    pub(crate) fn page_size(&self) -> PageSize {
        self.page_size
    }
}

impl std::fmt::Debug for Shipper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shipper")
            .field("store", &self.presence.destination().store)
            .field("head", &self.head)
            .field("in_flight", &self.queue.len())
            .finish_non_exhaustive()
    }
}
