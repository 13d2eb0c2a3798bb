//! Copies one object, and proves it on its way.

use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use ebbtide_catalog::{CatalogError, Fetched, read_index};
use ebbtide_fault::point;
use ebbtide_replica::container::{DocumentObject, Footer, Header, Index, Outside, Recast};
use ebbtide_replica::{Error, Horizon, Key, KeyDocument, Manifest, Mark, Txid};
use ebbtide_seal::KeyId;
use ebbtide_store::retry::{LastServed, Policy, retry};
use ebbtide_store::{ErrorKind, Object, Pace, Store, StoreError};
use futures::{StreamExt as _, TryStreamExt as _, stream};

use crate::cast::{Cast, about};
use crate::error::CopyError;
use crate::promise::in_target;
use crate::proof::Proof;
use crate::recast::{
    Opened, PIECE_BYTES, PIECES_AHEAD, open_object, recast_over, recast_whole, whole_if_small,
};

/// A put whose end is unknown is tried again: the name is create-only.
const PUTS: Policy =
    Policy { first: Duration::from_millis(100), longest: Duration::from_secs(5), attempts: 5 };

/// An object that was read as far as it has to be before it can be put.
#[derive(Debug)]
pub(crate) struct Begun {
    pub(crate) object: Object,
    /// Its last entry, if it has entries.
    pub(crate) last: Option<Txid>,
    /// The page key without which nobody can read it, of an encrypted object.
    pub(crate) page_key: Option<KeyId>,
    read: Read,
}

/// What of an object was read.
#[derive(Debug)]
enum Read {
    /// All of it, and all of it is proved.
    Whole(Bytes),
    /// Its index.
    Index(Box<Index>),
    /// The ends of an encrypted object.
    Outside(Box<Outside>),
    /// What is needed to write it in another form.
    Opened(Opened),
}

/// What is put in its place in the target.
enum Outgoing {
    /// All of its bytes.
    Whole(Bytes),
    /// The same bytes, which are proved on their way.
    Same(Box<Proof>),
    /// The same blocks in another form.
    Recast(Box<Recast>),
}

/// Reads and proves the index of an object, and the object itself if it is small.
pub(crate) async fn begin(
    from: &dyn Store,
    manifest: &Manifest,
    object: Object,
) -> Result<Begun, CatalogError> {
    let (last, page_key) = (None, None);
    if let Key::Wrapped { .. } = object.key {
        let body = from.get(&object.key, KeyDocument::WRAPPED_MAX as u64).await?;
        return Ok(Begun { object, last, page_key, read: Read::Whole(body) });
    }
    if manifest.encryption.is_some() {
        return begin_encrypted(from, manifest, object).await;
    }
    if matches!(object.key, Key::Horizon(_) | Key::Mark { .. }) {
        let body = read_document(from, manifest, object.key).await?;
        return Ok(Begun { object, last, page_key, read: Read::Whole(body) });
    }
    let Fetched { index, body, .. } = read_index(from, manifest, object).await?;
    let body = whole_if_small(from, object, body).await?;
    let last = Some(index.footer().last);
    let Some(body) = body else {
        return Ok(Begun { object, last, page_key, read: Read::Index(Box::new(index)) });
    };
    let mut proof = Proof::of(&index);
    proof.push(&body);
    proof.end().map_err(|source| CatalogError::Object { key: object.key, source })?;
    Ok(Begun { object, last, page_key, read: Read::Whole(body) })
}

/// The same of an object that is to be written in another form.
pub(crate) async fn begin_recast(
    from: &dyn Store,
    manifest: &Manifest,
    object: Object,
) -> Result<Begun, CatalogError> {
    let opened = open_object(from, manifest, object).await?;
    let last = match &opened {
        Opened::Blocks(index, _) => Some(index.footer().last),
        Opened::Mark(_) | Opened::Horizon(_) => None,
    };
    Ok(Begun { object, last, page_key: None, read: Read::Opened(opened) })
}

/// Reads the ends of an encrypted object, and the object itself if it is small. It is proved without a key.
async fn begin_encrypted(
    from: &dyn Store,
    manifest: &Manifest,
    object: Object,
) -> Result<Begun, CatalogError> {
    let Object { key, size, .. } = object;
    let damaged = |source| CatalogError::Object { key, source };
    let (header, footer) = (Header::SIZE as u64, Footer::SIZE as u64);
    let begun = |outside: &Outside, read| {
        let last = matches!(key, Key::Log(_) | Key::Pack { .. }).then(|| outside.last());
        Begun { object, last, page_key: outside.envelope().pages, read }
    };
    if size > PIECE_BYTES {
        let ends = (from.get_range(&key, 0..header), from.get_range(&key, size - footer..size));
        let (head, tail) = futures::try_join!(ends.0, ends.1)?;
        let outside = outside(manifest, object, &head, &tail).map_err(damaged)?;
        return Ok(begun(&outside, Read::Outside(Box::new(outside.clone()))));
    }
    let body = from.get_range(&key, 0..size).await?;
    let outside = outside(manifest, object, &body, &body).map_err(damaged)?;
    let mut proof = Proof::outside(&outside, size);
    proof.push(&body);
    proof.end().map_err(damaged)?;
    Ok(begun(&outside, Read::Whole(body)))
}

/// Out of the ends of an encrypted object, if it is the one that it is taken for.
fn outside(
    manifest: &Manifest,
    object: Object,
    head: &[u8],
    tail: &[u8],
) -> Result<Outside, Error> {
    let damaged = |why: String| Error::damaged("the object", why);
    let outside = Outside::parse(object.size, head, tail)?;
    let plain = || damaged("it is in plain text, and the replica is encrypted".to_owned());
    let outside = outside.ok_or_else(plain)?;
    if outside.key() != object.key || outside.replica() != manifest.replica {
        let (key, replica) = (outside.key(), outside.replica());
        return Err(damaged(format!("it was written as {key} of the replica {replica}")));
    }
    Ok(outside)
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

/// Puts the object into the target; how many bytes it has there. Nothing becomes visible there unless all of it was proved.
pub(crate) async fn put(
    begun: Begun,
    from: &dyn Store,
    to: &dyn Store,
    cast: &mut Cast,
    pace: &Pace,
) -> Result<u64, CopyError> {
    let object = begun.object;
    point("copy.object.begun");
    let outgoing = outgoing(begun, to, cast).await?;
    let (size, whole) = match &outgoing {
        Outgoing::Whole(body) => (body.len() as u64, Some(body.clone())),
        Outgoing::Same(_) => (object.size, None),
        Outgoing::Recast(recast) => (recast.size(), None),
    };
    let put = match outgoing {
        Outgoing::Whole(body) => {
            pace.pass(object.size).await;
            put_whole(to, object.key, body).await
        }
        Outgoing::Same(proof) => stream_over(object, *proof, from, to, pace).await,
        Outgoing::Recast(recast) => recast_over(*recast, object, from, to, pace).await,
    };
    let is_there =
        matches!(&put, Err(CopyError::Target(error)) if error.kind() == ErrorKind::Exists);
    if let (Key::Horizon(_), Some(body), true, Cast::Same) = (object.key, whole, is_there, cast) {
        // Another pruner's may be just as long.
        let there = to.get(&object.key, DocumentObject::OBJECT_SIZE_MAX).await;
        let there = there.map_err(CopyError::Target)?;
        if there != body {
            return Err(differs(object, to, there.len() as u64));
        }
    }
    match put {
        Err(CopyError::Target(error)) if error.kind() == ErrorKind::Exists => {}
        put => put?,
    }
    // Whoever has put it, it is this object: or the sizes differ.
    match to.size(&object.key).await.map_err(CopyError::Target)? {
        Some(there) if there != size => Err(differs(object, to, there)),
        _ => {
            point("copy.object.done");
            Ok(size)
        }
    }
}

/// What is put into the target for what was read.
async fn outgoing(begun: Begun, to: &dyn Store, cast: &mut Cast) -> Result<Outgoing, CopyError> {
    let Begun { object, read, .. } = begun;
    Ok(match read {
        Read::Whole(body) => Outgoing::Whole(body),
        Read::Index(index) => Outgoing::Same(Box::new(Proof::of(&index))),
        Read::Outside(outside) => Outgoing::Same(Box::new(Proof::outside(&outside, object.size))),
        Read::Opened(Opened::Mark(document)) => Outgoing::Whole(cast.encode(&document)?.into()),
        Read::Opened(Opened::Horizon(horizon)) => {
            let horizon = in_target(*horizon, to).await?;
            let document = horizon.document().map_err(about(object.key))?;
            Outgoing::Whole(cast.encode(&document)?.into())
        }
        Read::Opened(Opened::Blocks(index, body)) => {
            let recast = cast.begin(*index, object, to).await?;
            match body {
                Some(body) => Outgoing::Whole(recast_whole(recast, object.key, &body)?),
                None => Outgoing::Recast(Box::new(recast)),
            }
        }
    })
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
    mut proof: Proof,
    from: &dyn Store,
    to: &dyn Store,
    pace: &Pace,
) -> Result<(), CopyError> {
    let key = object.key;
    let mut upload = to.upload(&key, object.size).await.map_err(CopyError::Target)?;
    let source = |error: StoreError| CopyError::Source(error.into());
    let pieces = stream::iter(ranges(object.size)).map(|range| from.get_range(&key, range));
    let mut pieces = std::pin::pin!(pieces.buffered(PIECES_AHEAD));
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
