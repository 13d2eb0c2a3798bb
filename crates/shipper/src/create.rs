//! Creates a replica: manifest, first claim, first snapshot, and the entry that vouches for the snapshot.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use ebbtide_catalog::{CatalogError, Head};
use ebbtide_fault::point;
use ebbtide_replica::container::EntryStart;
use ebbtide_replica::{
    Chain, Digest, Encryption as Encrypted, Entry, EntryFlags, EntryKind, EntryState, Key,
    Manifest, Point, ReplicaId, Timestamp, Txid,
};
use ebbtide_seal::{KeyId, SecretKey};
use ebbtide_state::{Origin, Position, State, add_index_key};
use ebbtide_store::{Conditional, ErrorKind, Store};
use ebbtide_wal::PageSize;

use crate::behind::look;
use crate::claim::sweep;
use crate::context::OpenContext;
use crate::destination::Destination;
use crate::encryption::{Encryption, cannot_draw};
use crate::error::{Error, ReplicaOwner};
use crate::local::Local;
use crate::options::Options;
use crate::owner::Owner;
use crate::pages::Pages;
use crate::retry::{AttemptError, retry};
use crate::segment::Segment;
use crate::shipper::Shipper;
use crate::snapshot::{SnapshotStart, send_snapshot};
use crate::store_health::StoreHealth;
use crate::table_fill::TableFill;

/// Creates a replica at a location that has no snapshot.
#[derive(Debug)]
pub struct Creator {
    to: Destination,
    local: Local,
    manifest: Option<Manifest>,
    head: Option<Head>,
}

/// The database state of the first snapshot.
#[derive(Debug, Clone, Copy)]
pub struct FirstState {
    /// The time of the state, in µs since the epoch.
    pub time: Timestamp,
    /// The size of the database in pages.
    pub database_pages: u32,
    /// The log position of the state.
    pub wal: ebbtide_wal::Position,
}

/// The position after the last entry of the replica.
#[derive(Debug, Clone, Copy)]
struct ReplicaEnd {
    next: Txid,
    chain: Chain,
    time: Timestamp,
}

impl Creator {
    pub(crate) fn new(
        to: Destination,
        local: Local,
        manifest: Option<Manifest>,
        head: Option<Head>,
    ) -> Creator {
        Creator { to, local, manifest, head }
    }

    /// The health of the store, as the puts see it.
    #[must_use]
    pub fn store_health(&self) -> Arc<StoreHealth> {
        Arc::clone(&self.to.health)
    }

    /// Puts the manifest, a claim, the snapshot and the entry that vouches for the snapshot, and returns the shipper. If
    /// the replica is to be encrypted, its index key comes first.
    /// After a crash in between the replica has no snapshot, and the next start creates it again.
    ///
    /// # Errors
    /// [`Error::Fenced`] when another process created the replica at the same time.
    pub async fn create<E: From<Error> + Send + 'static>(
        self,
        owner: &Owner,
        first: FirstState,
        options: &Options,
        pages: impl Pages<E> + Send + 'static,
    ) -> Result<Shipper, E> {
        let Creator { mut to, mut local, manifest, head } = self;
        // The local state of another replica holds the lock on the directory.
        drop(local.state.take());
        retry(&to, || async { to.store.begin().await.map_err(AttemptError::unless_permanent) })
            .await?;
        probe(&to).await?;
        let time = first.time;
        let page_size = local.page_size;
        let (manifest, text) = match manifest {
            Some(manifest) => stored_text(&to, manifest).await?,
            None => begin_replica(&mut to, owner, &local, time, options).await?,
        };
        let replica = manifest.replica;
        let end = ReplicaEnd::after(head, replica, time);
        point("shipper.found.named");
        let detail = first_claim(owner, end, &local, &text)?;
        let claim = entry(end, EntryKind::Claim, EntryFlags::NONE, 0, detail);
        let claimed = end.next;
        let end = put_entry(&to, (replica, page_size), end, claim, Digest::EMPTY).await?;
        look(&to, &manifest, Key::Log(claimed), claimed).await?;
        point("shipper.found.claimed");
        sweep(&*to.store).await;
        let (last, database_pages) =
            (Point { txid: end.next, time: end.time }, first.database_pages);
        let start = SnapshotStart { replica, page_size, point: last, database_pages, delta: None };
        let fill = State::create(&local.directory).map_err(Error::from)?;
        let table = TableFill::new(fill);
        let table = Arc::new(Mutex::new(table));
        let encryption = to.encryption.clone();
        let vouch = move |image: &Entry| {
            let (of, encryption) = ((replica, page_size), encryption.as_deref());
            let (segment, chain) = vouching_segment(of, end, image, encryption)?;
            Ok((chain, (segment, chain, image.digest)))
        };
        let filled = Arc::clone(&table);
        let add =
            move |page, hash| filled.lock().unwrap_or_else(PoisonError::into_inner).add(page, hash);
        let (segment, chain, digest) = send_snapshot(to.clone(), start, pages, add, vouch).await?;
        point("shipper.found.imaged");
        let key = segment.key();
        segment.seal()?.land(&to, &key).await?;
        point("shipper.found.vouched");
        let position = Position {
            replica,
            location: to.store.address(),
            page_size,
            state: EntryState {
                point: start.point,
                chain,
                digest,
                database_pages: start.database_pages,
            },
            wal: Some(first.wal),
            database: local.database,
            origin: Origin::Followed,
        };
        let fill = TableFill::complete(table)?;
        let state = State::publish(fill, position).map_err(Error::from)?;
        point("shipper.found.published");
        Ok(shipper_of_new_replica(to, local, manifest, options.clone(), state).await?)
    }
}

/// The shipper of a replica that has its first snapshot.
async fn shipper_of_new_replica(
    to: Destination,
    local: Local,
    manifest: Manifest,
    options: Options,
    state: State,
) -> Result<Shipper, Error> {
    let snapshot = state.position().state.txid();
    let Local { directory, database, file, .. } = local;
    let is_stored = true;
    let context = OpenContext { to, options, directory, database, file, manifest, is_stored };
    let mut spool = context.spool()?;
    spool.clear().await?;
    let shipper = context.shipper(state, spool);
    shipper.presence().set_base(Some(Key::Snapshot(snapshot)));
    shipper.presence().counted();
    Ok(shipper)
}

impl ReplicaEnd {
    /// The position after `head`, at `time` or later.
    fn after(head: Option<Head>, replica: ReplicaId, time: Timestamp) -> ReplicaEnd {
        match head {
            None => ReplicaEnd { next: Txid::FIRST, chain: Chain::genesis(replica), time },
            Some(head) => {
                let time = time.max(head.state.time());
                ReplicaEnd { next: head.state.txid().next(), chain: head.state.chain, time }
            }
        }
    }
}

/// Checks whether the store supports conditional puts, and logs a warning if it does not.
async fn probe(to: &Destination) -> Result<(), Error> {
    let probe = || async { to.store.probe().await.map_err(AttemptError::unless_permanent) };
    if retry(to, probe).await? == Conditional::Ignored {
        tracing::warn!(
            store = %to.store.describe(),
            "this store ignores the condition of a conditional put and overwrites objects: make sure that never two \
             processes write into one replica, nothing else would keep them apart"
        );
    }
    Ok(())
}

/// Puts the manifest of a new replica, and before it the index key if it is to be encrypted.
async fn begin_replica(
    to: &mut Destination,
    owner: &Owner,
    local: &Local,
    created: Timestamp,
    options: &Options,
) -> Result<(Manifest, Bytes), Error> {
    let replica = ReplicaId::random().map_err(cannot_draw)?;
    let index = begin_encryption(to, replica, local, options).await?;
    let created_by = match index {
        Some(_) => Manifest::nameless_creator(&owner.version),
        None => Manifest::creator(&owner.version, &owner.host),
    };
    let (page_size, encryption) = (local.page_size, index.map(Encrypted::new));
    put_manifest(to, Manifest { replica, page_size, created, created_by, encryption }).await
}

/// Draws the index key of a new replica that is to be encrypted; its id. The key is on this host and, wrapped, in the store
/// before the manifest names it. After a kill another replica is begun, with another key: this one opens nothing.
async fn begin_encryption(
    to: &mut Destination,
    replica: ReplicaId,
    local: &Local,
    options: &Options,
) -> Result<Option<KeyId>, Error> {
    let Some(wrap) = &options.wrap else { return Ok(None) };
    let index = SecretKey::random().map_err(cannot_draw)?;
    let id = KeyId::of(&index);
    if let Some(keyring) = to.store.keyring() {
        keyring.insert(index.clone());
    }
    add_index_key(&local.directory, &index)?;
    point("shipper.found.keyed");
    let encryption = Encryption::new(Arc::clone(wrap), replica, index, &local.directory);
    let wrapped = encryption.wrapped_index()?;
    retry(to, || async { wrapped.put(&*to.store).await.map_err(AttemptError::Retryable) }).await?;
    point("shipper.found.wrapped");
    to.encryption = Some(Arc::new(encryption));
    Ok(Some(id))
}

async fn put_manifest(to: &Destination, manifest: Manifest) -> Result<(Manifest, Bytes), Error> {
    let body = Bytes::from(manifest.to_json());
    match retry(to, || put_or_read(&*to.store, body.clone())).await? {
        Some(there) if there.replica != manifest.replica => {
            Err(Error::Fenced { owner: ReplicaOwner(None) })
        }
        _ => Ok((manifest, body)),
    }
}

/// The detail of the claim that begins the replica: entry 1 states the text of the manifest.
fn first_claim(
    owner: &Owner,
    end: ReplicaEnd,
    local: &Local,
    text: &[u8],
) -> Result<Vec<u8>, Error> {
    let mut claim = owner.claim(end.time, local.file.clone());
    let is_first = end.next == Txid::FIRST;
    claim.manifest = is_first.then(|| String::from_utf8_lossy(text).into());
    Ok(claim.to_detail()?)
}

/// The manifest with the bytes of `ebbtide.json`, or with those that are put there again where it is missing.
async fn stored_text(to: &Destination, manifest: Manifest) -> Result<(Manifest, Bytes), Error> {
    let text = retry(to, || async {
        match to.store.get(&Key::Manifest, Manifest::SIZE_MAX as u64).await {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(AttemptError::unless_permanent(error)),
        }
    });
    let text = text.await?.filter(|text| !text.is_empty());
    let text = text.unwrap_or_else(|| manifest.to_json().into());
    Ok((manifest, text))
}

/// Puts a manifest, or returns the existing one. The existing one is ours if the answer to an earlier put was lost, or
/// that of another process that created the replica at the same time.
async fn put_or_read(store: &dyn Store, body: Bytes) -> Result<Option<Manifest>, AttemptError> {
    let error = match store.put(&Key::Manifest, body).await {
        Ok(()) => return Ok(None),
        Err(error) if error.kind() == ErrorKind::Exists || !error.is_permanent() => error,
        Err(error) => return Err(AttemptError::Final(error.into())),
    };
    match ebbtide_catalog::read_manifest(store).await {
        Ok(None) => Err(AttemptError::unless_permanent(error)),
        Ok(there) => Ok(there),
        Err(CatalogError::Store(error)) => Err(AttemptError::unless_permanent(error)),
        Err(error) => Err(AttemptError::Final(error.into())),
    }
}

fn entry(
    end: ReplicaEnd,
    kind: EntryKind,
    flags: EntryFlags,
    database_pages: u32,
    detail: Vec<u8>,
) -> EntryStart {
    EntryStart { txid: end.next, kind, flags, time: end.time, database_pages, detail }
}

/// Puts an entry without pages as a segment of its own.
async fn put_entry(
    to: &Destination,
    of: (ReplicaId, PageSize),
    end: ReplicaEnd,
    start: EntryStart,
    digest: Digest,
) -> Result<ReplicaEnd, Error> {
    let first = (end.next, end.time);
    let mut segment = Segment::new(first, end.chain, of, to.encryption.as_deref())?;
    segment.begin(start)?;
    segment.end(digest)?;
    let after = segment.head();
    let key = segment.key();
    segment.seal()?.land(to, &key).await?;
    let chain = after.map_or(end.chain, |last| last.chain);
    Ok(ReplicaEnd { next: end.next.next(), chain, time: end.time })
}

/// The segment whose entry vouches for the snapshot, and the chain after it.
fn vouching_segment(
    of: (ReplicaId, PageSize),
    end: ReplicaEnd,
    image: &Entry,
    encryption: Option<&Encryption>,
) -> Result<(Segment, Chain), Error> {
    let flags = EntryFlags::IN_SNAPSHOT;
    let start = entry(end, EntryKind::Resync, flags, image.database_pages, Vec::new());
    let mut segment = Segment::new((end.next, end.time), end.chain, of, encryption)?;
    segment.begin(start)?;
    segment.vouch(image.content)?;
    segment.end(image.digest)?;
    let chain = segment.head().map_or(end.chain, |last| last.chain);
    Ok((segment, chain))
}
