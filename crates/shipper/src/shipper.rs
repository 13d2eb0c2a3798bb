//! The shipper of one database: entries are appended, sealed into segments, put one after the other, confirmed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ebbtide_fault::point;
use ebbtide_replica::{Chain, ClaimedFile, PageHash, PageHasher, ReplicaId, Timestamp, Txid};
use ebbtide_state::{FileIdentity, Origin, Position, State, WalPosition};
use ebbtide_store::Store;
use ebbtide_wal::{PageNumber, PageSize};

use crate::attach::Ground;
use crate::bucket::{Bucket, Rate};
use crate::error::Error;
use crate::image::{Difference, Pages};
use crate::ledger::Ledger;
use crate::outage::Outage;
use crate::pack::Packer;
use crate::part::Sealed;
use crate::presence::Presence;
use crate::queue::{Event, Queue};
use crate::segment::{Head, Segment};
use crate::spool::Spool;
use crate::traffic::Traffic;
use crate::waiting::Waiting;

/// How a database is shipped.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// How many segments may be put.
    pub puts: Rate,
    /// How much may be spooled on the local disk, in bytes.
    pub spool_bytes_max: u64,
}

/// What the store has confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Durable {
    /// The last entry.
    pub txid: Txid,
    /// Its time.
    pub time: Timestamp,
}

/// Up to this many entries that are not durable are few.
const SETTLED_ENTRIES: usize = 4;

/// From more than this many commits in the last second on a database is busy.
const BUSY_COMMITS: u32 = 10;

/// Ships one database into one replica.
pub struct Shipper {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) outage: Arc<Outage>,
    pub(crate) replica: ReplicaId,
    location: String,
    pub(crate) page_size: PageSize,
    database: Option<FileIdentity>,
    /// The same, for claims.
    pub(crate) file: Option<ClaimedFile>,
    pub(crate) presence: Arc<Presence>,
    pub(crate) ledger: Ledger,
    pub(crate) head: Head,
    pub(crate) open: Option<Segment>,
    pub(crate) queue: Queue,
    pub(crate) spool: Spool,
    /// The log cannot wait for the store: what is sealed goes into the spool.
    pub(crate) spilling: bool,
    bucket: Bucket,
    pub(crate) traffic: Traffic,
    packer: Packer,
    pub(crate) last_put: Option<Instant>,
    pub(crate) changed: Vec<(PageNumber, PageHash)>,
    /// What the transactions carry that were read again since the durable position.
    pub(crate) carried: Chain,
    /// What was appended and is not encoded yet.
    pub(crate) waiting: Waiting,
    /// Nothing may be waited for: the application's writers wait for us.
    pub(crate) at_once: bool,
}

/// What would be lost of what was appended, should the database's log be begun anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Safety {
    /// The store has (nearly) all of it: should this process die, the last few transactions are one step of history
    /// instead of several.
    Settled,
    /// Nothing as long as this process lives.
    Kept,
    /// An upload is under way that has to be made again from the log if it is lost.
    NeedsLog,
}

impl Shipper {
    pub(crate) fn new(
        ground: Ground,
        state: State,
        spool: Spool,
        presence: Arc<Presence>,
    ) -> Shipper {
        let Ground { store, outage, options, database, file, .. } = ground;
        let position = state.position();
        let head = Head { txid: position.txid, chain: position.chain, time: position.time };
        Shipper {
            store,
            outage,
            replica: position.replica,
            location: position.location.clone(),
            page_size: position.page_size,
            database,
            file,
            presence,
            head,
            ledger: Ledger::new(state),
            open: None,
            queue: Queue::default(),
            spool,
            spilling: false,
            bucket: Bucket::new(options.puts, Instant::now()),
            traffic: Traffic::new(Instant::now()),
            packer: Packer::new(),
            last_put: None,
            changed: Vec::new(),
            carried: head.chain,
            waiting: Waiting::default(),
            at_once: false,
        }
    }

    /// What the store has confirmed.
    #[must_use]
    pub fn durable(&self) -> Durable {
        let position = self.ledger.durable();
        Durable { txid: position.txid, time: position.time }
    }

    /// The chain after the last entry that the store has confirmed.
    #[must_use]
    pub fn durable_chain(&self) -> Chain {
        self.ledger.durable().chain
    }

    /// Where the replica is known to stand.
    #[must_use]
    pub fn durable_at(&self) -> Position {
        self.ledger.durable().clone()
    }

    /// The replica that this ships into.
    #[must_use]
    pub fn replica(&self) -> ReplicaId {
        self.replica
    }

    /// Whether everything that was appended is durable.
    #[must_use]
    pub fn is_durable(&self) -> bool {
        self.waiting.is_empty() && self.open.is_none() && self.queue.is_empty()
    }

    /// What needs the log to be kept.
    #[must_use]
    pub fn safety(&self) -> Safety {
        let open = self.open.as_ref().map_or(0, Segment::entries) as usize + self.waiting.len();
        if self.queue.is_empty() && open <= SETTLED_ENTRIES {
            Safety::Settled
        } else if self.queue.has_streamed() {
            Safety::NeedsLog
        } else {
            Safety::Kept
        }
    }

    /// Where in the database's log the last entry ends, if that is known.
    #[must_use]
    pub fn stands_at(&self) -> Option<WalPosition> {
        self.queue.last().map_or(self.ledger.durable().wal, |last| last.position.wal)
    }

    /// Whether the database is in the state of the last entry: page by page, because pages can be made up that add up to
    /// any digest.
    #[must_use]
    pub fn is_state(&self, difference: &Difference, database_pages: u32) -> bool {
        difference.count == 0
            && self.ledger.digest() == difference.digest
            && self.ledger.database_pages() == database_pages
    }

    /// The size of the database after the last entry, in bytes.
    #[must_use]
    pub fn database_bytes(&self) -> u64 {
        u64::from(self.ledger.database_pages()) * self.page_size.offset()
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store)
    }

    /// The state of the last entry is also that of the log at `wal`: remembered for the next start.
    ///
    /// # Errors
    /// When the local state cannot be written.
    pub fn stand_at(&mut self, wal: WalPosition) -> Result<(), Error> {
        let position = Position { wal: Some(wal), ..self.ledger.durable().clone() };
        self.ledger.seal();
        self.ledger.confirm(position)
    }

    /// Whether the replica is still there.
    #[must_use]
    pub fn presence(&self) -> &Arc<Presence> {
        &self.presence
    }

    /// The outage that the puts see.
    #[must_use]
    pub fn outage(&self) -> Arc<Outage> {
        Arc::clone(&self.outage)
    }

    /// Nothing has happened for a while: gives back descriptors, which are taken again when needed.
    pub fn rest(&mut self) {
        self.ledger.rest();
    }

    /// Takes a transaction that the replica has already, so that only the hashes of its pages are of interest.
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
        self.ledger.record(&changed, database_pages)?;
        self.replayed(database_pages, &changed);
        self.changed = changed;
        Ok(())
    }

    /// Sends the open segment on its way, if it may go now; else when it may, if ever by itself.
    ///
    /// # Errors
    /// As [`Shipper::append`].
    pub fn pump(&mut self, now: Instant) -> Result<Option<Duration>, Error> {
        self.encode()?;
        let Some(open) = &self.open else { return Ok(None) };
        if !self.queue.is_empty() {
            // One that is full makes room by going into the spool.
            let can_spool = self.spilling && self.spool.has_room(0) && !self.queue.is_spooling();
            if can_spool && open.is_full() {
                self.seal()?;
            }
            return Ok(None);
        }
        if open.is_full() {
            self.bucket.overdraw(now);
        } else if let Some(wait) = self.wait_when_busy(now) {
            return Ok(Some(wait));
        } else if !self.bucket.take(now) {
            return Ok(Some(self.bucket.wait(now)));
        }
        self.seal()?;
        Ok(None)
    }

    /// A database with many commits a second would spend what the bucket has saved up within seconds and gain nothing
    /// that lasts, so it is held to the rate from the start.
    fn wait_when_busy(&mut self, now: Instant) -> Option<Duration> {
        if self.traffic.per_second(now) <= BUSY_COMMITS {
            return None;
        }
        let due = self.last_put? + self.bucket.interval();
        due.checked_duration_since(now).filter(|wait| !wait.is_zero())
    }

    /// Sends the open segment on its way without asking the token bucket: the process is about to end, or somebody
    /// waits for it.
    ///
    /// # Errors
    /// As [`Shipper::append`].
    pub fn flush(&mut self) -> Result<(), Error> {
        self.encode()?;
        let can_spool = self.spilling && !self.queue.is_spooling();
        if self.open.is_some() && (self.queue.is_empty() || can_spool) {
            self.bucket.overdraw(Instant::now());
            self.seal()?;
        }
        Ok(())
    }

    pub(crate) fn seal(&mut self) -> Result<(), Error> {
        debug_assert!(self.waiting.is_empty(), "what waits belongs into the segment");
        let Some(segment) = self.open.take() else { return Ok(()) };
        let position = self.position(self.head, segment.wal());
        let (key, streamed) = (segment.key(), segment.is_streaming());
        self.last_put = Some(Instant::now());
        let sealed = segment.seal()?;
        point("shipper.segment.sealed");
        let pages = self.ledger.seal();
        if self.spilling && (streamed || !self.queue.is_empty()) {
            self.spool.count_pages(pages);
            let keep = self.spool.keep(sealed, key, position.txid, position.wal);
            self.queue.spool(key, position, pages, keep);
            return Ok(());
        }
        let (store, outage) = (Arc::clone(&self.store), Arc::clone(&self.outage));
        let body = match &sealed {
            Sealed::Whole(body) => Some(body.clone()),
            Sealed::Streamed(_) => None,
        };
        let presence = Arc::clone(&self.presence);
        let land = async move {
            sealed.land(&*store, &key, &outage).await?;
            presence.confirm(&*store, &outage).await
        };
        self.queue.send(key, position, pages, body, land);
        Ok(())
    }

    /// Where the local state will stand once `head` is durable.
    fn position(&self, head: Head, wal: Option<WalPosition>) -> Position {
        Position {
            replica: self.replica,
            location: self.location.clone(),
            page_size: self.page_size,
            txid: head.txid,
            chain: head.chain,
            digest: self.ledger.digest(),
            database_pages: self.ledger.database_pages(),
            time: head.time,
            wal: wal.or(self.stands_at()),
            database: self.database,
            origin: Origin::Followed,
        }
    }

    /// Waits until something that is on its way has got further, in the end until the oldest segment is durable; for
    /// ever if there is none. May be dropped and called again.
    ///
    /// # Errors
    /// [`Error::Fenced`] when another process has taken over; [`Error::Lost`] when a streamed upload was lost.
    pub async fn landed(&mut self) -> Result<Durable, Error> {
        match self.queue.next(&mut self.spool, &self.store, &self.outage, &self.presence).await? {
            Event::Spooled => {}
            Event::Landed(landed) => {
                point("shipper.segment.landed");
                self.ledger.confirm(landed.position.clone())?;
                point("shipper.segment.confirmed");
                self.packer.landed(&self.store, &self.presence);
                if self.spilling && self.queue.is_empty() {
                    tracing::info!("the spool is empty again");
                    self.spilling = false;
                }
            }
        }
        Ok(self.durable())
    }

    /// Waits until everything that was appended is durable.
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

    /// Ends without waiting for anything; what is on its way may still land.
    pub fn abandon(mut self) {
        if let Some(open) = self.open.take() {
            open.abandon();
        }
    }

    /// The head is what the log already says it is, `position`: after a replay.
    pub(crate) fn adopt(&mut self, position: Position) -> Result<(), Error> {
        point("shipper.replay.adopted");
        self.head = Head { txid: position.txid, chain: position.chain, time: position.time };
        self.ledger.seal();
        self.ledger.confirm(position)
    }

    pub(crate) fn head(&self) -> Head {
        self.head
    }

    pub(crate) fn page_size(&self) -> PageSize {
        self.page_size
    }
}

impl std::fmt::Debug for Shipper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shipper")
            .field("store", &self.store)
            .field("head", &self.head)
            .field("on_their_way", &self.queue.len())
            .finish_non_exhaustive()
    }
}
