//! Merges segments into one pack and puts it, in the memory that one pack may take.

use bytes::Bytes;
use ebbtide_catalog::{self, CatalogError};
use ebbtide_replica::container::{Header, Index, Merge, Parsed, limits::BY_PAGE_IMAGES_MAX};
use ebbtide_replica::{Chain, Key, Manifest, Timestamp, Txid};
use ebbtide_store::{ErrorKind, Object, Store, keys_at_hand};
use tokio::sync::Semaphore;

use crate::bodies::Bodies;
use crate::destination::Destination;
use crate::error::Error;
use crate::key_put::try_put_key_of;
use crate::log_object::{LogObject, SEGMENT_BYTES_MAX};

/// A pack is full once it takes so much memory.
const PACK_MEMORY: usize = 24 << 20;

/// One pack of the process is made at a time, so that their memory does not add up.
static ONE_AT_A_TIME: Semaphore = Semaphore::const_new(1);

/// A pack that is being made of the first segments of `log`.
pub(crate) struct Merging<'a> {
    pub(crate) to: &'a Destination,
    pub(crate) manifest: &'a Manifest,
    pub(crate) bodies: &'a Bodies,
    pub(crate) log: &'a [Object],
}

/// What became of merging.
enum Outcome {
    Merged(Box<Merged>),
    /// So many segments come before one that does not continue them: a policy has given up what was in between.
    Hole(usize),
}

/// Segments that were merged, and are not put yet.
struct Merged {
    merge: Merge,
    /// How many they are…
    segments: usize,
    /// …and how many of them were in memory.
    from_memory: usize,
    /// Their bytes.
    bytes: u64,
    /// The chain after them.
    chain: Chain,
}

impl Merging<'_> {
    /// Puts a pack of the first `count` segments, or of as many of them as one has room for and as follow each other. How many
    /// are dealt with, and the pack if one was made.
    pub(crate) async fn run(&self, count: usize) -> Result<(usize, Option<LogObject>), Error> {
        let _turn = ONE_AT_A_TIME.acquire().await;
        let mut planned = count;
        let merged = loop {
            match self.merge(planned).await? {
                // Nothing after the last one before a hole shows that it is of the history, so it stays by itself.
                Outcome::Hole(before) if before > 2 => planned = before - 1,
                Outcome::Hole(before) => return Ok((before, None)),
                // The name of an encrypted pack is in its keys, so it is made again if fewer segments fit in.
                Outcome::Merged(merged)
                    if self.to.encryption.is_some() && merged.segments < planned =>
                {
                    planned = merged.segments;
                }
                Outcome::Merged(merged) => break *merged,
            }
        };
        let Merged { merge, segments, from_memory, bytes: merged_bytes, chain } = merged;
        if let Some(&after) = self.log.get(segments) {
            self.check_continues(after, chain).await?;
        }
        let (key, entries) = (merge.key(), merge.entries());
        let body = Bytes::from(blocking(move || merge.finish().map_err(Error::from)).await?);
        let bytes = body.len();
        try_put_key_of(self.to, &key, &body).await?;
        match self.to.store.put(&key, body).await {
            Ok(()) => {
                tracing::info!(%key, entries, bytes, segments, from_memory, "merged segments")
            }
            // A pack of the same entries proves the same history.
            Err(error) if error.kind() == ErrorKind::Exists => {}
            Err(error) => return Err(error.into()),
        }
        let Key::Pack { first, last } = key else { return Ok((segments, None)) };
        self.bodies.forget_through(self.manifest.replica, last);
        if let Some(encryption) = &self.to.encryption {
            encryption.recent().forget_through(last);
        }
        let pack = LogObject { first, last, bytes: bytes as u64, merged: Some(merged_bytes) };
        Ok((segments, Some(pack)))
    }

    /// Merges the first `count` segments, or as many of them as there is room for.
    async fn merge(&self, count: usize) -> Result<Outcome, Error> {
        let mut merged: Option<Merged> = None;
        for &object in self.log.iter().take(count) {
            let (index, body, is_kept) = self.segment(object).await?;
            let before = match merged {
                Some(before) if index.header().chain() != Some(before.chain) => {
                    return Ok(Outcome::Hole(before.segments));
                }
                Some(before) if is_full(&before.merge, &index) => {
                    return Ok(Outcome::Merged(Box::new(before)));
                }
                Some(before) => before,
                None => Merged {
                    merge: self.begin(&index, count)?,
                    segments: 0,
                    from_memory: 0,
                    bytes: 0,
                    chain: Chain::NONE,
                },
            };
            merged = Some(Merged {
                segments: before.segments + 1,
                from_memory: before.from_memory + usize::from(is_kept),
                bytes: before.bytes + object.size,
                chain: index.footer().chain,
                merge: add(before.merge, object.key, index, body).await?,
            });
        }
        merged.map(|merged| Outcome::Merged(Box::new(merged))).ok_or(Error::UNEXPECTED)
    }

    /// Begins a pack with the segment with this index, which is encrypted if the replica is, and then has `count` segments.
    fn begin(&self, index: &Index, count: usize) -> Result<Merge, Error> {
        let damaged = |source| CatalogError::Object { key: index.key(), source };
        let Some(encryption) = &self.to.encryption else {
            return Ok(Merge::begin(index).map_err(damaged)?);
        };
        let after = self.log.get(count).and_then(|object| first_of(object.key));
        let last = after.and_then(Txid::previous).ok_or(Error::UNEXPECTED)?;
        let time = index.entries().last().map_or(Timestamp::EPOCH, |entry| entry.time);
        let begun = Merge::begin_sealed(index, last, &encryption.sealing(time)?);
        Ok(begun.map_err(damaged)?)
    }

    /// A segment whose images can be opened, and whether it was in memory.
    async fn segment(&self, object: Object) -> Result<(Index, Bytes, bool), Error> {
        let kept = kept(self.to, self.manifest, self.bodies, object.key);
        let is_kept = kept.is_some();
        let (mut index, body) = match kept {
            Some(kept) => kept,
            None => read_back(&*self.to.store, self.manifest, object).await?,
        };
        if let Some(encryption) = &self.to.encryption {
            let (first, recent) = (index.header().first(), encryption.recent());
            let salt = index.opener().envelope().map(|envelope| envelope.salt);
            match salt.and_then(|salt| recent.get(first, salt)) {
                Some(key) => index.add_object_key(key),
                None => {
                    recent.forget(first);
                    return Err(Error::Changed("a segment is not the one that was written"));
                }
            }
        }
        Ok((index, body, is_kept))
    }

    /// Checks that the segment after a pack continues what the pack ends with.
    async fn check_continues(&self, after: Object, chain: Chain) -> Result<(), Error> {
        let Merging { to, manifest, bodies, .. } = self;
        let damaged = |source| CatalogError::Object { key: after.key, source };
        let header = match kept(to, manifest, bodies, after.key) {
            Some((index, _)) => *index.header(),
            // An encrypted header does not say it.
            None if to.encryption.is_some() => {
                *ebbtide_catalog::read_index(&*to.store, manifest, after).await?.index.header()
            }
            None => {
                let bytes = to.store.get_range(&after.key, 0..Header::SIZE as u64).await?;
                Header::parse(&bytes).map_err(damaged)?
            }
        };
        if header.chain() == Some(chain) {
            return Ok(());
        }
        let why = "it does not continue the segment before it";
        Err(damaged(ebbtide_replica::Error::damaged("the object", why)).into())
    }
}

/// Whether a pack has no room for another segment.
fn is_full(merge: &Merge, segment: &Index) -> bool {
    let images = u64::from(merge.images()) + segment.page_count();
    merge.memory() >= PACK_MEMORY || images > u64::from(BY_PAGE_IMAGES_MAX)
}

/// The first entry of a segment.
pub(crate) fn first_of(key: Key) -> Option<Txid> {
    if let Key::Log(first) = key { Some(first) } else { None }
}

/// The segment with this name, if it is in memory and is what it is taken for.
fn kept(
    to: &Destination,
    manifest: &Manifest,
    bodies: &Bodies,
    key: Key,
) -> Option<(Index, Bytes)> {
    let body = bodies.get(manifest.replica, first_of(key)?)?;
    let keys = keys_at_hand(&*to.store);
    let Ok(Parsed::Ready(index)) = Index::open(body.len() as u64, &body, &body, &keys) else {
        return None;
    };
    let is_it = index.key() == key && index.header().replica == manifest.replica;
    is_it.then_some((index, body))
}

async fn read_back(
    store: &dyn Store,
    manifest: &Manifest,
    object: Object,
) -> Result<(Index, Bytes), Error> {
    let fetched = ebbtide_catalog::read_index(store, manifest, object).await?;
    let body = match fetched.body {
        Some(body) => body,
        None => store.get(&object.key, SEGMENT_BYTES_MAX).await?,
    };
    Ok((fetched.index, body))
}

/// Adds a segment, beside whatever waits for this thread.
async fn add(mut merge: Merge, key: Key, index: Index, body: Bytes) -> Result<Merge, Error> {
    blocking(move || {
        let added = merge.add(&index, &body);
        added.map_err(|source| CatalogError::Object { key, source })?;
        Ok(merge)
    })
    .await
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await?
}
