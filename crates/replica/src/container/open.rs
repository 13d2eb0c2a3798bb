//! An entry that is being written: what is known before its pages, and what grows with them.

use ebbtide_wal::{PageNumber, PageSize, lock_page};

use crate::{Digest, Entry, EntryFlags, EntryKind, Error, PageHash, Result, Run, Timestamp, Txid};

/// What is known of an entry before its pages.
#[derive(Debug, Clone)]
pub struct EntryStart {
    /// As in [`Entry`].
    pub txid: Txid,
    /// As in [`Entry`].
    pub kind: EntryKind,
    /// As in [`Entry`].
    pub flags: EntryFlags,
    /// As in [`Entry`].
    pub time: Timestamp,
    /// As in [`Entry`].
    pub database_pages: u32,
    /// As in [`Entry`].
    pub detail: Vec<u8>,
}

impl Entry {
    /// What begins this entry in another object, for those that merge objects.
    #[must_use]
    pub fn start(&self) -> EntryStart {
        EntryStart {
            txid: self.txid,
            kind: self.kind,
            flags: self.flags,
            time: self.time,
            database_pages: self.database_pages,
            detail: self.detail.clone(),
        }
    }
}

/// An entry whose pages are arriving.
pub(super) struct OpenEntry {
    start: EntryStart,
    runs: Vec<Run>,
    last_page: u32,
    page_count: u32,
    content: blake3::Hasher,
    /// The content of the snapshot in which its pages lie.
    vouched: Option<[u8; 32]>,
    /// How many bytes of the writer's pending hashes belong to entries before this one or are already in `content`.
    hashed: usize,
    /// Of the pages that have arrived.
    digest: Digest,
}

impl OpenEntry {
    /// An entry that begins when the writer has `pending` bytes of hashes.
    pub(super) fn new(start: EntryStart, pending: usize) -> OpenEntry {
        OpenEntry {
            start,
            runs: Vec::new(),
            last_page: 0,
            page_count: 0,
            content: blake3::Hasher::new(),
            vouched: None,
            hashed: pending,
            digest: Digest::EMPTY,
        }
    }

    /// Its pages lie in a snapshot whose entry has this content.
    pub(super) fn vouch(&mut self, content: [u8; 32]) -> Result<()> {
        if !self.start.flags.contains(EntryFlags::IN_SNAPSHOT) {
            return Err(self.unwritable("its pages are in no snapshot"));
        }
        self.vouched = Some(content);
        Ok(())
    }

    /// Takes the next page in, but for its hash.
    pub(super) fn take_page(
        &mut self,
        number: PageNumber,
        image: &[u8],
        page_size: PageSize,
    ) -> Result<()> {
        let fits = number.get() > self.last_page
            && number.get() <= self.start.database_pages
            && number != lock_page(page_size)
            && image.len() == page_size.bytes();
        if !fits {
            let (last, length) = (self.last_page, image.len());
            return Err(self.unwritable(format!("page {number}, {length} bytes, after {last}")));
        }
        Run::push(&mut self.runs, number);
        self.last_page = number.get();
        self.page_count += 1;
        Ok(())
    }

    /// Takes in the hash of the first page that has none yet, which the writer adds to its pending hashes.
    pub(super) fn take_hash(&mut self, hash: PageHash) {
        self.digest = self.digest.toggle(hash);
    }

    /// Takes in those of the writer's pending hashes that are this entry's, before they are written and forgotten.
    pub(super) fn take_hashes(&mut self, pending: &[u8]) {
        self.content.update(&pending[self.hashed..]);
        self.hashed = 0;
    }

    /// The entry, with all its pages, after which the database has `digest`.
    pub(super) fn end(mut self, pending: &[u8], digest: Digest) -> Entry {
        self.take_hashes(pending);
        Entry {
            txid: self.start.txid,
            kind: self.start.kind,
            flags: self.start.flags,
            time: self.start.time,
            database_pages: self.start.database_pages,
            page_count: self.page_count,
            digest,
            content: self.vouched.unwrap_or_else(|| *self.content.finalize().as_bytes()),
            detail: self.start.detail,
            runs: self.runs,
        }
    }

    /// The digest of the pages that have arrived.
    pub(super) fn pages_digest(&self) -> Digest {
        self.digest
    }

    pub(super) fn unwritable(&self, why: impl Into<String>) -> Error {
        Error::unwritable(format!("entry {}", self.start.txid), why)
    }
}
