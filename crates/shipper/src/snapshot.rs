//! Snapshots: every page of a database as of one entry.

use ebbtide_fault::point;
use ebbtide_replica::container::{Contents, EntryStart, Header, Writer};
use ebbtide_replica::{
    Chain, Digest, Entry, EntryFlags, EntryKind, Key, PageHash, Point, ReplicaId, Vouch,
};
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

/// A snapshot before its pages are read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SnapshotStart {
    pub(crate) replica: ReplicaId,
    pub(crate) page_size: PageSize,
    /// The last entry before it.
    pub(crate) point: Point,
    /// The size of the database, in pages.
    pub(crate) database_pages: u32,
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
    let txid = start.point.txid;
    let vouch = move |found: &Entry| {
        if found.digest == digest {
            return Ok((chain, Vouch { object: Key::Snapshot(txid), content: found.content }));
        }
        let why = "the file was changed without SQLite, or its disk is failing";
        Err(Error::Unproven { txid, why })
    };
    send_snapshot(to, start, pages, |_, _| Ok(()), vouch).await
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
