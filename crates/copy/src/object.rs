//! Copies one object, and proves it on its way.

use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use ebbtide_catalog::{CatalogError, Fetched, read_index};
use ebbtide_fault::point;
use ebbtide_replica::container::{Block, DocumentObject, Index};
use ebbtide_replica::{Error, Horizon, Key, Manifest, Mark, Txid};
use ebbtide_store::retry::{LastServed, Policy, retry};
use ebbtide_store::{ErrorKind, Object, Pace, Store, StoreError};
use futures::{StreamExt as _, TryStreamExt as _, stream};

use crate::error::CopyError;

/// How much is asked of the source at a time. An object of at most this is put whole.
const PIECE_BYTES: u64 = 8 * 1024 * 1024;

/// How many pieces are on their way at a time.
const PIECES_AHEAD: usize = 3;

/// A put whose end is unknown is tried again: the name is create-only.
const PUTS: Policy =
    Policy { first: Duration::from_millis(100), longest: Duration::from_secs(5), attempts: 5 };

/// An object that was read as far as it has to be before it can be put.
#[derive(Debug)]
pub(crate) struct Begun {
    pub(crate) object: Object,
    /// Its last entry, if it has entries.
    pub(crate) last: Option<Txid>,
    read: Read,
}

/// What of an object was read.
#[derive(Debug)]
enum Read {
    /// All of it, and all of it is proved.
    Whole(Bytes),
    /// Its index.
    Index(Box<Index>),
}

/// Reads and proves the index of an object, and the object itself if it is small.
pub(crate) async fn begin(
    from: &dyn Store,
    manifest: &Manifest,
    object: Object,
) -> Result<Begun, CatalogError> {
    if matches!(object.key, Key::Horizon(_) | Key::Mark { .. }) {
        let body = read_document(from, manifest, object.key).await?;
        return Ok(Begun { object, last: None, read: Read::Whole(body) });
    }
    let Fetched { index, body, .. } = read_index(from, manifest, object).await?;
    let body = match body {
        None if object.size <= PIECE_BYTES => {
            Some(from.get_range(&object.key, 0..object.size).await?)
        }
        body => body,
    };
    let last = Some(index.footer().last);
    let Some(body) = body else {
        return Ok(Begun { object, last, read: Read::Index(Box::new(index)) });
    };
    let mut proof = Proof::of(&index);
    proof.push(&body);
    proof.end().map_err(|source| CatalogError::Object { key: object.key, source })?;
    Ok(Begun { object, last, read: Read::Whole(body) })
}

/// Reads and proves a horizon or a mark.
async fn read_document(
    from: &dyn Store,
    manifest: &Manifest,
    key: Key,
) -> Result<Bytes, CatalogError> {
    let body = from.get(&key, DocumentObject::OBJECT_SIZE_MAX).await?;
    let damaged = |source| CatalogError::Object { key, source };
    let (found, replica) = match key {
        Key::Mark { .. } => Mark::parse(&body).map(|mark| (mark.key(), mark.replica)),
        _ => Horizon::parse(&body).map(|(horizon, _)| (horizon.key(), horizon.replica)),
    }
    .map_err(damaged)?;
    if found != key || replica != manifest.replica {
        let why = format!("it was written as {found} of the replica {replica}");
        return Err(damaged(Error::damaged("the document", why)));
    }
    Ok(body)
}

/// Puts the object into the target. Nothing becomes visible there unless all of it was proved.
pub(crate) async fn put(
    begun: Begun,
    from: &dyn Store,
    to: &dyn Store,
    pace: &Pace,
) -> Result<(), CopyError> {
    let Begun { object, read, .. } = begun;
    point("copy.object.begun");
    let put = match &read {
        Read::Whole(body) => {
            pace.pass(object.size).await;
            put_whole(to, object.key, body.clone()).await
        }
        Read::Index(index) => stream_over(object, index, from, to, pace).await,
    };
    let is_there =
        matches!(&put, Err(CopyError::Target(error)) if error.kind() == ErrorKind::Exists);
    if let (Key::Horizon(_), Read::Whole(body), true) = (object.key, &read, is_there) {
        // Another pruner's may be just as long.
        let there = to.get(&object.key, DocumentObject::OBJECT_SIZE_MAX).await;
        let there = there.map_err(CopyError::Target)?;
        if there != *body {
            return Err(differs(object, to, there.len() as u64));
        }
    }
    match put {
        Err(CopyError::Target(error)) if error.kind() == ErrorKind::Exists => {}
        put => put?,
    }
    // Whoever has put it, it is this object: or the sizes differ.
    match to.size(&object.key).await.map_err(CopyError::Target)? {
        Some(there) if there != object.size => Err(differs(object, to, there)),
        _ => {
            point("copy.object.done");
            Ok(())
        }
    }
}

/// The error for an object of another size in the target.
pub(crate) fn differs(object: Object, to: &dyn Store, there: u64) -> CopyError {
    let Object { key, size: here, .. } = object;
    CopyError::Differs { key, place: to.describe(), there, here }
}

async fn put_whole(to: &dyn Store, key: Key, body: Bytes) -> Result<(), CopyError> {
    let put = || to.put(&key, body.clone());
    retry(&PUTS, &LastServed::default(), put).await.map_err(CopyError::Target)
}

/// Copies an object that is not held in memory.
async fn stream_over(
    object: Object,
    index: &Index,
    from: &dyn Store,
    to: &dyn Store,
    pace: &Pace,
) -> Result<(), CopyError> {
    let key = object.key;
    let mut upload = to.upload(&key, object.size).await.map_err(CopyError::Target)?;
    let source = |error: StoreError| CopyError::Source(error.into());
    let pieces = stream::iter(ranges(object.size)).map(|range| from.get_range(&key, range));
    let mut pieces = std::pin::pin!(pieces.buffered(PIECES_AHEAD));
    let mut proof = Proof::of(index);
    let sent = async {
        while let Some(piece) = pieces.try_next().await.map_err(source)? {
            pace.pass(piece.len() as u64).await;
            proof.push(&piece);
            upload.write(piece).await.map_err(CopyError::Target)?;
            point("copy.object.piece");
        }
        let damaged = |source| CopyError::Source(CatalogError::Object { key, source });
        proof.end().map_err(damaged)
    };
    match sent.await {
        Ok(()) => upload.finish().await.map_err(CopyError::Target),
        Err(error) => {
            upload.abort().await;
            Err(error)
        }
    }
}

fn ranges(size: u64) -> impl Iterator<Item = Range<u64>> {
    (0..size.div_ceil(PIECE_BYTES)).map(move |piece| {
        let begin = piece * PIECE_BYTES;
        begin..size.min(begin + PIECE_BYTES)
    })
}

/// The CRC32 of each block, over the bytes of an object from its beginning. Header, index and footer were proved when
/// the index was read, and what comes is compared with them by the blocks alone: a reader proves them again.
struct Proof {
    /// In the order in which they lie.
    blocks: Vec<Block>,
    next: usize,
    at: u64,
    crc: crc32fast::Hasher,
    damage: Option<Error>,
}

impl Proof {
    fn of(index: &Index) -> Proof {
        let mut blocks = [index.page_blocks(), index.hash_blocks()].concat();
        blocks.sort_unstable_by_key(|block| block.offset);
        Proof { blocks, next: 0, at: 0, crc: crc32fast::Hasher::new(), damage: None }
    }

    /// Takes the next bytes of the object.
    fn push(&mut self, bytes: &[u8]) {
        let end = self.at + bytes.len() as u64;
        while let Some(block) = self.blocks.get(self.next).filter(|block| block.offset < end) {
            let within = |offset: u64| {
                usize::try_from(offset.clamp(self.at, end) - self.at).unwrap_or(bytes.len())
            };
            self.crc.update(&bytes[within(block.offset)..within(block.end())]);
            if block.end() > end {
                break;
            }
            let crc = std::mem::replace(&mut self.crc, crc32fast::Hasher::new()).finalize();
            if crc != block.crc && self.damage.is_none() {
                let why = format!("its CRC32 is {crc:08x}, not {:08x}", block.crc);
                self.damage = Some(Error::damaged(format!("the block at {}", block.offset), why));
            }
            self.next += 1;
        }
        self.at = end;
    }

    /// Whether all blocks came and were sound.
    fn end(self) -> Result<(), Error> {
        match self.damage {
            Some(damage) => Err(damage),
            None if self.next < self.blocks.len() => {
                Err(Error::damaged("the object", format!("it ends after {} bytes", self.at)))
            }
            None => Ok(()),
        }
    }
}
