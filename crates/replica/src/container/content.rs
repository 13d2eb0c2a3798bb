//! Proves page hashes against the entries that carry the pages.

use crate::{ContentHasher, Digest, Entry, Error, PageHash, Result};

/// The hashes in the raw bytes of a block of hashes.
pub fn page_hashes(raw: &[u8]) -> impl ExactSizeIterator<Item = PageHash> {
    raw.as_chunks().0.iter().copied().map(PageHash::from_bytes)
}

/// Takes the hashes of all pages of an object in order, from its blocks of hashes or from the pages themselves, and
/// proves that each entry has these and no others.
pub struct ContentCheck<'a> {
    entries: std::slice::Iter<'a, Entry>,
    open: Option<Open<'a>>,
}

/// An entry that lacks `missing` more hashes.
struct Open<'a> {
    entry: &'a Entry,
    missing: u32,
    content: ContentHasher,
    digest: Digest,
}

impl<'a> ContentCheck<'a> {
    /// For an object with these entries.
    pub(super) fn new(entries: &'a [Entry]) -> ContentCheck<'a> {
        ContentCheck { entries: entries.iter(), open: None }
    }

    /// Takes the hash of the next page. Fails if it was the last of an entry, and the entry has other ones.
    pub fn push(&mut self, hash: PageHash) -> Result<()> {
        if self.open.is_none() {
            self.open = self.open_next();
        }
        let Some(open) = &mut self.open else {
            return Err(Error::damaged("the pages", "there are more than the entries carry"));
        };
        open.content.push(hash);
        open.digest = open.digest.toggle(hash);
        open.missing -= 1;
        if open.missing == 0 {
            open.close()?;
            self.open = None;
        }
        Ok(())
    }

    /// The next entry that carries any pages.
    fn open_next(&mut self) -> Option<Open<'a>> {
        let entry = self.entries.find(|entry| entry.page_count > 0)?;
        let (content, digest) = (ContentHasher::default(), Digest::EMPTY);
        Some(Open { entry, missing: entry.page_count, content, digest })
    }

    /// Fails if pages are missing.
    pub fn finish(mut self) -> Result<()> {
        match self.open.take().or_else(|| self.open_next()) {
            Some(open) => Err(Error::damaged(
                format!("entry {}", open.entry.txid),
                format!("{} of its pages are missing", open.missing),
            )),
            None => Ok(()),
        }
    }
}

impl Open<'_> {
    /// Checks what arrived, once all of it has.
    fn close(&self) -> Result<()> {
        let damaged = |why: &str| Error::damaged(format!("entry {}", self.entry.txid), why);
        if self.content.finish() != self.entry.content {
            return Err(damaged("its pages are not those that were written"));
        }
        if self.entry.is_complete() && self.digest != self.entry.digest {
            return Err(damaged("its pages do not add up to its digest"));
        }
        Ok(())
    }
}
