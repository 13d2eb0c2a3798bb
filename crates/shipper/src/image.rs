//! Whole databases: the first snapshot, the periodic ones, and the comparison that a resync begins with.

use std::ops::Range;
use std::sync::Arc;

use ebbtide_catalog::ResyncDetail;
use ebbtide_fault::point;
use ebbtide_replica::container::{Contents, EntryStart, Header, Writer};
use ebbtide_replica::{
    Chain, Digest, Entry, EntryFlags, EntryKind, Key, PageHash, PageHasher, ReplicaId, Timestamp,
    Txid, Vouch,
};
use ebbtide_store::Store;
use ebbtide_wal::{PageNumber, PageSize, lock_page};

use crate::error::Error;
use crate::outage::Outage;
use crate::part::{Outgoing, Route};
use crate::shipper::Shipper;

/// Takes one page.
pub type EachPage<'a, E> = dyn FnMut(PageNumber, &[u8]) -> Result<(), E> + 'a;

/// Hands over every page of a database in ascending order, without the page of the locks.
pub trait Pages<E>: FnOnce(&mut EachPage<'_, E>) -> Result<(), E> {}

impl<E, F> Pages<E> for F where F: FnOnce(&mut EachPage<'_, E>) -> Result<(), E> {}

/// The state that a snapshot is of.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// The replica.
    pub replica: ReplicaId,
    /// The size of its pages.
    pub page_size: PageSize,
    /// The entry whose state it is.
    pub txid: Txid,
    /// The entry's time.
    pub time: Timestamp,
    /// The size of the database after it, in pages.
    pub database_pages: u32,
}

/// Where a snapshot goes.
#[derive(Debug, Clone)]
pub(crate) struct Destination {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) outage: Arc<Outage>,
}

/// Encodes and sends the snapshot of `moment`; returns once it is durable. `vouch` gets the snapshot's entry, with the
/// digest and the content of all pages, and answers with the chain up to the moment. Runs on a thread of its own.
pub(crate) async fn send_snapshot<E, R>(
    to: Destination,
    moment: Moment,
    pages: impl Pages<E> + Send + 'static,
    mut each_hash: impl FnMut(PageNumber, PageHash) -> Result<(), Error> + Send + 'static,
    vouch: impl FnOnce(&Entry) -> Result<(Chain, R), Error> + Send + 'static,
) -> Result<R, E>
where
    E: From<Error> + Send + 'static,
    R: Send + 'static,
{
    let key = Key::Snapshot(moment.txid);
    let destination = to.clone();
    let encode = move || {
        let contents = Contents::Snapshot { txid: moment.txid };
        let header = Header { replica: moment.replica, page_size: moment.page_size, contents };
        let (mut writer, mut outgoing) = (Writer::new(header), Outgoing::new(key));
        writer.begin_entry(image_start(&moment)).map_err(Error::from)?;
        let expected = u64::from(moment.database_pages) * moment.page_size.offset();
        let (store, outage) = (&destination.store, &destination.outage);
        let mut route = Route { store, outage, before: None, expected, at_once: false };
        let mut digest = Digest::EMPTY;
        let mut take = |digest: &mut Digest, page, hash| {
            *digest = digest.toggle(hash);
            each_hash(page, hash)
        };
        let sent = pages(&mut |page, image| {
            writer.page(page, image).map_err(Error::from)?;
            writer.hashed().try_for_each(|(page, hash)| take(&mut digest, page, hash))?;
            outgoing.drain(&mut writer, &mut route);
            point("shipper.snapshot.page");
            Ok(())
        });
        let finish = || {
            sent?;
            writer.hash_pages();
            writer.hashed().try_for_each(|(page, hash)| take(&mut digest, page, hash))?;
            let entry = writer.end_entry(digest).map_err(Error::from)?;
            let (chain, vouched) = vouch(&entry)?;
            Ok((writer.finish_at(chain).map_err(Error::from)?, vouched))
        };
        match finish() {
            Ok((finished, vouched)) => Ok((outgoing.seal(finished.tail), vouched)),
            Err(error) => {
                outgoing.abandon();
                Err(error)
            }
        }
    };
    point("shipper.snapshot.begin");
    let encoded: Result<_, E> = tokio::task::spawn_blocking(encode).await.map_err(Error::from)?;
    let (sealed, vouched) = encoded?;
    point("shipper.snapshot.encoded");
    sealed.land(&*to.store, &key, &to.outage).await?;
    point("shipper.snapshot.landed");
    Ok(vouched)
}

fn image_start(moment: &Moment) -> EntryStart {
    EntryStart {
        txid: moment.txid,
        kind: EntryKind::Image,
        flags: EntryFlags::COMPLETE,
        time: moment.time,
        database_pages: moment.database_pages,
        detail: Vec::new(),
    }
}

/// A periodic snapshot, made while shipping goes on.
#[derive(Debug, Clone)]
pub struct Snapshot {
    to: Destination,
    moment: Moment,
    chain: Chain,
    digest: Digest,
}

impl Shipper {
    /// A snapshot of the last entry that was appended, for an image of just that state.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let moment = Moment {
            replica: self.replica(),
            page_size: self.page_size(),
            txid: self.head().txid,
            time: self.head().time,
            database_pages: self.ledger.database_pages(),
        };
        let (store, outage) = (Arc::clone(&self.store), Arc::clone(&self.outage));
        let (chain, digest) = (self.head().chain, self.ledger.digest());
        Snapshot { to: Destination { store, outage }, moment, chain, digest }
    }

    /// Appends what a comparison found as one entry, with only those pages.
    ///
    /// # Errors
    /// As [`Shipper::append`]; [`Error::Unproven`] when the pages are not those that were compared.
    pub fn resync<E: From<Error>>(
        &mut self,
        resync: Resync,
        difference: &Difference,
        pages: impl Pages<E>,
    ) -> Result<(), E> {
        let start = crate::append::Start {
            kind: EntryKind::Resync,
            flags: if resync.is_fork { EntryFlags::FORK } else { EntryFlags::NONE },
            time: resync.time,
            database_pages: resync.database_pages,
            detail: resync.detail.to_json(),
            expected: difference.count * self.page_size().offset(),
            wal: Some(resync.wal),
        };
        point("shipper.resync.compared");
        self.append_entry(start, pages)?;
        point("shipper.resync.appended");
        if self.ledger.digest() != difference.digest {
            let why = "they changed between two looks at them";
            return Err(Error::Unproven { txid: self.head().txid, why }.into());
        }
        Ok(())
    }
}

/// The hashes of the pages that a replica has at its end.
pub trait KnownPages {
    /// The size of its pages.
    fn page_size(&self) -> PageSize;

    /// How many there are.
    fn database_pages(&self) -> u32;

    /// The hashes of so many pages from `first` on; zeros for those that it does not have.
    ///
    /// # Errors
    /// When they cannot be read.
    fn hashes(&self, first: PageNumber, count: u32) -> Result<Vec<PageHash>, Error>;
}

/// The shipper must be durable, so that the local table tells the replica's state.
impl KnownPages for Shipper {
    fn page_size(&self) -> PageSize {
        Shipper::page_size(self)
    }

    fn database_pages(&self) -> u32 {
        self.ledger.database_pages()
    }

    fn hashes(&self, first: PageNumber, count: u32) -> Result<Vec<PageHash>, Error> {
        debug_assert!(self.is_durable(), "the table is that of the durable position");
        self.ledger.durable_pages(first, count)
    }
}

/// Which pages of the database differ from those that the replica has, and the digest of all: as far as it was looked
/// at.
#[derive(Debug)]
pub struct Comparison {
    difference: Difference,
    known: Known,
    hasher: PageHasher,
}

impl Default for Comparison {
    fn default() -> Comparison {
        let difference =
            Difference { pages: Vec::new(), count: 0, database_pages: 0, digest: Digest::EMPTY };
        let known = Known { first: 1, hashes: Vec::new() };
        Comparison { difference, known, hasher: PageHasher::default() }
    }
}

impl Comparison {
    /// Looks at some more pages, which come after those before.
    ///
    /// # Errors
    /// Whatever `pages` returns.
    pub fn look<E: From<Error>>(
        &mut self,
        there: &impl KnownPages,
        pages: impl Pages<E>,
    ) -> Result<(), E> {
        let Comparison { difference, known, hasher } = self;
        pages(&mut |page, image| {
            let mut hashed = hasher.push(page, image);
            Ok(hashed.try_for_each(|(page, hash)| difference.note(page, hash, known, there))?)
        })
    }

    /// That was all.
    ///
    /// # Errors
    /// When the local table cannot be read.
    pub fn finish(self, there: &impl KnownPages) -> Result<Difference, Error> {
        let Comparison { mut difference, mut known, hasher } = self;
        let mut rest = hasher.finish();
        rest.try_for_each(|(page, hash)| difference.note(page, hash, &mut known, there))?;
        Ok(difference)
    }
}

/// A resync, but for its pages.
#[derive(Debug, Clone)]
pub struct Resync {
    /// When the state was found, in µs since the epoch.
    pub time: i64,
    /// What is known of the time before it.
    pub detail: ResyncDetail,
    /// The size of the database, in pages.
    pub database_pages: u32,
    /// Whether the replica had more than the database has.
    pub is_fork: bool,
    /// Where in the log that state is.
    pub wal: ebbtide_state::WalPosition,
}

/// In what a database differs from the replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The pages that differ, as ranges of their numbers.
    pub pages: Vec<Range<u32>>,
    /// How many those are.
    pub count: u64,
    /// The last page of the database.
    pub database_pages: u32,
    /// The digest of the whole database.
    pub digest: Digest,
}

impl Difference {
    fn note(
        &mut self,
        page: PageNumber,
        hash: PageHash,
        known: &mut Known,
        there: &impl KnownPages,
    ) -> Result<(), Error> {
        if known.of(page, there)? != hash || page.get() > there.database_pages() {
            self.add(page, lock_page(there.page_size()));
        }
        self.digest = self.digest.toggle(hash);
        self.database_pages = page.get();
        Ok(())
    }

    fn add(&mut self, page: PageNumber, lock: PageNumber) {
        self.count += 1;
        let page = page.get();
        match self.pages.last_mut() {
            Some(last) if last.end == page && page != lock.get() => last.end = page + 1,
            _ => self.pages.push(page..page + 1),
        }
    }
}

/// A stretch of the local table, read ahead.
#[derive(Debug)]
struct Known {
    first: u32,
    hashes: Vec<PageHash>,
}

impl Known {
    const PAGES_AT_ONCE: u32 = 65_536;

    fn of(&mut self, page: PageNumber, there: &impl KnownPages) -> Result<PageHash, Error> {
        let at = |first: u32| page.get().checked_sub(first).map(|at| at as usize);
        if at(self.first).is_none_or(|at| at >= self.hashes.len()) {
            self.first = page.get();
            self.hashes = there.hashes(page, Known::PAGES_AT_ONCE)?;
        }
        let found = at(self.first).and_then(|at| self.hashes.get(at)).copied();
        Ok(found.unwrap_or(PageHash::from_bytes([0; 16])))
    }
}

/// Sends a periodic snapshot and returns once it is durable: what to vouch for, see [`Shipper::vouch`]. `pages` are those
/// of the image.
///
/// # Errors
/// [`Error::Unproven`] when the pages do not add up to the digest that was kept from commit to commit. Then nothing was
/// sent, and either the database's file was changed behind SQLite's back, or its disk or our bookkeeping is at fault.
pub async fn ship_snapshot<E: From<Error> + Send + 'static>(
    snapshot: Snapshot,
    pages: impl Pages<E> + Send + 'static,
) -> Result<Vouch, E> {
    let Snapshot { to, moment, chain, digest } = snapshot;
    let txid = moment.txid;
    let vouch = move |found: &Entry| {
        if found.digest == digest {
            return Ok((chain, Vouch { snapshot: txid, content: found.content }));
        }
        let why = "the file was changed without SQLite, or its disk is failing";
        Err(Error::Unproven { txid, why })
    };
    send_snapshot(to, moment, pages, |_, _| Ok(()), vouch).await
}
