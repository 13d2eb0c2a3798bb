//! Proves one object by itself: its index, all its blocks, all its pages, all its hashes.

mod slices;

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use ebbtide_catalog::{CatalogError, Fetched, Hashes};
use ebbtide_replica::container::{Block, Index};
use ebbtide_replica::{PageHash, hash_pages};
use ebbtide_store::Object;
use ebbtide_wal::PageNumber;
use futures::{StreamExt as _, stream};
use tokio::sync::Semaphore;

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
}

impl<'a> Checker<'a> {
    pub(crate) fn new(survey: &'a Survey, progress: &'a Progress) -> Checker<'a> {
        Checker { survey, progress, memory: Semaphore::new(RANGE_KIB_AT_ONCE as usize) }
    }

    /// How many pages a sound object has, or what is wrong with it.
    pub(crate) async fn check(&self, object: Object) -> Result<Result<u64, String>> {
        let pages = match self.survey.index(object).await {
            Ok(fetched) => self.check_all(object, fetched).await,
            Err(error) => Err(error),
        };
        verdict(pages)
    }

    /// The same for an object with a short index; nothing if its index is long, or cannot be read.
    pub(crate) async fn check_short(&self, object: Object) -> Option<Result<Result<u64, String>>> {
        let fetched = self.survey.index_ahead(object).await.fetched?;
        Some(verdict(self.check_all(object, fetched).await))
    }

    async fn check_all(&self, object: Object, fetched: Arc<Fetched>) -> Result<u64, CatalogError> {
        let index = &fetched.index;
        self.progress.add_pages_total(index.page_count());
        let mut hashes = Hashes::new(&**self.survey.store(), object.key, &fetched);
        while hashes.next().await?.is_some() {}

        let damaged = |source| CatalogError::Object { key: object.key, source };
        let mut check = index.content_check();
        let mut hashed = stream::iter(ranges(index.page_blocks()))
            .map(|blocks| self.hash_pages(object, Arc::clone(&fetched), blocks))
            .buffered(RANGES_AHEAD);
        let mut by_page = Vec::new();
        while let Some(hashes) = hashed.next().await {
            match index.is_by_page() {
                true => by_page.extend(hashes?),
                false => {
                    hashes?.into_iter().try_for_each(|hash| check.push(hash)).map_err(damaged)?
                }
            }
        }
        by_entry(index, &by_page)
            .into_iter()
            .try_for_each(|hash| check.push(hash))
            .map_err(damaged)?;
        check.finish().map_err(damaged)?;
        Ok(index.page_count())
    }

    /// The hashes of the pages in some blocks.
    async fn hash_pages(
        &self,
        object: Object,
        fetched: Arc<Fetched>,
        blocks: Range<usize>,
    ) -> Result<Vec<PageHash>, CatalogError> {
        let page_blocks = &fetched.index.page_blocks()[blocks.clone()];
        let (Some(first), Some(last)) = (page_blocks.first(), page_blocks.last()) else {
            return Ok(Vec::new());
        };
        let (start, end) = (first.offset, last.end());
        let kib = u32::try_from((end - start) / 1024 + 1).unwrap_or(u32::MAX);
        let permit = self.memory.acquire_many(kib.min(RANGE_KIB_AT_ONCE)).await;
        let bytes = match fetched.at_hand(start..end) {
            Some(bytes) => bytes,
            None => self.survey.store().get_range(&object.key, start..end).await?,
        };
        self.progress.add_bytes(end - start);
        let hashed = blocking(move || Ok(decode(&fetched.index, blocks, start, &bytes))).await;
        drop(permit);
        let hashes = hashed.unwrap_or_else(|error| {
            Err(ebbtide_replica::Error::damaged("the pages", error.to_string()))
        });
        let hashes = hashes.map_err(|source| CatalogError::Object { key: object.key, source })?;
        self.progress.add_pages(hashes.len() as u64);
        Ok(hashes)
    }
}

/// Proves one object by itself, all of its bytes: how many pages it has, or what is wrong with it.
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
    blocks: Range<usize>,
    start: u64,
    bytes: &Bytes,
) -> Result<Vec<PageHash>, ebbtide_replica::Error> {
    let mut numbers = numbers_from(index, blocks.start);
    let blocks = &index.page_blocks()[blocks];
    let page_size = index.header().page_size.bytes();
    let mut scratch = Vec::new();
    let mut hashes = Vec::new();
    for block in blocks {
        let begin = usize::try_from(block.offset - start).unwrap_or(usize::MAX);
        let stored = bytes.get(begin..begin.saturating_add(block.stored_len as usize));
        let raw = block.decode_into(index.opener(), stored.unwrap_or_default(), &mut scratch)?;
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
