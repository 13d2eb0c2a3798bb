//! Small commits that wait for a few others, so that their pages are hashed side by side.
//!
//! They wait only while their capturing goes on: whoever captures says when it has ended ([`Shipper::encode`]), and
//! everything that sends, ends or proves something encodes them first.

use ebbtide_replica::{PAGES_AT_ONCE, PageHash, hash_pages};
use ebbtide_wal::PageNumber;

use crate::append::{Start, time_after};
use crate::error::Error;
use crate::image::Pages;
use crate::shipper::{Durable, Shipper};

/// Commits whose pages are neither hashed nor encoded, in order.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    /// Each with its number of pages.
    starts: Vec<(Start, usize)>,
    numbers: Vec<PageNumber>,
    images: Vec<u8>,
}

impl Waiting {
    /// Whether a commit of so many pages is small enough to wait.
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

    /// Without what it had, but with its memory.
    fn cleared(mut self) -> Waiting {
        self.starts.clear();
        self.numbers.clear();
        self.images.clear();
        self
    }
}

impl Shipper {
    /// The last entry that was appended.
    #[must_use]
    pub fn last(&self) -> Durable {
        let encoded = Durable { txid: self.head().txid, time: self.head().time };
        self.waiting.starts.iter().fold(encoded, |last, (start, _)| Durable {
            txid: last.txid.next(),
            time: time_after(last.time, start),
        })
    }

    /// Appends a small commit, together with others if those come at once.
    pub(crate) fn append_small<E: From<Error>>(
        &mut self,
        start: Start,
        each_page: impl Pages<E>,
    ) -> Result<(), E> {
        self.waiting.push(start, each_page)?;
        if self.waiting.is_full() {
            self.encode_waiting()?;
        }
        Ok(())
    }

    /// Encodes what was appended and waits for more: none will come at once.
    ///
    /// # Errors
    /// As [`Shipper::append`].
    pub fn encode(&mut self) -> Result<(), Error> {
        self.encode_waiting()?;
        // With its memory.
        self.waiting = Waiting::default();
        Ok(())
    }

    fn encode_waiting(&mut self) -> Result<(), Error> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let waiting = std::mem::take(&mut self.waiting);
        let mut hashes: Vec<PageHash> = Vec::with_capacity(waiting.numbers.len());
        hash_pages(&waiting.numbers, &waiting.images, |_, hash| hashes.push(hash));
        let images = waiting.images.chunks_exact(self.page_size().bytes());
        let mut pages = waiting.numbers.iter().copied().zip(images).zip(hashes);
        for (start, count) in &waiting.starts {
            self.append_hashed(start, pages.by_ref().take(*count))?;
        }
        self.waiting = waiting.cleared();
        Ok(())
    }
}
