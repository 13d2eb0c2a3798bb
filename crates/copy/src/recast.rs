//! Copies one object into another form: with the same entries and blocks, encrypted or decrypted on its way.

use std::ops::Range;

use bytes::Bytes;
use ebbtide_catalog::{CatalogError, Fetched, index_keys, read_index};
use ebbtide_fault::point;
use ebbtide_replica::container::{Block, DocumentObject, Index, Recast};
use ebbtide_replica::{Error, Horizon, Key, Manifest, Mark};
use ebbtide_seal::KeyUse;
use ebbtide_store::{Object, Pace, Store, StoreError, keys_at_hand, open_key};
use futures::{StreamExt as _, TryStreamExt as _, stream};

use crate::cast::about;
use crate::error::CopyError;

/// How much is asked of the source at a time, in whole blocks. An object of at most this is put whole.
pub(crate) const PIECE_BYTES: u64 = 8 * 1024 * 1024;

/// How many pieces are on their way at a time.
pub(crate) const PIECES_AHEAD: usize = 3;

/// What of an object was read before it is written in another form.
#[derive(Debug)]
pub(crate) enum Opened {
    /// Its index, with what opens its blocks; and all of its bytes, if they are not many.
    Blocks(Box<Index>, Option<Bytes>),
    /// A mark.
    Mark(DocumentObject),
    /// A horizon, which names other objects by their sizes and roots.
    Horizon(Box<Horizon>),
}

/// Reads an object so far that its blocks can be opened, and the object itself if it is small.
pub(crate) async fn open_object(
    from: &dyn Store,
    manifest: &Manifest,
    object: Object,
) -> Result<Opened, CatalogError> {
    if matches!(object.key, Key::Horizon(_) | Key::Mark { .. }) {
        return open_document(from, manifest, object.key).await;
    }
    let Fetched { mut index, body, .. } = read_index(from, manifest, object).await?;
    if let Some(id) = index.opener().missing().and(index.page_key()) {
        open_key(from, manifest.replica, id, KeyUse::Pages).await?;
        index.add_keys(&keys_at_hand(from));
    }
    let body = whole_if_small(from, object, body).await?;
    Ok(Opened::Blocks(Box::new(index), body))
}

/// All bytes of an object, if they are not many: those that came with its index, or else fetched.
pub(crate) async fn whole_if_small(
    from: &dyn Store,
    object: Object,
    body: Option<Bytes>,
) -> Result<Option<Bytes>, CatalogError> {
    match body {
        None if object.size <= PIECE_BYTES => {
            Ok(Some(from.get_range(&object.key, 0..object.size).await?))
        }
        body => Ok(body),
    }
}

async fn open_document(
    from: &dyn Store,
    manifest: &Manifest,
    key: Key,
) -> Result<Opened, CatalogError> {
    let body = from.get(&key, DocumentObject::OBJECT_SIZE_MAX).await?;
    let damaged = |source| CatalogError::Object { key, source };
    let keys = index_keys(from, manifest, key, &body).await?;
    let (found, replica, opened) = match key {
        Key::Mark { .. } => {
            let mark = Mark::open(&body, &keys).map_err(damaged)?;
            let (document, _) = DocumentObject::open(&body, &keys).map_err(damaged)?;
            (mark.key(), mark.replica, Opened::Mark(document))
        }
        _ => {
            let (horizon, _) = Horizon::open(&body, &keys).map_err(damaged)?;
            (horizon.key(), horizon.replica, Opened::Horizon(Box::new(horizon)))
        }
    };
    if found != key || replica != manifest.replica {
        let why = format!("it was written as {found} of the replica {replica}");
        return Err(damaged(Error::damaged("the document", why)));
    }
    Ok(opened)
}

/// All bytes of the object in its other form, out of all bytes of the original.
pub(crate) fn recast_whole(mut recast: Recast, key: Key, body: &[u8]) -> Result<Bytes, CopyError> {
    for block in recast.blocks().to_vec() {
        let short = || Error::damaged("the object", "it is cut off");
        let stored = within(&block, 0).and_then(|range| body.get(range));
        recast.add(stored.ok_or_else(short).map_err(about(key))?).map_err(about(key))?;
    }
    Ok(recast.finish().map_err(about(key))?.tail.into())
}

/// Copies an object that is not held in memory.
pub(crate) async fn recast_over(
    mut recast: Recast,
    object: Object,
    from: &dyn Store,
    to: &dyn Store,
    pace: &Pace,
) -> Result<(), CopyError> {
    let key = object.key;
    let mut upload = to.upload(&key, recast.size()).await.map_err(CopyError::Target)?;
    let source = |error: StoreError| CopyError::Source(error.into());
    let parts = parts(recast.blocks());
    let pieces = stream::iter(parts).map(|blocks| async move {
        let range = blocks[0].offset..blocks[blocks.len() - 1].end();
        from.get_range(&key, range).await.map(|piece| (blocks, piece))
    });
    let mut pieces = std::pin::pin!(pieces.buffered(PIECES_AHEAD));
    let sent = async {
        while let Some((blocks, piece)) = pieces.try_next().await.map_err(source)? {
            pace.pass(piece.len() as u64).await;
            for block in &blocks {
                let stored = within(block, blocks[0].offset).and_then(|range| piece.get(range));
                recast.add(stored.unwrap_or_default()).map_err(about(key))?;
            }
            upload.write(recast.take().into()).await.map_err(CopyError::Target)?;
            point("copy.object.piece");
        }
        let finished = recast.finish().map_err(about(key))?;
        upload.write(finished.tail.into()).await.map_err(CopyError::Target)
    };
    match sent.await {
        Ok(()) => upload.finish().await.map_err(CopyError::Target),
        Err(error) => {
            upload.abort().await;
            Err(error)
        }
    }
}

/// Where a block lies in bytes of its object that begin at `start`.
fn within(block: &Block, start: u64) -> Option<Range<usize>> {
    let at = |offset: u64| usize::try_from(offset.checked_sub(start)?).ok();
    Some(at(block.offset)?..at(block.end())?)
}

/// Blocks that follow each other, as many at a time as are asked for together.
fn parts(blocks: &[Block]) -> Vec<Vec<Block>> {
    let mut parts: Vec<Vec<Block>> = Vec::new();
    for &block in blocks {
        match parts.last_mut() {
            Some(part) if block.end() - part[0].offset <= PIECE_BYTES => part.push(block),
            _ => parts.push(vec![block]),
        }
    }
    parts
}
