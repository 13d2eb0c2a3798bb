//! Reads manifests and indexes.

use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt as _, stream};

use super::CatalogError;
use crate::container::{Footer, Header, Index, Parsed};
use crate::store::{ErrorKind, Object, Store};
use crate::{Error, Key, Manifest};

/// An object that is not longer than this is read whole, which costs no more than reading its end.
const WHOLE_MAX: u64 = 64 * 1024;

/// How much of the end of a longer object is read at first.
const TAIL: u64 = 64 * 1024;

/// A longer object has a longer index; this much of it is guessed right at once. A block of pages that compressed to half
/// has one row of 16 bytes for 64 KiB.
const TAIL_SHARE: u64 = 4096;

/// No guess is longer than this.
const TAIL_MAX: u64 = 4 * 1024 * 1024;

/// How many indexes are read at once.
const READ_AHEAD: usize = 32;

/// The index of an object, and the object itself if it was small.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// The index, checked, of the object that has this name in this replica.
    pub index: Index,
    /// All bytes of the object, if they were read anyway.
    pub body: Option<Bytes>,
}

impl Fetched {
    /// Roughly how much memory it takes.
    #[must_use]
    pub fn memory(&self) -> usize {
        // Twice, because rows take more room once they are decoded.
        let index = usize::try_from(self.index.footer().index_length).unwrap_or(usize::MAX);
        index.saturating_mul(2).saturating_add(self.body.as_ref().map_or(0, Bytes::len))
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
    let Object { key, size } = object;
    let damaged = CatalogError::object(key);
    if size < (Header::SIZE + Footer::SIZE) as u64 {
        let why = format!("{size} bytes are fewer than any object has");
        return Err(damaged(Error::damaged("the object", why)));
    }
    let fetched = if size <= WHOLE_MAX {
        let body = store.get_range(&key, 0..size).await?;
        match Index::parse(size, &body, &body).map_err(&damaged)? {
            Parsed::Ready(index) => Fetched { index, body: Some(body) },
            Parsed::NeedTail(_) => {
                return Err(damaged(Error::damaged("the footer", "its index does not fit in")));
            }
        }
    } else {
        let index = read_long_index(store, object).await?;
        Fetched { index, body: None }
    };
    check_identity(manifest, key, &fetched.index).map_err(&damaged)?;
    Ok(fetched)
}

/// Reads the indexes of objects, many at once, and hands them over in the same order.
pub fn read_indexes<'a>(
    store: &'a dyn Store,
    manifest: &'a Manifest,
    objects: Vec<Object>,
) -> impl Stream<Item = Result<(Object, Fetched), CatalogError>> + Send + 'a {
    let read = move |object| async move {
        let fetched = read_index(store, manifest, object).await?;
        Ok((object, fetched))
    };
    stream::iter(objects).map(read).buffered(READ_AHEAD)
}

async fn read_long_index(store: &dyn Store, object: Object) -> Result<Index, CatalogError> {
    let Object { key, size } = object;
    let damaged = CatalogError::object(key);
    let mut given = (TAIL + size / TAIL_SHARE).min(TAIL_MAX).min(size - Header::SIZE as u64);
    let (head, mut tail) = futures::try_join!(
        store.get_range(&key, 0..Header::SIZE as u64),
        store.get_range(&key, size - given..size),
    )?;
    // Twice at most: a footer that was there the first time says how much is needed.
    for _ in 0..2 {
        match Index::parse(size, &head, &tail).map_err(&damaged)? {
            Parsed::Ready(index) => return Ok(index),
            Parsed::NeedTail(needed) => {
                let start = size.checked_sub(needed).filter(|_| needed > given);
                let Some(start) = start else { break };
                let missing = store.get_range(&key, start..size - given).await?;
                let mut whole = BytesMut::with_capacity(missing.len() + tail.len());
                whole.extend_from_slice(&missing);
                whole.extend_from_slice(&tail);
                (tail, given) = (whole.freeze(), needed);
            }
        }
    }
    Err(damaged(Error::damaged("the footer", "it does not say how long the index is")))
}

/// Refuses a sound object in the wrong place.
fn check_identity(manifest: &Manifest, key: Key, index: &Index) -> Result<(), Error> {
    let header = index.header();
    if header.replica != manifest.replica {
        let (theirs, ours) = (header.replica, manifest.replica);
        let why = format!("it belongs to the replica {theirs}, and ebbtide.json says {ours}");
        return Err(Error::damaged("the object", why));
    }
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
