//! A batch of small commits, whose pages are hashed together with SIMD.
//!
//! A batch lives no longer than one capture: the caller ends it with [`Shipper::encode`]. Functions that send, finish
//! or verify entries encode the batch first.

use ebbtide_replica::{PAGES_AT_ONCE, PageHash, Point, hash_pages};
use ebbtide_wal::PageNumber;

use crate::append::{Start, time_after};
use crate::error::Error;
use crate::image::Pages;
use crate::shipper::Shipper;

/// Commits that are neither hashed nor encoded yet, in order.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// Each commit with its number of pages.
    starts: Vec<(Start, usize)>,
    numbers: Vec<PageNumber>,
    images: Vec<u8>,
}

impl Batch {
    /// Whether a commit of `page_count` pages is small enough for the batch.
    pub(crate) fn takes(page_count: usize) -> bool {
        page_count <= PAGES_AT_ONCE
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.starts.len()
    }

    fn is_full(&self) -> bool {
        self.numbers.len() >= PAGES_AT_ONCE
    }

    fn push<E>(&mut self, start: Start, each_page: impl Pages<E>) -> Result<(), E> {
        let before = self.numbers.len();
        each_page(&mut |page, image| {
            self.numbers.push(page);
            self.images.extend_from_slice(image);
            Ok(())
        })?;
        self.starts.push((start, self.numbers.len() - before));
        Ok(())
    }

    /// An empty batch that reuses the allocations.
    fn cleared(mut self) -> Batch {
        self.starts.clear();
        self.numbers.clear();
        self.images.clear();
        self
    }
}

impl Shipper {
    /// The last appended entry.
    #[must_use]
    pub fn last(&self) -> Point {
        self.batch.starts.iter().fold(self.head().point, |last, (start, _)| Point {
            txid: last.txid.next(),
            time: time_after(last.time, start),
        })
    }

    /// Adds a small commit to the batch, and encodes the batch when it is full.
    pub(crate) fn append_to_batch<E: From<Error>>(
        &mut self,
        start: Start,
        each_page: impl Pages<E>,
    ) -> Result<(), E> {
        self.batch.push(start, each_page)?;
        if self.batch.is_full() {
            self.encode_batch()?;
        }
        Ok(())
    }

    /// Encodes the batch: no more commits follow in this capture.
    ///
    /// # Errors
    /// As [`Shipper::append`].
    pub fn encode(&mut self) -> Result<(), Error> {
        self.encode_batch()?;
        // Frees the allocations.
        self.batch = Batch::default();
        Ok(())
    }

    fn encode_batch(&mut self) -> Result<(), Error> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let batch = std::mem::take(&mut self.batch);
        let mut hashes: Vec<PageHash> = Vec::with_capacity(batch.numbers.len());
        hash_pages(&batch.numbers, &batch.images, |_, hash| hashes.push(hash));
        let images = batch.images.chunks_exact(self.page_size().bytes());
        let mut pages = batch.numbers.iter().copied().zip(images).zip(hashes);
        for (start, count) in &batch.starts {
            self.append_hashed(start, pages.by_ref().take(*count))?;
        }
        self.batch = batch.cleared();
        Ok(())
    }
}
