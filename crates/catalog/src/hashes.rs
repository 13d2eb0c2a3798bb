//! Reads the hashes of the pages of an object, without the pages.

use ebbtide_wal::PageNumber;

use super::{CatalogError, Fetched};
use ebbtide_replica::container::{Block, ContentCheck, page_hashes};
use ebbtide_replica::{Error, Key, PageHash};
use ebbtide_store::Store;

/// The hashes of all pages of an object, in order. What it gave is proved when it has come to its end without an error,
/// and not before: only then have all hashes been checked against what the entries say.
pub struct Hashes<'a> {
    store: &'a dyn Store,
    key: Key,
    fetched: &'a Fetched,
    blocks: std::slice::Iter<'a, Block>,
    check: Option<ContentCheck<'a>>,
    pages: Pages<'a>,
    /// Of the block at hand…
    hashes: Vec<PageHash>,
    /// …and how many of them were given out.
    given: usize,
}

/// The hashes of consecutive pages.
#[derive(Debug, Clone, Copy)]
pub struct HashRun<'a> {
    /// The entry that carries the pages, as an index into those of the object.
    pub entry: usize,
    /// The first page.
    pub first: PageNumber,
    /// The hashes, at least one.
    pub hashes: &'a [PageHash],
}

impl<'a> Hashes<'a> {
    /// Those of the object `key`, of which `fetched` is the index.
    #[must_use]
    pub fn new(store: &'a dyn Store, key: Key, fetched: &'a Fetched) -> Hashes<'a> {
        Hashes {
            store,
            key,
            fetched,
            blocks: fetched.index.hash_blocks().iter(),
            check: Some(fetched.index.content_check()),
            pages: Pages { fetched, entry: 0, run: 0, taken: 0 },
            hashes: Vec::new(),
            given: 0,
        }
    }

    /// The next ones, or nothing at the end.
    pub async fn next(&mut self) -> Result<Option<HashRun<'_>>, CatalogError> {
        let damaged = CatalogError::object(self.key);
        while self.given == self.hashes.len() {
            let Some(block) = self.blocks.next() else {
                let check = self.check.take();
                check.map_or(Ok(()), ContentCheck::finish).map_err(damaged)?;
                return Ok(None);
            };
            self.read(block).await?;
        }
        let left = self.hashes.len() - self.given;
        let (entry, first, count) = self
            .pages
            .next(left)
            .ok_or_else(|| damaged(Error::damaged("the hashes", "too many")))?;
        let hashes = &self.hashes[self.given..self.given + count];
        self.given += count;
        Ok(Some(HashRun { entry, first, hashes }))
    }

    async fn read(&mut self, block: &Block) -> Result<(), CatalogError> {
        let damaged = CatalogError::object(self.key);
        let stored = match &self.fetched.body {
            Some(body) => slice(body, block.offset, block.end()).map_err(&damaged)?,
            None => self.store.get_range(&self.key, block.offset..block.end()).await?,
        };
        let raw = block.decode(self.fetched.index.opener(), &stored).map_err(&damaged)?;
        self.hashes.clear();
        self.hashes.extend(page_hashes(&raw));
        self.given = 0;
        if let Some(check) = &mut self.check {
            for &hash in &self.hashes {
                check.push(hash).map_err(&damaged)?;
            }
        }
        Ok(())
    }
}

fn slice(body: &bytes::Bytes, start: u64, end: u64) -> Result<bytes::Bytes, Error> {
    let range = usize::try_from(start).ok().zip(usize::try_from(end).ok());
    match range {
        Some((start, end)) if start <= end && end <= body.len() => Ok(body.slice(start..end)),
        _ => Err(Error::damaged("the object", "it ends within a block")),
    }
}

/// Walks through the pages of an object in order, some of a run at a time.
struct Pages<'a> {
    fetched: &'a Fetched,
    entry: usize,
    run: usize,
    /// How many pages of the run are behind us.
    taken: u32,
}

impl Pages<'_> {
    /// The next consecutive pages of one entry, at most `count_max` and none at the end.
    fn next(&mut self, count_max: usize) -> Option<(usize, PageNumber, usize)> {
        let run = loop {
            let entry = self.fetched.index.entries().get(self.entry)?;
            match entry.runs.get(self.run) {
                Some(run) if self.taken < run.count() => break run,
                Some(_) => (self.run, self.taken) = (self.run + 1, 0),
                None => (self.entry, self.run, self.taken) = (self.entry + 1, 0, 0),
            }
        };
        let first = PageNumber::new(run.first().get() + self.taken)?;
        let count = (run.count() - self.taken).min(u32::try_from(count_max).unwrap_or(u32::MAX));
        self.taken += count;
        Some((self.entry, first, count as usize))
    }
}
