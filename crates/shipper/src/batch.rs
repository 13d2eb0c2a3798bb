//! A batch of small commits, whose pages are hashed together with SIMD.

use ebbtide_replica::{PAGES_AT_ONCE, PageHash, Point, hash_pages};
use ebbtide_wal::{PageNumber, PageSize};

use crate::entry::NewEntry;
use crate::pages::Pages;

/// Commits that are neither hashed nor encoded yet, in order.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// Each commit with its number of pages.
    commits: Vec<(NewEntry, usize)>,
    /// The pages of all commits. `images` has one image for each of `numbers`.
    numbers: Vec<PageNumber>,
    images: Vec<u8>,
}

/// A page with its hash.
pub(crate) type HashedPage<'a> = ((PageNumber, &'a [u8]), PageHash);

impl Batch {
    /// Whether a commit of `page_count` pages is small enough for the batch.
    pub(crate) fn takes(page_count: usize) -> bool {
        page_count <= PAGES_AT_ONCE
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.commits.is_empty()
    }

    /// The number of commits.
    pub(crate) fn len(&self) -> usize {
        self.commits.len()
    }

    /// Whether there are enough pages to hash them together.
    pub(crate) fn is_full(&self) -> bool {
        self.numbers.len() >= PAGES_AT_ONCE
    }

    /// Adds a commit.
    pub(crate) fn push<E>(&mut self, commit: NewEntry, each_page: impl Pages<E>) -> Result<(), E> {
        let before = self.numbers.len();
        each_page(&mut |page, image| {
            self.numbers.push(page);
            self.images.extend_from_slice(image);
            Ok(())
        })?;
        self.commits.push((commit, self.numbers.len() - before));
        Ok(())
    }

    /// The last entry, if the entry before the batch is `before`.
    pub(crate) fn last(&self, before: Point) -> Point {
        let commits = self.commits.iter();
        commits.fold(before, |last, (commit, _)| Point {
            txid: last.txid.next(),
            time: commit.time_after(last.time),
        })
    }

    /// Hashes the pages, and calls `each` with each commit and its pages.
    pub(crate) fn encode<E>(
        &self,
        page_size: PageSize,
        mut each: impl FnMut(&NewEntry, &mut dyn Iterator<Item = HashedPage<'_>>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut hashes: Vec<PageHash> = Vec::with_capacity(self.numbers.len());
        hash_pages(&self.numbers, &self.images, |_, hash| hashes.push(hash));
        let images = self.images.chunks_exact(page_size.bytes());
        let mut pages = self.numbers.iter().copied().zip(images).zip(hashes);
        for (commit, count) in &self.commits {
            each(commit, &mut pages.by_ref().take(*count))?;
        }
        Ok(())
    }

    /// Empties the batch and keeps its allocations.
    pub(crate) fn clear(&mut self) {
        self.commits.clear();
        self.numbers.clear();
        self.images.clear();
    }
}
