//! Reads manifests and indexes.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt as _, stream};
use tokio::sync::Semaphore;

use super::CatalogError;
use crate::index_keys::{check_replica, index_keys};
use ebbtide_replica::container::{Footer, Header, Index, IndexReader, Parsed};
use ebbtide_replica::{Error, Key, Manifest};
use ebbtide_seal::Keys;
use ebbtide_store::{ErrorKind, Object, Store};

/// An object that is not longer than this is read whole, which costs no more than reading its end.
const WHOLE_MAX: u64 = 64 * 1024;

/// How much of the end of a longer object is read at first.
const TAIL: u64 = 64 * 1024;

/// A longer object has a longer index: this share of the object is read as its presumed index. A block of pages that compressed to half
/// has one row of 16 bytes for 64 KiB.
const TAIL_SHARE: u64 = 4096;

/// The index of a pack is a larger share of it, because its images are differences: a commit of three pages takes a hundred
/// bytes there. No guess at one is longer than a short index.
const PACK_TAIL_SHARE: u64 = 5;

/// No guess is longer than this.
const TAIL_MAX: u64 = 4 * 1024 * 1024;

/// No piece of a long index is longer than this.
const PIECE_MAX: u64 = 16 * 1024 * 1024;

/// An index that is not longer than this, with the footer, is a short one.
pub(crate) const SHORT_MAX: u64 = 1024 * 1024;

/// The bytes of a longer index are not kept: one of this length is that of a snapshot of some hundred gigabytes.
const RAW_MAX: u64 = 32 * 1024 * 1024;

/// How many indexes that are longer than was guessed are read at once, if they are short.
const SHORT_AT_ONCE: usize = 16;

/// How many indexes are read at once.
const READ_AHEAD: usize = 32;

/// The index of an object, and the object itself if it was small.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// The index, checked, of the object that has this name in this replica.
    pub index: Index,
    /// All bytes of the object, if they were read anyway.
    pub body: Option<Bytes>,
    /// The last block of hashes and where it begins, if it was read anyway.
    pub end: Option<(u64, Bytes)>,
}

/// An index as it lies in its object: the header, and everything from the beginning of the index to the end of the footer.
#[derive(Debug, Clone)]
pub(crate) struct RawIndex {
    pub(crate) head: Bytes,
    pub(crate) tail: Bytes,
}

impl RawIndex {
    /// Out of the first bytes of an object of `size` bytes and its last ones, from `start` on.
    fn of(index: &Index, head: &Bytes, start: u64, tail: &Bytes) -> Option<RawIndex> {
        let begin = index.footer().index_offset.checked_sub(start)?;
        let begin = usize::try_from(begin).ok().filter(|&begin| begin <= tail.len())?;
        Some(RawIndex { head: head.slice(..Header::SIZE), tail: tail.slice(begin..) })
    }
}

impl Fetched {
    /// These bytes of the object, if they were read along with the index.
    #[must_use]
    pub fn at_hand(&self, range: Range<u64>) -> Option<Bytes> {
        let whole = self.body.as_ref().map(|body| (0, body));
        let (offset, bytes) = whole.or(self.end.as_ref().map(|(offset, end)| (*offset, end)))?;
        let at = |at: u64| usize::try_from(at.checked_sub(offset)?).ok();
        let (start, end) = (at(range.start)?, at(range.end)?);
        (start <= end && end <= bytes.len()).then(|| bytes.slice(start..end))
    }

    /// Roughly how much memory it takes.
    #[must_use]
    pub fn memory(&self) -> usize {
        // Twice, because rows take more room once they are decoded.
        let index = usize::try_from(self.index.footer().index_length).unwrap_or(usize::MAX);
        let end = self.end.as_ref().map(|(_, end)| end);
        let more = self.body.as_ref().or(end).map_or(0, Bytes::len);
        index.saturating_mul(2).saturating_add(more)
    }
}

/// Reads `ebbtide.json`, or finds that there is none.
pub async fn read_manifest(store: &dyn Store) -> Result<Option<Manifest>, CatalogError> {
    match store.get(&Key::Manifest, Manifest::SIZE_MAX as u64).await {
        Ok(json) => {
            let manifest = Manifest::from_json(&json);
            manifest.map(Some).map_err(CatalogError::object(Key::Manifest))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Reads the index of an object with one request if the object is small, mostly with two at once if it is not.
pub async fn read_index(
    store: &dyn Store,
    manifest: &Manifest,
    object: Object,
) -> Result<Fetched, CatalogError> {
    match read(store, manifest, object, u64::MAX).await? {
        Some((fetched, _)) => Ok(fetched),
        None => {
            let why = Error::damaged("the index", "it is longer than anything");
            Err(CatalogError::Object { key: object.key, source: why })
        }
    }
}

/// As [`read_index`], or nothing if the index is a long one. For those who read many ahead: a long one is read when its
/// turn comes, so that the memory of all together is bounded.
pub async fn read_short_index(
    store: &dyn Store,
    manifest: &Manifest,
    object: Object,
) -> Result<Option<Fetched>, CatalogError> {
    Ok(read(store, manifest, object, SHORT_MAX).await?.map(|(fetched, _)| fetched))
}

/// The same with its bytes, if they came in one piece, and for an index of at most so many bytes.
pub(crate) async fn read(
    store: &dyn Store,
    manifest: &Manifest,
    object: Object,
    length_max: u64,
) -> Result<Option<(Fetched, Option<RawIndex>)>, CatalogError> {
    let Object { key, size, .. } = object;
    let damaged = CatalogError::object(key);
    if size < (Header::SIZE + Footer::SIZE) as u64 {
        let why = format!("{size} bytes are fewer than any object has");
        return Err(damaged(Error::damaged("the object", why)));
    }
    let fetched = if size <= WHOLE_MAX {
        let body = store.get_range(&key, 0..size).await?;
        let keys = index_keys(store, manifest, key, &body).await?;
        match Index::open(size, &body, &body, &keys).map_err(&damaged)? {
            Parsed::Ready(index) => {
                let raw = RawIndex::of(&index, &body, 0, &body);
                Some((Fetched { index, body: Some(body), end: None }, raw))
            }
            Parsed::NeedTail(_) => {
                return Err(damaged(Error::damaged("the footer", "its index does not fit in")));
            }
        }
    } else {
        read_from_end(store, manifest, object, length_max).await?
    };
    let Some((fetched, raw)) = fetched else { return Ok(None) };
    check_identity(manifest, key, &fetched.index).map_err(&damaged)?;
    Ok(Some((fetched, raw)))
}

/// How many bytes at the end of an object probably have its index.
pub(crate) fn presumed_tail(object: Object) -> u64 {
    let Object { key, size, .. } = object;
    match key {
        Key::Pack { .. } => (TAIL + size / PACK_TAIL_SHARE).min(SHORT_MAX),
        _ => (TAIL + size / TAIL_SHARE).min(TAIL_MAX),
    }
}

/// Reads the indexes of objects, many at once, and hands them over in the same order.
pub fn read_indexes<'a>(
    store: &'a dyn Store,
    manifest: &'a Manifest,
    objects: Vec<Object>,
) -> impl Stream<Item = Result<(Object, Fetched), CatalogError>> + Send + 'a {
    let read =
        move |object| async move { (object, read_short_index(store, manifest, object).await) };
    stream::iter(objects).map(read).buffered(READ_AHEAD).then(move |(object, short)| async move {
        match short? {
            Some(fetched) => Ok((object, fetched)),
            None => Ok((object, read_index(store, manifest, object).await?)),
        }
    })
}

/// The last block of hashes of the object of `size` bytes that ends with `tail`, if it is in that. In memory of its own,
/// so that the rest is not kept for it.
fn end_of(size: u64, tail: &[u8], index: &Index) -> Option<(u64, Bytes)> {
    let block = index.hash_blocks().last()?;
    let begin = block.offset.checked_sub(size - tail.len() as u64)?;
    let begin = usize::try_from(begin).ok()?;
    let stored = tail.get(begin..begin.checked_add(block.stored_len as usize)?)?;
    Some((block.offset, Bytes::copy_from_slice(stored)))
}

/// The index of an object that is not small, if it has at most `length_max` bytes.
async fn read_from_end(
    store: &dyn Store,
    manifest: &Manifest,
    object: Object,
    length_max: u64,
) -> Result<Option<(Fetched, Option<RawIndex>)>, CatalogError> {
    static SHORT_TURNS: Semaphore = Semaphore::const_new(SHORT_AT_ONCE);
    let Object { key, size, .. } = object;
    let damaged = CatalogError::object(key);
    let given = presumed_tail(object).min(size - Header::SIZE as u64);
    let (head, tail) = futures::try_join!(
        store.get_range(&key, 0..Header::SIZE as u64),
        store.get_range(&key, size - given..size),
    )?;
    let keys = index_keys(store, manifest, key, &head).await?;
    match Index::open(size, &head, &tail, &keys).map_err(&damaged)? {
        Parsed::Ready(index) => {
            let end = end_of(size, &tail, &index);
            let raw = RawIndex::of(&index, &head, size - tail.len() as u64, &tail);
            Ok(Some((Fetched { index, body: None, end }, raw)))
        }
        Parsed::NeedTail(needed) if needed > length_max => Ok(None),
        Parsed::NeedTail(needed) if needed <= SHORT_MAX => {
            let _turn = SHORT_TURNS.acquire().await;
            let tail = store.get_range(&key, size - needed..size).await?;
            let opened = Index::open(size, &head, &tail, &keys).map_err(&damaged)?;
            let Parsed::Ready(index) = opened else {
                return Err(damaged(Error::damaged("the footer", "its index does not fit in")));
            };
            let raw = RawIndex::of(&index, &head, size - needed, &tail);
            Ok(Some((Fetched { index, body: None, end: None }, raw)))
        }
        Parsed::NeedTail(_) => {
            let (index, raw) = read_in_pieces(store, object, (&head, &tail), &keys).await?;
            Ok(Some((Fetched { index, body: None, end: None }, raw)))
        }
    }
}

/// Reads a long index from its beginning, each piece at most as long as what came in before, so that a claim alone costs
/// nothing. One of a process at a time. Its bytes are given, too, if it is not a very long one.
async fn read_in_pieces(
    store: &dyn Store,
    object: Object,
    (head, tail): (&Bytes, &Bytes),
    keys: &Keys,
) -> Result<(Index, Option<RawIndex>), CatalogError> {
    static ONE_AT_A_TIME: Semaphore = Semaphore::const_new(1);
    let _turn = ONE_AT_A_TIME.acquire().await;
    let Object { key, size, .. } = object;
    let damaged = CatalogError::object(key);
    let mut reader = IndexReader::open(size, head, tail, keys).map_err(&damaged)?;
    let Range { mut start, end } = reader.range();
    let (begin, tail_start) = (start, size - tail.len() as u64);
    let mut raw = (end - begin <= RAW_MAX).then(BytesMut::new);
    let mut received = tail.len() as u64;
    while start < tail_start {
        let piece_end = tail_start.min(start + received.min(PIECE_MAX));
        let piece = store.get_range(&key, start..piece_end).await?;
        reader.push(&piece).map_err(&damaged)?;
        if let Some(raw) = &mut raw {
            raw.extend_from_slice(&piece);
        }
        received += piece.len() as u64;
        start = piece_end;
    }
    let rest = usize::try_from(start - tail_start).ok().zip(usize::try_from(end - tail_start).ok());
    let rest = rest.and_then(|(start, end)| tail.get(start..end));
    let short = || damaged(Error::damaged("the index", "it is short"));
    reader.push(rest.ok_or_else(short)?).map_err(&damaged)?;
    let index = reader.finish(keys).map_err(&damaged)?;
    let raw = raw.and_then(|mut raw| {
        raw.extend_from_slice(tail.get(usize::try_from(start - tail_start).ok()?..)?);
        RawIndex::of(&index, head, begin, &raw.freeze())
    });
    Ok((index, raw))
}

/// Refuses a sound object in the wrong place.
pub(crate) fn check_identity(manifest: &Manifest, key: Key, index: &Index) -> Result<(), Error> {
    let header = index.header();
    check_replica(manifest, header)?;
    if index.key() != key {
        return Err(Error::damaged("the object", format!("it was written as {}", index.key())));
    }
    if header.page_size != manifest.page_size {
        let (theirs, ours) = (header.page_size, manifest.page_size);
        let why = format!("its pages have {theirs} bytes, and ebbtide.json says {ours}");
        return Err(Error::damaged("the object", why));
    }
    Ok(())
}
