//! Proves one object by itself: its index, all its blocks, all its pages, all its hashes.

mod slices;

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use ebbtide_catalog::{CatalogError, Fetched, Hashes};
use ebbtide_replica::container::{Block, BlockScratch, Index, Opener};
use ebbtide_replica::{Error, PageHash, hash_pages};
use ebbtide_seal::KeyUse;
use ebbtide_store::{KeyError, Object, open_key};
use ebbtide_wal::PageNumber;
use futures::{StreamExt as _, stream};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::wrapped::{Named, Span};
use crate::blocking::blocking;
use crate::error::Result;
use ebbtide_catalog::Progress;
use ebbtide_catalog::Survey;

/// How many ranges of one object are read ahead.
const RANGES_AHEAD: usize = 4;

/// How many bytes are read at once.
const RANGE_BYTES_MAX: u64 = 1024 * 1024;

/// How many kibibytes of ranges are in memory at once, for all objects together.
const RANGE_KIB_AT_ONCE: u32 = 24 * 1024;

/// Proves objects.
#[derive(Debug)]
pub(crate) struct Checker<'a> {
    survey: &'a Survey,
    progress: &'a Progress,
    memory: Semaphore,
    /// The keys of the objects that were read.
    named: Mutex<Named>,
}

impl<'a> Checker<'a> {
    pub(crate) fn new(survey: &'a Survey, progress: &'a Progress) -> Checker<'a> {
        let memory = Semaphore::new(RANGE_KIB_AT_ONCE as usize);
        Checker { survey, progress, memory, named: Mutex::default() }
    }

    /// What is under which key, of all objects whose index could be read.
    pub(super) fn into_named(self) -> Named {
        self.named.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn note_keys(&self, index: &Index) {
        let Some(envelope) = index.opener().envelope() else { return };
        let entries = index.entries();
        let times = entries.first().zip(entries.last());
        let times = times.map(|(first, last)| [first.time, last.time]);
        let span = Span { txids: [index.header().first(), index.footer().last], times };
        let mut named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        named.add(envelope, index.page_key().is_some(), span);
    }

    /// How many pages of a sound object were proved, or what is wrong with it.
    pub(crate) async fn check(&self, object: Object) -> Result<Result<u64, String>> {
        let checked = match self.survey.index(object).await {
            Ok(fetched) => self.check_all(object, fetched).await,
            Err(error) => Err(error),
        };
        verdict(checked)
    }

    /// The same for an object with a short index; nothing if its index is long, or cannot be read.
    pub(crate) async fn check_short(&self, object: Object) -> Option<Result<Result<u64, String>>> {
        let fetched = self.survey.index_ahead(object).await.fetched?;
        Some(verdict(self.check_all(object, fetched).await))
    }

    async fn check_all(&self, object: Object, fetched: Arc<Fetched>) -> Result<u64, CatalogError> {
        let index = &fetched.index;
        self.note_keys(index);
        let opener = self.opener(object, index).await?;
        let mut hashes = Hashes::new(&**self.survey.store(), object.key, &fetched);
        while hashes.next().await?.is_some() {}

        let damaged = |source| CatalogError::Object { key: object.key, source };
        let mut check = index.content_check();
        let mut stored = index.blocks_hash().map(|stated| (stated, blake3::Hasher::new()));
        let mut hashed = stream::iter(chunks(index))
            .map(|chunk| self.hash_pages(object, Arc::clone(&fetched), opener.clone(), chunk))
            .buffered(RANGES_AHEAD);
        let (mut by_page, mut left) = (Vec::new(), object.size);
        while let Some(hashed) = hashed.next().await {
            let Hashed { hashes, bytes, .. } = hashed?;
            self.progress.add_done(bytes.len() as u64);
            left = left.saturating_sub(bytes.len() as u64);
            if let Some((_, hasher)) = &mut stored {
                hasher.update(&bytes);
            }
            match index.is_by_page() {
                true => by_page.extend(hashes),
                false => {
                    hashes.into_iter().try_for_each(|hash| check.push(hash)).map_err(damaged)?
                }
            }
        }
        if stored.is_some_and(|(stated, hasher)| *hasher.finalize().as_bytes() != stated) {
            let why = "its blocks are not those that the footer vouches for";
            return Err(damaged(Error::damaged("the object", why)));
        }
        self.progress.add_done(left);
        if opener.is_none() {
            return Ok(0);
        }
        by_entry(index, &by_page)
            .into_iter()
            .try_for_each(|hash| check.push(hash))
            .map_err(damaged)?;
        check.finish().map_err(damaged)?;
        Ok(index.page_count())
    }

    /// What opens the images of an object; nothing if nobody here can.
    async fn opener(&self, object: Object, index: &Index) -> Result<Option<Opener>, CatalogError> {
        let opener = self.survey.opener(index);
        let Some(id) = opener.missing().and(index.page_key()) else { return Ok(Some(opener)) };
        let (store, replica) = (&**self.survey.store(), self.survey.manifest().replica);
        match open_key(store, replica, id, KeyUse::Pages).await {
            Ok(()) => Ok(Some(self.survey.opener(index))),
            Err(KeyError::NoIdentity { .. }) => Ok(None),
            Err(error @ (KeyError::Store(_) | KeyError::Identity(_))) => Err(error.into()),
            Err(error) => {
                let source = Error::damaged("the pages", error.to_string());
                Err(CatalogError::Object { key: object.key, source })
            }
        }
    }

    /// The hashes of the pages in some blocks; none without what opens them.
    async fn hash_pages(
        &self,
        object: Object,
        fetched: Arc<Fetched>,
        opener: Option<Opener>,
        chunk: Chunk,
    ) -> Result<Hashed<'_>, CatalogError> {
        let Chunk { bytes: Range { start, end }, pages } = chunk;
        let kib = u32::try_from((end - start) / 1024 + 1).unwrap_or(u32::MAX);
        // It is kept for as long as the bytes are. Whoever comes first gets it first, so no chunk waits for one after it.
        let permit = self.memory.acquire_many(kib.min(RANGE_KIB_AT_ONCE)).await.ok();
        let bytes = match fetched.at_hand(start..end) {
            Some(bytes) => bytes,
            None => self.survey.store().get_range(&object.key, start..end).await?,
        };
        self.progress.add_fetched(end - start);
        let Some(opener) = opener else {
            return Ok(Hashed { hashes: Vec::new(), bytes, _permit: permit });
        };
        let stored = bytes.clone();
        let hashed =
            blocking(move || Ok(decode(&fetched.index, &opener, pages, start, &stored))).await;
        let hashes =
            hashed.unwrap_or_else(|error| Err(Error::damaged("the pages", error.to_string())));
        let hashes = hashes.map_err(|source| CatalogError::Object { key: object.key, source })?;
        Ok(Hashed { hashes, bytes, _permit: permit })
    }
}

/// What came of some consecutive bytes of an object.
struct Hashed<'a> {
    hashes: Vec<PageHash>,
    bytes: Bytes,
    _permit: Option<SemaphorePermit<'a>>,
}

/// Bytes that are read at once, and the blocks of images in them.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Chunk {
    bytes: Range<u64>,
    pages: Range<usize>,
}

/// The blocks of images of an object; of an encrypted one all of its blocks, because all of its bytes are proved.
fn chunks(index: &Index) -> Vec<Chunk> {
    if index.blocks_hash().is_none() {
        return page_chunks(index.page_blocks(), ranges(index.page_blocks()));
    }
    let mut blocks = [index.page_blocks(), index.hash_blocks()].concat();
    blocks.sort_unstable_by_key(|block| block.offset);
    let page = |offset| index.page_blocks().partition_point(|block| block.offset < offset);
    let chunk = |range: Range<usize>| {
        let bytes = blocks[range.start].offset..blocks[range.end - 1].end();
        let pages = page(bytes.start)..page(bytes.end);
        Chunk { bytes, pages }
    };
    ranges(&blocks).into_iter().map(chunk).collect()
}

/// Ranges of blocks of images.
fn page_chunks(blocks: &[Block], ranges: Vec<Range<usize>>) -> Vec<Chunk> {
    let bytes = |range: &Range<usize>| {
        let (first, last) = (blocks.get(range.start), blocks.get(range.end.saturating_sub(1)));
        first.zip(last).map(|(first, last)| first.offset..last.end())
    };
    let chunk = |pages: Range<usize>| Some(Chunk { bytes: bytes(&pages)?, pages });
    ranges.into_iter().filter_map(chunk).collect()
}

/// Proves one object by itself, all of its bytes: how many pages were proved, or what is wrong with it. Those of an
/// encrypted object are proved if there is an identity.
///
/// # Errors
/// Of the store.
pub async fn check_object(
    survey: &Survey,
    progress: &Progress,
    object: Object,
) -> Result<Result<u64, String>> {
    Checker::new(survey, progress).check(object).await
}

/// The hashes of an object whose images lie in the order of the pages, in that of the entries. There are few.
fn by_entry(index: &Index, by_page: &[PageHash]) -> Vec<PageHash> {
    let mut by_entry = vec![PageHash::from_bytes([0; 16]); by_page.len()];
    for (page, hash) in index.pages_by_page(0).zip(by_page) {
        let at = usize::try_from(page.ordinal).unwrap_or(usize::MAX);
        by_entry.get_mut(at).into_iter().for_each(|place| *place = *hash);
    }
    by_entry
}

fn verdict<T>(checked: Result<T, CatalogError>) -> Result<Result<T, String>> {
    match checked {
        Ok(pages) => Ok(Ok(pages)),
        Err(CatalogError::Object { source, .. }) => Ok(Err(source.to_string())),
        Err(error) if error.is_about_object() => Ok(Err(error.to_string())),
        Err(error) => Err(error.into()),
    }
}

/// The hashes of the pages in `blocks`, out of the bytes from `start` on.
fn decode(
    index: &Index,
    opener: &Opener,
    blocks: Range<usize>,
    start: u64,
    bytes: &Bytes,
) -> Result<Vec<PageHash>, Error> {
    let mut numbers = numbers_from(index, blocks.start);
    let blocks = &index.page_blocks()[blocks];
    let page_size = index.header().page_size.bytes();
    let mut scratch = BlockScratch::default();
    let mut hashes = Vec::new();
    for block in blocks {
        let begin = usize::try_from(block.offset - start).unwrap_or(usize::MAX);
        let stored = bytes.get(begin..begin.saturating_add(block.stored_len as usize));
        let raw = block.decode_into(opener, stored.unwrap_or_default(), &mut scratch)?;
        let here: Vec<PageNumber> = numbers.by_ref().take(block.count as usize).collect();
        hash_pages(&here, &raw[..here.len() * page_size], |_, hash| hashes.push(hash));
    }
    Ok(hashes)
}

/// The numbers of the pages whose images lie in an object from a block on.
fn numbers_from(index: &Index, block: usize) -> Box<dyn Iterator<Item = PageNumber> + '_> {
    if index.is_by_page() {
        return Box::new(index.pages_by_page(block).map(|page| page.number));
    }
    let mut skip = index.page_blocks().get(block).map_or(0, |block| block.first);
    let runs = index.entries().iter().flat_map(|entry| &entry.runs);
    Box::new(runs.flat_map(move |run| {
        let skipped = u32::try_from(skip).unwrap_or(u32::MAX).min(run.count());
        skip -= u64::from(skipped);
        let begin = run.first().get() + skipped;
        (begin..=run.last().get()).filter_map(PageNumber::new)
    }))
}

/// Splits blocks into ranges that are read at once.
fn ranges(blocks: &[Block]) -> Vec<Range<usize>> {
    let mut ranges: Vec<Range<usize>> = Vec::new();
    for (number, block) in blocks.iter().enumerate() {
        match ranges.last_mut() {
            Some(range) if block.end() - blocks[range.start].offset <= RANGE_BYTES_MAX => {
                range.end = number + 1;
            }
            _ => ranges.push(number..number + 1),
        }
    }
    ranges
}
