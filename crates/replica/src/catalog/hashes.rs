//! Reads the hashes of the pages of an object, without the pages.

use ebbtide_wal::PageNumber;

use super::{CatalogError, Fetched};
use crate::container::page_hashes;
use crate::store::Store;
use crate::{Error, Key, PageHash};

/// Calls `take` with the hashes of consecutive pages of an entry, for all pages of the object in order: the index of the
/// entry, the first page, the hashes. What `take` has got is proved when this returns, and not before: only then have
/// all hashes been checked against what the entries say.
pub async fn for_each_hash<E: From<CatalogError>>(
    store: &dyn Store,
    key: Key,
    fetched: &Fetched,
    mut take: impl FnMut(usize, PageNumber, &[PageHash]) -> Result<(), E>,
) -> Result<(), E> {
    let index = &fetched.index;
    let damaged = CatalogError::object(key);
    let mut check = index.content_check();
    let mut pages = Pages::new(fetched);
    let mut hashes = Vec::new();
    for block in index.hash_blocks() {
        let stored = match &fetched.body {
            Some(body) => slice(body, block.offset, block.end()).map_err(&damaged)?,
            None => {
                let range = block.offset..block.end();
                store.get_range(&key, range).await.map_err(CatalogError::from)?
            }
        };
        let raw = block.decode(&stored).map_err(&damaged)?;
        hashes.clear();
        hashes.extend(page_hashes(&raw));
        for &hash in &hashes {
            check.push(hash).map_err(&damaged)?;
        }
        let mut rest = &hashes[..];
        while let Some((entry, first, count)) = pages.next(rest.len()) {
            let (run, after) = rest.split_at(count);
            take(entry, first, run)?;
            rest = after;
        }
    }
    check.finish().map_err(damaged)?;
    Ok(())
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

impl<'a> Pages<'a> {
    fn new(fetched: &'a Fetched) -> Pages<'a> {
        Pages { fetched, entry: 0, run: 0, taken: 0 }
    }

    /// The next consecutive pages of one entry, at most `count_max` and none at the end.
    fn next(&mut self, count_max: usize) -> Option<(usize, PageNumber, usize)> {
        if count_max == 0 {
            return None;
        }
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
