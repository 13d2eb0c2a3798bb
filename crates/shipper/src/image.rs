//! Full passes over a database: the first snapshot, periodic snapshots, and the comparison before a resync.

use std::ops::Range;

use ebbtide_catalog::ResyncDetail;
use ebbtide_fault::point;
use ebbtide_replica::container::{Contents, EntryStart, Header, Writer};
use ebbtide_replica::{
    Chain, Digest, Entry, EntryFlags, EntryKind, Key, PageHash, PageHasher, Point, ReplicaId, Vouch,
};
use ebbtide_wal::{PageNumber, PageSize, lock_page};

use crate::destination::Destination;
use crate::error::Error;
use crate::outgoing::Outgoing;
use crate::parts::Parts;
use crate::shipper::Shipper;

/// Receives one page.
pub type EachPage<'a, E> = dyn FnMut(PageNumber, &[u8]) -> Result<(), E> + 'a;

/// Visits every page of a database in ascending order, except the lock-byte page.
pub trait Pages<E>: FnOnce(&mut EachPage<'_, E>) -> Result<(), E> {}

impl<E, F> Pages<E> for F where F: FnOnce(&mut EachPage<'_, E>) -> Result<(), E> {}

/// What a snapshot is of, before its pages are read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SnapshotStart {
    /// The replica.
    pub(crate) replica: ReplicaId,
    /// The page size.
    pub(crate) page_size: PageSize,
    /// The last entry before it.
    pub(crate) point: Point,
    /// The size of the database, in pages.
    pub(crate) database_pages: u32,
}

/// Encodes and puts a snapshot; returns once it is durable. `vouch` receives the snapshot's entry, with the digest and
/// the content hash of all pages, and returns the chain for its footer. Encoding runs on a blocking thread.
pub(crate) async fn send_snapshot<E, R>(
    to: Destination,
    start: SnapshotStart,
    pages: impl Pages<E> + Send + 'static,
    mut each_hash: impl FnMut(PageNumber, PageHash) -> Result<(), Error> + Send + 'static,
    vouch: impl FnOnce(&Entry) -> Result<(Chain, R), Error> + Send + 'static,
) -> Result<R, E>
where
    E: From<Error> + Send + 'static,
    R: Send + 'static,
{
    let key = Key::Snapshot(start.point.txid);
    let destination = to.clone();
    let encode = move || {
        let contents = Contents::Snapshot { txid: start.point.txid };
        let header = Header { replica: start.replica, page_size: start.page_size, contents };
        let (mut writer, mut outgoing) = (Writer::new(header), Outgoing::new(key));
        writer.begin_entry(image_start(&start)).map_err(Error::from)?;
        let expected = u64::from(start.database_pages) * start.page_size.offset();
        let begin_upload = |key| Parts::begin(&destination, key, expected, None);
        let mut digest = Digest::EMPTY;
        let mut take = |digest: &mut Digest, page, hash| {
            *digest = digest.toggle(hash);
            each_hash(page, hash)
        };
        let sent = pages(&mut |page, image| {
            writer.page(page, image).map_err(Error::from)?;
            writer.hashed().try_for_each(|(page, hash)| take(&mut digest, page, hash))?;
            outgoing.drain(&mut writer, Some(&begin_upload));
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
    sealed.land(&to, &key).await?;
    point("shipper.snapshot.landed");
    Ok(vouched)
}

fn image_start(start: &SnapshotStart) -> EntryStart {
    EntryStart {
        txid: start.point.txid,
        kind: EntryKind::Image,
        flags: EntryFlags::COMPLETE,
        time: start.point.time,
        database_pages: start.database_pages,
        detail: Vec::new(),
    }
}

/// A periodic snapshot, made while shipping goes on.
#[derive(Debug, Clone)]
pub struct Snapshot {
    to: Destination,
    start: SnapshotStart,
    chain: Chain,
    digest: Digest,
}

impl Shipper {
    /// A snapshot of the state after the last appended entry.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let start = SnapshotStart {
            replica: self.replica(),
            page_size: self.page_size(),
            point: self.head().point,
            database_pages: self.page_hashes.database_pages(),
        };
        let (chain, digest) = (self.head().chain, self.page_hashes.digest());
        Snapshot { to: self.presence.destination().clone(), start, chain, digest }
    }

    /// Appends one entry with the pages that differ.
    ///
    /// # Errors
    /// As [`Shipper::append`]; [`Error::Unproven`] when the pages changed since the comparison.
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
        if self.page_hashes.digest() != difference.digest {
            let why = "they changed between two looks at them";
            return Err(Error::Unproven { txid: self.head().txid(), why }.into());
        }
        Ok(())
    }
}

/// The page hashes after the replica's last entry.
pub trait KnownPages {
    /// The page size.
    fn page_size(&self) -> PageSize;

    /// The size of the database in pages.
    fn database_pages(&self) -> u32;

    /// The hashes of `count` pages from `first` on; zeros for pages that the replica does not have.
    ///
    /// # Errors
    /// When the hashes cannot be read.
    fn hashes(&self, first: PageNumber, count: u32) -> Result<Vec<PageHash>, Error>;
}

/// Every appended entry must be durable: the local table has the hashes of the durable position.
impl KnownPages for Shipper {
    fn page_size(&self) -> PageSize {
        Shipper::page_size(self)
    }

    fn database_pages(&self) -> u32 {
        self.page_hashes.database_pages()
    }

    fn hashes(&self, first: PageNumber, count: u32) -> Result<Vec<PageHash>, Error> {
        debug_assert!(self.is_durable(), "the table is that of the durable position");
        self.page_hashes.durable_pages(first, count)
    }
}

/// A comparison of a database with its replica in progress: the pages seen so far that differ, and the digest of all.
#[derive(Debug)]
pub struct Comparison {
    difference: Difference,
    read_ahead: ReadAhead,
    hasher: PageHasher,
}

impl Default for Comparison {
    fn default() -> Comparison {
        let difference =
            Difference { pages: Vec::new(), count: 0, database_pages: 0, digest: Digest::EMPTY };
        let read_ahead = ReadAhead { first: 1, hashes: Vec::new() };
        Comparison { difference, read_ahead, hasher: PageHasher::default() }
    }
}

impl Comparison {
    /// Compares the next pages, in ascending order.
    ///
    /// # Errors
    /// The errors of `pages`.
    pub fn look<E: From<Error>>(
        &mut self,
        there: &impl KnownPages,
        pages: impl Pages<E>,
    ) -> Result<(), E> {
        let Comparison { difference, read_ahead, hasher } = self;
        pages(&mut |page, image| {
            let mut hashed = hasher.push(page, image);
            Ok(hashed
                .try_for_each(|(page, hash)| difference.note(page, hash, read_ahead, there))?)
        })
    }

    /// Ends the comparison.
    ///
    /// # Errors
    /// When the local table cannot be read.
    pub fn finish(self, there: &impl KnownPages) -> Result<Difference, Error> {
        let Comparison { mut difference, mut read_ahead, hasher } = self;
        let mut rest = hasher.finish();
        rest.try_for_each(|(page, hash)| difference.note(page, hash, &mut read_ahead, there))?;
        Ok(difference)
    }
}

/// A resync entry without its pages.
#[derive(Debug, Clone)]
pub struct Resync {
    /// The time at which the state was read, in µs since the epoch.
    pub time: i64,
    /// The history before it, as far as it is known.
    pub detail: ResyncDetail,
    /// The size of the database, in pages.
    pub database_pages: u32,
    /// Whether the replica had entries that the database lacks.
    pub is_fork: bool,
    /// The log position of the state.
    pub wal: ebbtide_wal::Position,
}

/// The difference between a database and its replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The ranges of page numbers that differ.
    pub pages: Vec<Range<u32>>,
    /// The number of pages that differ.
    pub count: u64,
    /// The size of the database in pages.
    pub database_pages: u32,
    /// The digest of the whole database.
    pub digest: Digest,
}

impl Difference {
    fn note(
        &mut self,
        page: PageNumber,
        hash: PageHash,
        read_ahead: &mut ReadAhead,
        there: &impl KnownPages,
    ) -> Result<(), Error> {
        if read_ahead.of(page, there)? != hash || page.get() > there.database_pages() {
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

/// A range of page hashes, read ahead.
#[derive(Debug)]
struct ReadAhead {
    first: u32,
    hashes: Vec<PageHash>,
}

impl ReadAhead {
    const PAGES: u32 = 65_536;

    fn of(&mut self, page: PageNumber, there: &impl KnownPages) -> Result<PageHash, Error> {
        let at = |first: u32| page.get().checked_sub(first).map(|at| at as usize);
        if at(self.first).is_none_or(|at| at >= self.hashes.len()) {
            self.first = page.get();
            self.hashes = there.hashes(page, ReadAhead::PAGES)?;
        }
        let found = at(self.first).and_then(|at| self.hashes.get(at)).copied();
        Ok(found.unwrap_or(PageHash::from_bytes([0; 16])))
    }
}

/// Puts a periodic snapshot and returns once it is durable. Pass the result to [`Shipper::vouch`].
///
/// # Errors
/// [`Error::Unproven`] when the pages do not add up to the digest that was computed from the commits. Then the snapshot
/// was not put: the database's file was changed without SQLite, its disk is failing, or ebbtide has a bug.
pub async fn ship_snapshot<E: From<Error> + Send + 'static>(
    snapshot: Snapshot,
    pages: impl Pages<E> + Send + 'static,
) -> Result<Vouch, E> {
    let Snapshot { to, start, chain, digest } = snapshot;
    let txid = start.point.txid;
    let vouch = move |found: &Entry| {
        if found.digest == digest {
            return Ok((chain, Vouch { snapshot: txid, content: found.content }));
        }
        let why = "the file was changed without SQLite, or its disk is failing";
        Err(Error::Unproven { txid, why })
    };
    send_snapshot(to, start, pages, |_, _| Ok(()), vouch).await
}
