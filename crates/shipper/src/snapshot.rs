//! Snapshots and deltas: every page of a database as of one entry, or every page that changed since another one.

use std::ops::Range;

use ebbtide_catalog::Identity;
use ebbtide_fault::point;
use ebbtide_replica::container::{Contents, EntryStart, Header, Writer};
use ebbtide_replica::{
    Chain, Digest, Entry, EntryFlags, EntryKind, Key, PageHash, Point, ReplicaId, Txid, Vouch,
};
use ebbtide_store::{Object, Store};
use ebbtide_wal::{PageNumber, PageSize};

use crate::destination::Destination;
use crate::error::Error;
use crate::outgoing::Outgoing;
use crate::pages::Pages;
use crate::parts::Parts;

/// A periodic snapshot, made while shipping goes on.
#[derive(Debug, Clone)]
pub struct Snapshot {
    pub(crate) to: Destination,
    pub(crate) start: SnapshotStart,
    /// The chain after the entry.
    pub(crate) chain: Chain,
    /// The digest that was computed from the commits.
    pub(crate) digest: Digest,
}

/// A delta, made while shipping goes on.
#[derive(Debug, Clone)]
pub struct Delta {
    pub(crate) snapshot: Snapshot,
    /// The pages that changed and are still there.
    pub(crate) pages: Vec<Range<u32>>,
}

impl Delta {
    /// The pages that it carries, as ranges that ascend; the lock page may be among them.
    #[must_use]
    pub fn pages(&self) -> &[Range<u32>] {
        &self.pages
    }
}

/// A snapshot or delta before its pages are read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SnapshotStart {
    pub(crate) replica: ReplicaId,
    pub(crate) page_size: PageSize,
    /// The last entry before it.
    pub(crate) point: Point,
    /// The size of the database, in pages.
    pub(crate) database_pages: u32,
    /// What a delta adds to; a snapshot adds to nothing.
    pub(crate) delta: Option<DeltaBase>,
}

/// What a delta adds to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DeltaBase {
    /// The first entry that it covers.
    pub(crate) first: Txid,
    /// The digest without the pages that it carries.
    pub(crate) rest: Digest,
    /// How many pages it carries.
    pub(crate) pages: u32,
}

impl SnapshotStart {
    fn key(&self) -> Key {
        let last = self.point.txid;
        match self.delta {
            Some(DeltaBase { first, .. }) => Key::Delta { first, last },
            None => Key::Snapshot(last),
        }
    }

    fn contents(&self) -> Contents {
        match self.delta {
            Some(DeltaBase { first, .. }) => Contents::Delta { first },
            None => Contents::Snapshot { txid: self.point.txid },
        }
    }

    fn expected_bytes(&self) -> u64 {
        let pages = self.delta.map_or(self.database_pages, |delta| delta.pages);
        u64::from(pages) * self.page_size.offset()
    }

    fn entry(&self) -> EntryStart {
        let flags = if self.delta.is_some() { EntryFlags::NONE } else { EntryFlags::COMPLETE };
        EntryStart {
            txid: self.point.txid,
            kind: EntryKind::Image,
            flags,
            time: self.point.time,
            database_pages: self.database_pages,
            detail: Vec::new(),
        }
    }
}

/// Puts a periodic snapshot and returns once it is durable. Pass the result to [`vouch`](crate::vouch).
///
/// # Errors
/// [`Error::Unproven`] when the pages do not add up to the digest that was computed from the commits. Then the snapshot
/// was not put: the database's file was changed without SQLite, its disk is failing, or ebbtide has a bug.
pub async fn ship_snapshot<E: From<Error> + Send + 'static>(
    snapshot: Snapshot,
    pages: impl Pages<E> + Send + 'static,
) -> Result<Vouch, E> {
    let Snapshot { to, start, chain, digest } = snapshot;
    let (txid, object) = (start.point.txid, start.key());
    let vouch = move |found: &Entry| {
        if found.digest == digest {
            return Ok((chain, Vouch { object, content: found.content }));
        }
        let why = "the file was changed without SQLite, or its disk is failing";
        Err(Error::Unproven { txid, why })
    };
    send_snapshot(to, start, pages, |_, _| Ok(()), vouch).await
}

/// Puts a delta with the pages that [`Delta::pages`] names and returns once it is durable. Pass the result to
/// [`vouch`](crate::vouch).
///
/// # Errors
/// [`Error::Unproven`] when the pages do not lead from the state that the delta begins with to the present one: what was
/// known to have changed is wrong, and is to be forgotten. Then the delta was not put.
pub async fn ship_delta<E: From<Error> + Send + 'static>(
    delta: Delta,
    pages: impl Pages<E> + Send + 'static,
) -> Result<Vouch, E> {
    ship_snapshot(delta.snapshot, pages).await
}

/// Encodes and puts a snapshot or delta; returns once it is durable. `vouch` receives its entry, with the digest and the
/// content hash of all pages, and returns the chain for its footer. Encoding runs on a blocking thread.
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
    let key = start.key();
    let destination = to.clone();
    let encode = move || {
        let mut writer = begin(&start, &destination)?;
        let mut outgoing = Outgoing::new(key);
        writer.begin_entry(start.entry()).map_err(Error::from)?;
        let expected = start.expected_bytes();
        let begin_upload = |key| Parts::begin(&destination, key, expected, None);
        let mut digest = start.delta.map_or(Digest::EMPTY, |delta| delta.rest);
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
            Ok((writer.finish_at(chain).map_err(Error::from)?, (entry, chain), vouched))
        };
        match finish() {
            Ok((finished, made, vouched)) => Ok((outgoing.seal(finished.tail), made, vouched)),
            Err(error) => {
                outgoing.abandon();
                Err(error)
            }
        }
    };
    let is_delta = start.delta.is_some();
    match is_delta {
        true => point("shipper.delta.begin"),
        false => point("shipper.snapshot.begin"),
    }
    let encoded: Result<_, E> = tokio::task::spawn_blocking(encode).await.map_err(Error::from)?;
    let (sealed, (entry, chain), vouched) = encoded?;
    match is_delta {
        true => point("shipper.delta.encoded"),
        false => point("shipper.snapshot.encoded"),
    }
    let landed = sealed.land(&to, &key).await;
    check_landed(landed, &*to.store, key, &entry, chain).await?;
    match is_delta {
        true => point("shipper.delta.landed"),
        false => point("shipper.snapshot.landed"),
    }
    Ok(vouched)
}

/// Begins the object, encrypted if the replica is.
fn begin(start: &SnapshotStart, to: &Destination) -> Result<Writer, Error> {
    let (contents, Point { txid, time }) = (start.contents(), start.point);
    let header = Header { replica: start.replica, page_size: start.page_size, contents };
    let encryption = to.encryption.as_deref();
    let sealer = encryption.map(|encryption| encryption.sealer(&header, txid, time));
    Ok(Writer::begin(header, sealer.transpose()?))
}

/// What came of the put of an object with this entry. If its name is taken by an object of this process, that is as good
/// if it has the same entry: each attempt at an encrypted object has other bytes.
async fn check_landed(
    landed: Result<(), Error>,
    store: &dyn Store,
    key: Key,
    entry: &Entry,
    chain: Chain,
) -> Result<(), Error> {
    match landed {
        Err(Error::SupersededOwnPut { key: taken }) => {
            match is_there(store, key, entry, chain).await? {
                true => Ok(()),
                false => Err(Error::SupersededOwnPut { key: taken }),
            }
        }
        landed => landed,
    }
}

/// Whether the object has this entry and this history before it: an earlier attempt has made it, of the same pages.
async fn is_there(store: &dyn Store, key: Key, entry: &Entry, chain: Chain) -> Result<bool, Error> {
    let Some(Identity { manifest, .. }) = ebbtide_catalog::identify(store, None).await? else {
        return Ok(false);
    };
    let Some(size) = store.size(&key).await? else { return Ok(false) };
    let fetched = ebbtide_catalog::read_index(store, &manifest, Object::new(key, size)).await?;
    let index = &fetched.index;
    Ok(index.entries() == std::slice::from_ref(entry) && index.footer().chain == chain)
}
