//! The hash of each page as of some entry, in a file without a name, and what they add up to.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use ebbtide_replica::{ContentHasher, Digest, PageHash, Run};
use ebbtide_wal::{PageNumber, PageSize, lock_page};

use crate::error::{Error, Result};

/// How many rows are read at once.
const CHUNK_ROWS: usize = 65_536;

/// The table.
#[derive(Debug)]
pub(crate) struct Rows {
    file: File,
    rows: u32,
    digest: Digest,
}

impl Rows {
    /// A table of an empty database.
    pub(super) fn new() -> Result<Rows> {
        let file = tempfile::tempfile().map_err(fail)?;
        Ok(Rows { file, rows: 0, digest: Digest::EMPTY })
    }

    /// How many pages the database has.
    pub(crate) fn count(&self) -> u32 {
        self.rows
    }

    /// What all rows add up to.
    pub(crate) fn digest(&self) -> Digest {
        self.digest
    }

    /// The content of an entry that carries all pages.
    pub(super) fn content(&self, page_size: PageSize) -> Result<[u8; 32]> {
        let lock = lock_page(page_size).get() - 1;
        let mut content = ContentHasher::default();
        let mut bytes = vec![0; CHUNK_ROWS.min(self.rows as usize) * PageHash::SIZE];
        let mut row = 0;
        while row < self.rows {
            let count = (self.rows - row).min(u32::try_from(CHUNK_ROWS).unwrap_or(u32::MAX));
            let bytes = &mut bytes[..count as usize * PageHash::SIZE];
            self.file.read_exact_at(bytes, offset(row)).map_err(fail)?;
            for (row, &bytes) in (row..).zip(bytes.as_chunks().0) {
                if row != lock {
                    content.push(PageHash::from_bytes(bytes));
                }
            }
            row += count;
        }
        Ok(content.finish())
    }

    /// Gives consecutive pages new hashes.
    pub(super) fn set(&mut self, first: PageNumber, hashes: &[PageHash]) -> Result<()> {
        for (index, hashes) in hashes.chunks(CHUNK_ROWS).enumerate() {
            let row = first.get() - 1 + u32::try_from(index * CHUNK_ROWS).unwrap_or(u32::MAX);
            self.remove(row, hashes.len())?;
            let bytes: Vec<u8> = hashes.iter().flat_map(|hash| *hash.as_bytes()).collect();
            self.file.write_all_at(&bytes, offset(row)).map_err(fail)?;
            self.digest = hashes.iter().copied().fold(self.digest, Digest::toggle);
            let end = u32::try_from(hashes.len()).unwrap_or(u32::MAX).saturating_add(row);
            self.rows = self.rows.max(end);
        }
        Ok(())
    }

    /// How many rows there are.
    pub(super) fn len(&self) -> u32 {
        self.rows
    }

    /// Makes the table have `rows` rows; those of pages that are not there any more are forgotten.
    pub(super) fn resize(&mut self, rows: u32) -> Result<()> {
        let mut row = rows;
        while row < self.rows {
            let count = (self.rows - row).min(u32::try_from(CHUNK_ROWS).unwrap_or(u32::MAX));
            self.remove(row, count as usize)?;
            row += count;
        }
        self.file.set_len(offset(rows)).map_err(fail)?;
        self.rows = rows;
        Ok(())
    }

    /// The digest without the pages of `run`, as far as they are there.
    pub(super) fn digest_without(&self, mut digest: Digest, run: Run) -> Result<Digest> {
        let (mut row, end) = (run.first().get() - 1, run.last().get());
        while row < end.min(self.rows) {
            let count = (end - row).min(u32::try_from(CHUNK_ROWS).unwrap_or(u32::MAX));
            digest = self.toggle(digest, row, count as usize)?;
            row += count;
        }
        Ok(digest)
    }

    /// Takes rows out of the digest. They are to be overwritten or cut off.
    fn remove(&mut self, row: u32, count: usize) -> Result<()> {
        self.digest = self.toggle(self.digest, row, count)?;
        Ok(())
    }

    /// `digest` without these rows, as far as they are there.
    fn toggle(&self, digest: Digest, row: u32, count: usize) -> Result<Digest> {
        let there = (self.rows.saturating_sub(row) as usize).min(count);
        let mut bytes = vec![0; there * PageHash::SIZE];
        self.file.read_exact_at(&mut bytes, offset(row)).map_err(fail)?;
        let hashes = bytes.as_chunks().0.iter().map(|&bytes| PageHash::from_bytes(bytes));
        Ok(hashes.fold(digest, Digest::toggle))
    }
}

fn offset(row: u32) -> u64 {
    u64::from(row) * PageHash::SIZE as u64
}

fn fail(error: io::Error) -> Error {
    Error::io("use a temporary file in", Path::new(&std::env::temp_dir()))(error)
}
