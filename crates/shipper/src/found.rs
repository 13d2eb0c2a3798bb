//! A new replica: its manifest, the first claim, the first snapshot, and the entry that vouches for it.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use ebbtide_catalog::{CatalogError, Head};
use ebbtide_fault::point;
use ebbtide_replica::container::EntryStart;
use ebbtide_replica::{
    Chain, Digest, Entry, EntryFlags, EntryKind, Key, Manifest, PageHash, ReplicaId, Timestamp,
    Txid, Vouch,
};
use ebbtide_state::{Fill, Origin, Position, State, WalPosition};
use ebbtide_store::{Conditional, ErrorKind, Store, StoreError};
use ebbtide_wal::{PageNumber, PageSize};

use crate::attach::{Ground, Local};
use crate::claim::Owner;
use crate::error::{Error, Winner};
use crate::image::{Destination, EachPage, Moment, Pages, send_snapshot};
use crate::outage::Outage;
use crate::put::pause;
use crate::segment::{Head as Last, Segment};
use crate::shipper::{Options, Shipper};

/// Hashes are written to the local table so many at once.
const HASHES_AT_ONCE: usize = 4096;

/// Begins a replica that has no state yet.
#[derive(Debug)]
pub struct Founder {
    to: Destination,
    local: Local,
    manifest: Option<Manifest>,
    head: Option<Head>,
}

/// The database that a replica begins with.
#[derive(Debug, Clone, Copy)]
pub struct Beginning {
    /// When, in µs since the epoch.
    pub time: i64,
    /// Its size in pages.
    pub database_pages: u32,
    /// Where in the log its state is.
    pub wal: WalPosition,
}

/// The end of what was put so far.
#[derive(Debug, Clone, Copy)]
struct Tip {
    next: Txid,
    chain: Chain,
    time: Timestamp,
}

impl Founder {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        outage: Arc<Outage>,
        local: Local,
        manifest: Option<Manifest>,
        head: Option<Head>,
    ) -> Founder {
        Founder { to: Destination { store, outage }, local, manifest, head }
    }

    /// The outage that the puts see.
    #[must_use]
    pub fn outage(&self) -> Arc<Outage> {
        Arc::clone(&self.to.outage)
    }

    /// Puts the manifest, a claim, the snapshot and the entry that vouches for it; the shipper that carries on from
    /// there. A crash in between leaves a replica without a state, which the next start takes for new.
    ///
    /// # Errors
    /// [`Error::Fenced`] when somebody else began the same replica.
    pub async fn found<E: From<Error> + Send + 'static>(
        self,
        owner: &Owner,
        beginning: Beginning,
        options: &Options,
        pages: impl Pages<E> + Send + 'static,
    ) -> Result<Shipper, E> {
        let Founder { to, mut local, manifest, head } = self;
        // That of another replica, which holds the folder's lock.
        drop(local.state.take());
        insist(&to, || to.store.begin()).await.map_err(Error::from)?;
        probe(&to).await?;
        let time = Timestamp::from_micros(beginning.time).unwrap_or(Timestamp::EPOCH);
        let page_size = local.page_size;
        let manifest = match manifest {
            Some(manifest) => manifest,
            None => put_manifest(&to, owner, page_size, time).await?,
        };
        let replica = manifest.replica;
        let tip = Tip::after(head, replica, time);
        point("shipper.found.named");
        let detail = owner.claim(tip.time, local.file.clone()).to_detail().map_err(Error::from)?;
        let claim = entry(tip, EntryKind::Claim, EntryFlags::NONE, 0, detail);
        let tip = put_entry(&to, replica, page_size, tip, claim, Digest::EMPTY).await?;
        point("shipper.found.claimed");
        sweep(&*to.store).await;
        let moment = Moment {
            replica,
            page_size,
            txid: tip.next,
            time: tip.time,
            database_pages: beginning.database_pages,
        };
        let fill = State::create(&local.folder).map_err(Error::from)?;
        let table = Table { fill, first: PageNumber::ONE, hashes: Vec::new() };
        let table = Arc::new(Mutex::new(table));
        let vouch = move |image: &Entry| {
            let (segment, chain) = vouching(replica, page_size, tip, image)?;
            Ok((chain, (segment, chain, image.digest)))
        };
        let filled = Arc::clone(&table);
        let add =
            move |page, hash| filled.lock().unwrap_or_else(PoisonError::into_inner).add(page, hash);
        let (segment, chain, digest) = send_snapshot(to.clone(), moment, pages, add, vouch).await?;
        point("shipper.found.imaged");
        let key = segment.key();
        segment.seal()?.land(&*to.store, &key, &to.outage).await?;
        point("shipper.found.vouched");
        let state = Table::complete(table)?
            .publish(Position {
                replica,
                location: to.store.describe(),
                page_size,
                txid: moment.txid,
                chain,
                digest,
                database_pages: moment.database_pages,
                time: moment.time,
                wal: Some(beginning.wal),
                database: local.database,
                origin: Origin::Followed,
            })
            .map_err(Error::from)?;
        point("shipper.found.published");
        let Local { folder, database, file, .. } = local;
        let (store, outage, options) = (to.store, to.outage, *options);
        let ground =
            Ground { store, outage, options, folder, database, file, manifest, is_stored: true };
        Ok(founded(ground, state, moment.txid).await?)
    }
}

/// The shipper of a replica that has its first snapshot.
async fn founded(ground: Ground, state: State, snapshot: Txid) -> Result<Shipper, Error> {
    let mut spool = ground.spool()?;
    spool.clear().await?;
    let shipper = ground.shipper(state, spool);
    shipper.presence().set_base(Some(Key::Snapshot(snapshot)));
    Ok(shipper)
}

impl Tip {
    /// Behind the last entry that there is, at `time` or later.
    fn after(head: Option<Head>, replica: ReplicaId, time: Timestamp) -> Tip {
        match head {
            None => Tip { next: Txid::FIRST, chain: Chain::genesis(replica), time },
            Some(head) => {
                let time = time.max(head.entry.time);
                Tip { next: head.entry.txid.next(), chain: head.chain, time }
            }
        }
    }
}

/// Finds out whether the store keeps two writers apart, and says so if it does not.
async fn probe(to: &Destination) -> Result<(), Error> {
    if insist(to, || to.store.probe()).await? == Conditional::Ignored {
        tracing::warn!(
            store = %to.store.describe(),
            "this store overwrites objects although it is told not to: make sure that never two processes write into \
             one replica, nothing else would keep them apart"
        );
    }
    Ok(())
}

/// Tries until it succeeds or never could, as segments are put.
async fn insist<T, F: Future<Output = Result<T, StoreError>>>(
    to: &Destination,
    attempt: impl Fn() -> F,
) -> Result<T, StoreError> {
    let mut failures = 0;
    loop {
        match attempt().await {
            Err(error) if !error.is_permanent() => {
                to.outage.note(&*to.store, &error);
                failures += 1;
                pause(failures, error.kind()).await;
            }
            Ok(done) => {
                to.outage.end(&*to.store);
                return Ok(done);
            }
            Err(error) => return Err(error),
        }
    }
}

/// Removes what uploads of ours left behind that were cut off. The claim has stopped whoever else may have had one.
async fn sweep(store: &dyn Store) {
    match store.sweep().await {
        Ok(0) => {}
        Ok(count) => tracing::info!(count, "removed what unfinished uploads left behind"),
        Err(error) => tracing::warn!(%error, "cannot remove what unfinished uploads left behind"),
    }
}

async fn put_manifest(
    to: &Destination,
    owner: &Owner,
    page_size: PageSize,
    created: Timestamp,
) -> Result<Manifest, Error> {
    let replica = ReplicaId::random()
        .map_err(|source| Error::System { doing: "draw random numbers", source })?;
    let created_by = Manifest::creator(&owner.version, &owner.host);
    let manifest = Manifest { replica, page_size, created, created_by };
    let body = Bytes::from(manifest.to_json());
    match insist(to, || put_or_read(&*to.store, body.clone())).await?? {
        Some(there) if there.replica != replica => Err(Error::Fenced { winner: Winner(None) }),
        _ => Ok(manifest),
    }
}

/// Puts a manifest. If it turns out that there is one: that one, which may be ours with its answer lost, or somebody
/// else's, who began at the same moment.
async fn put_or_read(
    store: &dyn Store,
    body: Bytes,
) -> Result<Result<Option<Manifest>, CatalogError>, StoreError> {
    let error = match store.put(&Key::Manifest, body).await {
        Ok(()) => return Ok(Ok(None)),
        Err(error) if error.kind() == ErrorKind::Exists || !error.is_permanent() => error,
        Err(error) => return Err(error),
    };
    match ebbtide_catalog::read_manifest(store).await {
        Ok(None) => Err(error),
        Ok(there) => Ok(Ok(there)),
        Err(CatalogError::Store(error)) => Err(error),
        Err(error) => Ok(Err(error)),
    }
}

fn entry(
    tip: Tip,
    kind: EntryKind,
    flags: EntryFlags,
    database_pages: u32,
    detail: Vec<u8>,
) -> EntryStart {
    EntryStart { txid: tip.next, kind, flags, time: tip.time, database_pages, detail }
}

/// Puts one entry without pages as a segment of its own.
async fn put_entry(
    to: &Destination,
    replica: ReplicaId,
    page_size: PageSize,
    tip: Tip,
    start: EntryStart,
    digest: Digest,
) -> Result<Tip, Error> {
    let mut segment = Segment::new(tip.next, tip.chain, replica, page_size);
    segment.begin(start)?;
    segment.end(digest, None)?;
    let after = segment.head();
    let key = segment.key();
    segment.seal()?.land(&*to.store, &key, &to.outage).await?;
    let chain = after.map_or(tip.chain, |last: Last| last.chain);
    Ok(Tip { next: tip.next.next(), chain, time: tip.time })
}

/// The segment whose entry says that the snapshot is the state of the replica, and the chain up to it.
fn vouching(
    replica: ReplicaId,
    page_size: PageSize,
    tip: Tip,
    image: &Entry,
) -> Result<(Segment, Chain), Error> {
    let flags = EntryFlags::IN_SNAPSHOT;
    let start = entry(tip, EntryKind::Resync, flags, image.database_pages, Vec::new());
    let mut segment = Segment::new(tip.next, tip.chain, replica, page_size);
    segment.begin(start)?;
    segment.vouch(image.content)?;
    segment.end(image.digest, None)?;
    let chain = segment.head().map_or(tip.chain, |last| last.chain);
    Ok((segment, chain))
}

/// The local table of page hashes while it is filled in ascending order.
struct Table {
    fill: Fill,
    first: PageNumber,
    hashes: Vec<PageHash>,
}

impl Table {
    fn add(&mut self, page: PageNumber, hash: PageHash) -> Result<(), Error> {
        let expected = self.first.get() as usize + self.hashes.len();
        if self.hashes.len() >= HASHES_AT_ONCE || page.get() as usize != expected {
            self.flush()?;
        }
        if self.hashes.is_empty() {
            self.first = page;
        }
        self.hashes.push(hash);
        Ok(())
    }

    fn complete(table: Arc<Mutex<Table>>) -> Result<Fill, Error> {
        let table = Arc::into_inner(table).map(Mutex::into_inner);
        let mut table = table
            .ok_or(Error::Changed("the table of page hashes is in use"))?
            .unwrap_or_else(PoisonError::into_inner);
        table.flush()?;
        Ok(table.fill)
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.fill.set(self.first, &self.hashes)?;
        self.hashes.clear();
        Ok(())
    }
}

impl Shipper {
    /// Claims the replica: whoever wrote into it before stops at its next put. Returns once the claim is durable.
    ///
    /// # Errors
    /// [`Error::Fenced`] when another process was faster.
    pub async fn claim(&mut self, owner: &Owner, time: i64) -> Result<(), Error> {
        let time = Timestamp::from_micros(time).unwrap_or(self.head().time).max(self.head().time);
        self.append_claim(time, owner.claim(time, self.file.clone()).to_detail()?)?;
        self.flush()?;
        point("shipper.claim.sent");
        // What an earlier run has spooled goes first: if somebody else has taken over meanwhile, it finds out.
        self.settle().await?;
        point("shipper.claim.landed");
        self.ledger.sync()?;
        sweep(&*self.store).await;
        Ok(())
    }

    /// Vouches for a snapshot that is durable: a claim of ours states its content, so that the history covers its pages.
    /// It goes with the next segment.
    ///
    /// # Errors
    /// As [`Shipper::append`].
    pub fn vouch(&mut self, owner: &Owner, vouch: Vouch) -> Result<(), Error> {
        let time = self.head().time;
        self.append_claim(time, vouch.to_detail(Some(&owner.claim(time, self.file.clone())))?)
    }

    fn append_claim(&mut self, time: Timestamp, detail: Vec<u8>) -> Result<(), Error> {
        let start = crate::append::Start {
            kind: EntryKind::Claim,
            flags: EntryFlags::NONE,
            time: time.as_micros(),
            database_pages: self.ledger.database_pages(),
            detail,
            expected: 0,
            wal: None,
        };
        self.append_entry(start, |_: &mut EachPage<'_, Error>| Ok(()))
    }
}
