//! The table of page hashes: a file of 16-byte rows.
//!
//! Rows are read and written in windows. Pages that are close together share a window, so that a commit needs one or
//! two system calls per window, not per page.

use std::io;
use std::os::unix::fs::FileExt as _;

use ebbtide_wal::PageNumber;

use super::error::{StateError, io_error};
use super::handle::Handle;
use super::write::{set_length, write_at};
use ebbtide_replica::PageHash;

/// The size of a row in bytes.
pub(super) const ROW: usize = 16;

/// Two pages with at most this many rows between them share a window: copying the rows is cheaper than another system
/// call.
const GAP_ROWS_MAX: u32 = 256;

/// The largest window, in rows: 64 KiB.
const WINDOW_ROWS_MAX: u32 = 4096;

/// The file and its number of rows.
#[derive(Debug)]
pub(super) struct Table {
    file: Handle,
    rows: u32,
}

impl Table {
    /// Opens the table in `file`.
    pub(super) fn open(file: Handle) -> Result<Table, StateError> {
        let metadata = file.file()?.metadata();
        let length = metadata.map_err(io_error("read the size of", file.path()))?.len();
        let rows = u32::try_from(length / ROW as u64).unwrap_or(u32::MAX);
        Ok(Table { file, rows })
    }

    /// Truncates or extends the table to `rows` rows. New rows are zeros.
    pub(super) fn resize(&mut self, rows: u32) -> Result<(), StateError> {
        let length = u64::from(rows) * ROW as u64;
        set_length(self.file.file()?, length).map_err(io_error("resize", self.file.path()))?;
        self.rows = rows;
        Ok(())
    }

    /// Closes the file descriptor until the next access.
    pub(super) fn close_file(&mut self) {
        self.file.close();
    }

    /// Makes the table durable.
    pub(super) fn sync(&self) -> Result<(), StateError> {
        self.file.file()?.sync_data().map_err(io_error("make durable", self.file.path()))
    }

    /// The number of rows.
    pub(super) fn rows(&self) -> u32 {
        self.rows
    }

    /// Appends the rows of `count` pages from `first` on to `hashes`; zeros for missing rows.
    pub(super) fn read(
        &self,
        first: PageNumber,
        count: u32,
        hashes: &mut Vec<PageHash>,
    ) -> Result<(), StateError> {
        let mut window = vec![0; count.min(WINDOW_ROWS_MAX) as usize * ROW];
        let mut row = first.get() - 1;
        let mut left = count;
        while left > 0 {
            let rows = left.min(WINDOW_ROWS_MAX);
            let bytes = &mut window[..rows as usize * ROW];
            self.read_window(row, bytes)?;
            hashes.extend(
                bytes.as_chunks::<ROW>().0.iter().map(|&bytes| PageHash::from_bytes(bytes)),
            );
            row = row.saturating_add(rows);
            left -= rows;
        }
        Ok(())
    }

    /// The rows of `pages`, which ascend.
    pub(super) fn look_up(&self, pages: &[PageNumber]) -> Result<Vec<PageHash>, StateError> {
        let mut hashes = Vec::with_capacity(pages.len());
        let mut window = Vec::new();
        for pages in windows(pages, |&page| page) {
            let (first, rows) = extent(pages[0], pages[pages.len() - 1]);
            window.resize(rows * ROW, 0);
            self.read_window(first, &mut window)?;
            let (table, _) = window.as_chunks::<ROW>();
            hashes.extend(
                pages
                    .iter()
                    .map(|page| PageHash::from_bytes(table[(page.get() - 1 - first) as usize])),
            );
        }
        Ok(hashes)
    }

    /// Writes the rows of `updates`, which ascend by page.
    pub(super) fn write(&mut self, updates: &[(PageNumber, PageHash)]) -> Result<(), StateError> {
        let mut window = Vec::new();
        for updates in windows(updates, |&(page, _)| page) {
            let (first, rows) = extent(updates[0].0, updates[updates.len() - 1].0);
            window.resize(rows * ROW, 0);
            if rows > updates.len() {
                self.read_window(first, &mut window)?;
            }
            let (table, _) = window.as_chunks_mut::<ROW>();
            for (page, hash) in updates {
                table[(page.get() - 1 - first) as usize] = *hash.as_bytes();
            }
            self.write_window(first, &window)?;
            self.rows = self.rows.max(updates[updates.len() - 1].0.get());
        }
        Ok(())
    }

    /// Writes `hashes` into consecutive rows, beginning with that of `first`. Concurrent threads may write different
    /// rows. The number of rows is unknown until [`Table::resize`].
    pub(super) fn fill(&self, first: PageNumber, hashes: &[PageHash]) -> Result<(), StateError> {
        let mut bytes = Vec::with_capacity(hashes.len() * ROW);
        for hash in hashes {
            bytes.extend_from_slice(hash.as_bytes());
        }
        self.write_window(first.get() - 1, &bytes)
    }

    /// The sum of all rows.
    pub(super) fn sum(&self) -> Result<[u8; ROW], StateError> {
        let mut window = vec![0; WINDOW_ROWS_MAX as usize * ROW];
        let mut sum = 0;
        let mut row = 0;
        while row < self.rows {
            let rows = (self.rows - row).min(WINDOW_ROWS_MAX);
            let bytes = &mut window[..rows as usize * ROW];
            self.read_window(row, bytes)?;
            let (table, _) = bytes.as_chunks::<ROW>();
            sum = table.iter().fold(sum, |sum, &bytes| sum ^ u128::from_ne_bytes(bytes));
            row += rows;
        }
        Ok(sum.to_ne_bytes())
    }

    fn read_window(&self, row: u32, mut bytes: &mut [u8]) -> Result<(), StateError> {
        let file = self.file.file()?;
        let mut offset = u64::from(row) * ROW as u64;
        while !bytes.is_empty() {
            match file.read_at(bytes, offset) {
                Ok(0) => {
                    bytes.fill(0);
                    break;
                }
                Ok(count) => {
                    bytes = &mut bytes[count..];
                    offset += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(io_error("read", self.file.path())(error)),
            }
        }
        Ok(())
    }

    fn write_window(&self, row: u32, bytes: &[u8]) -> Result<(), StateError> {
        write_at(self.file.file()?, bytes, u64::from(row) * ROW as u64)
            .map_err(io_error("write", self.file.path()))
    }
}

/// Splits `items`, which ascend by page, into windows: where the gap is too large or the window would become too large.
fn windows<T>(items: &[T], page: impl Fn(&T) -> PageNumber) -> impl Iterator<Item = &[T]> {
    let mut rest = items;
    std::iter::from_fn(move || {
        let first = page(rest.first()?).get();
        let mut last = first;
        let mut count = 1;
        for item in &rest[1..] {
            let next = page(item).get();
            if next - last > GAP_ROWS_MAX || next - first >= WINDOW_ROWS_MAX {
                break;
            }
            last = next;
            count += 1;
        }
        let (window, after) = rest.split_at(count);
        rest = after;
        Some(window)
    })
}

/// The first row and the number of rows from page `first` to page `last`.
fn extent(first: PageNumber, last: PageNumber) -> (u32, usize) {
    (first.get() - 1, (last.get() - first.get()) as usize + 1)
}
