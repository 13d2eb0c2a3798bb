//! Compares a database page by page with the page hashes of its replica.

use std::ops::Range;

use ebbtide_replica::{Digest, PageHash, PageHasher};
use ebbtide_wal::{PageNumber, PageSize, lock_page};

use crate::error::Error;
use crate::pages::Pages;

/// The page hashes after the replica's last entry.
pub trait KnownPages {
    /// The page size.
    fn page_size(&self) -> PageSize;

    /// The size of the database in pages.
    fn database_pages(&self) -> u32;

    /// The digest of the database.
    fn digest(&self) -> Digest;

    /// Whether the database that was compared is in the same state. The count of differing pages decides, not the digest
    /// alone: a writer to the store can construct pages with any digest.
    fn is_state(&self, found: &Difference) -> bool {
        found.count == 0
            && found.digest == self.digest()
            && found.database_pages == self.database_pages()
    }

    /// The hashes of `count` pages from `first` on; zeros for pages that the replica does not have.
    ///
    /// # Errors
    /// When the hashes cannot be read.
    fn hashes(&self, first: PageNumber, count: u32) -> Result<Vec<PageHash>, Error>;
}

/// A comparison of a database with its replica in progress: the pages seen so far that differ, and the digest of all.
#[derive(Debug)]
pub struct Comparison {
    difference: Difference,
    read_ahead: ReadAhead,
    hasher: PageHasher,
}

impl Default for Comparison {
    fn default() -> Comparison {
        let difference =
            Difference { pages: Vec::new(), count: 0, database_pages: 0, digest: Digest::EMPTY };
        let read_ahead = ReadAhead { first: 1, hashes: Vec::new() };
        Comparison { difference, read_ahead, hasher: PageHasher::default() }
    }
}

impl Comparison {
    /// Compares the next pages, in ascending order.
    ///
    /// # Errors
    /// The errors of `pages`.
    pub fn look<E: From<Error>>(
        &mut self,
        there: &impl KnownPages,
        pages: impl Pages<E>,
    ) -> Result<(), E> {
        let Comparison { difference, read_ahead, hasher } = self;
        pages(&mut |page, image| {
            let mut hashed = hasher.push(page, image);
            Ok(hashed
                .try_for_each(|(page, hash)| difference.note(page, hash, read_ahead, there))?)
        })
    }

    /// Ends the comparison.
    ///
    /// # Errors
    /// When the local table cannot be read.
    pub fn finish(self, there: &impl KnownPages) -> Result<Difference, Error> {
        let Comparison { mut difference, mut read_ahead, hasher } = self;
        let mut rest = hasher.finish();
        rest.try_for_each(|(page, hash)| difference.note(page, hash, &mut read_ahead, there))?;
        Ok(difference)
    }
}

/// The difference between a database and its replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The ranges of page numbers that differ.
    pub pages: Vec<Range<u32>>,
    /// The number of pages that differ.
    pub count: u64,
    /// The size of the database in pages.
    pub database_pages: u32,
    /// The digest of the whole database.
    pub digest: Digest,
}

impl Difference {
    fn note(
        &mut self,
        page: PageNumber,
        hash: PageHash,
        read_ahead: &mut ReadAhead,
        there: &impl KnownPages,
    ) -> Result<(), Error> {
        if read_ahead.of(page, there)? != hash || page.get() > there.database_pages() {
            self.add(page, lock_page(there.page_size()));
        }
        self.digest = self.digest.toggle(hash);
        self.database_pages = page.get();
        Ok(())
    }

    fn add(&mut self, page: PageNumber, lock: PageNumber) {
        self.count += 1;
        let page = page.get();
        match self.pages.last_mut() {
            Some(last) if last.end == page && page != lock.get() => last.end = page + 1,
            _ => self.pages.push(page..page + 1),
        }
    }
}

/// A range of page hashes, read ahead.
#[derive(Debug)]
struct ReadAhead {
    first: u32,
    hashes: Vec<PageHash>,
}

impl ReadAhead {
    const PAGES: u32 = 65_536;

    fn of(&mut self, page: PageNumber, there: &impl KnownPages) -> Result<PageHash, Error> {
        let at = |first: u32| page.get().checked_sub(first).map(|at| at as usize);
        if at(self.first).is_none_or(|at| at >= self.hashes.len()) {
            self.first = page.get();
            self.hashes = there.hashes(page, ReadAhead::PAGES)?;
        }
        let found = at(self.first).and_then(|at| self.hashes.get(at)).copied();
        Ok(found.unwrap_or(PageHash::from_bytes([0; 16])))
    }
}
