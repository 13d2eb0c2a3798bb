//! The leaf pages of a table in the order of its rowids, read past SQLite.
//!
//! Only the numbers of children, and rowid and extent of each row, are read; what is in a row is read by SQLite. Whatever is
//! not as it should be ends the walk, and what it would have shown is compared by SQLite alone.

use std::fmt;
use std::io;

use super::super::btree::{DEPTH_MAX, INTERIOR, LEAF, u16_at, u32_at, varint};

/// Neighbouring pages are read together.
const CHUNK_BYTES: usize = 128 * 1024;

/// The pages of a database, as the connection of its side reads them.
#[derive(Clone, Copy)]
pub struct Pages<'a> {
    /// The size of a page.
    pub page_bytes: usize,
    /// How many bytes at the end of each page are not SQLite's.
    pub reserved_bytes: usize,
    /// Reads bytes of the database from an offset on, as many as there are; 0 at its end.
    pub read: &'a dyn Fn(u64, &mut [u8]) -> io::Result<usize>,
}

impl fmt::Debug for Pages<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages").field("page_bytes", &self.page_bytes).finish_non_exhaustive()
    }
}

/// A row on a leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cell<'p> {
    pub(super) rowid: i64,
    /// Its record; `None` if that goes on elsewhere.
    pub(super) record: Option<&'p [u8]>,
}

/// A walk over the leaves.
pub(super) struct Leaves<'a> {
    pages: Pages<'a>,
    /// Interior pages from the root down, each with the number of the next child.
    path: Vec<(Vec<u8>, usize)>,
    root: Option<u32>,
    /// Some pages, and the offset of the first of them.
    chunk: (u64, Vec<u8>),
    page: Vec<u8>,
    /// How many rows the present leaf has, and which of them is the present one; 0 at the end.
    count: usize,
    index: usize,
    /// How much of a page is SQLite's.
    usable: usize,
}

impl<'a> Leaves<'a> {
    pub(super) fn new(pages: Pages<'a>, root: u32) -> Leaves<'a> {
        let chunk = (0, Vec::new());
        let usable = pages.page_bytes.saturating_sub(pages.reserved_bytes);
        let (path, page) = (Vec::new(), Vec::new());
        Leaves { pages, path, root: Some(root), chunk, page, count: 0, index: 0, usable }
    }

    /// Whether there is a row.
    pub(super) fn has_row(&self) -> bool {
        self.index < self.count
    }

    /// The present row; there must be one.
    pub(super) fn cell(&self) -> Option<Cell<'_>> {
        cell(&self.page, self.index, self.usable)
    }

    /// The page of the present leaf, if no row of it was passed yet.
    pub(super) fn first_page(&self) -> Option<&[u8]> {
        (self.index == 0).then_some(&self.page)
    }

    /// The same, if all of its rows are on it.
    pub(super) fn whole_page(&self) -> Option<&[u8]> {
        let is_here =
            |index| cell(&self.page, index, self.usable).is_some_and(|cell| cell.record.is_some());
        self.first_page().filter(|_| (0..self.count).all(is_here))
    }

    /// The first and the last rowid of the present leaf.
    pub(super) fn bounds(&self) -> Option<(i64, i64)> {
        let rowid = |index| Some(cell(&self.page, index, self.usable)?.rowid);
        Some((rowid(0)?, rowid(self.count.checked_sub(1)?)?))
    }

    /// Goes to the next row.
    pub(super) fn advance(&mut self) -> Option<()> {
        self.index += 1;
        if self.index < self.count { Some(()) } else { self.next_leaf() }
    }

    /// Goes to the first row of the next leaf that has rows.
    pub(super) fn next_leaf(&mut self) -> Option<()> {
        (self.count, self.index) = (0, 0);
        loop {
            let child = match self.root.take() {
                Some(root) => root,
                None => loop {
                    let Some((page, next)) = self.path.last_mut() else { return Some(()) };
                    let child = child(page, *next)?;
                    *next += 1;
                    match child {
                        Some(child) => break child,
                        None => drop(self.path.pop()),
                    }
                },
            };
            self.read(child)?;
            match *self.page.first()? {
                INTERIOR if self.path.len() < DEPTH_MAX => {
                    self.path.push((std::mem::take(&mut self.page), 0));
                }
                LEAF => {
                    self.count = u16_at(&self.page, 3)?;
                    if self.count > 0 {
                        return Some(());
                    }
                }
                _ => return None,
            }
        }
    }

    fn read(&mut self, number: u32) -> Option<()> {
        let size = self.pages.page_bytes;
        let offset = u64::from(number.checked_sub(1)?) * u64::try_from(size).ok()?;
        let (start, chunk) = &mut self.chunk;
        let end = *start + u64::try_from(chunk.len()).ok()?;
        if offset < *start || offset + u64::try_from(size).ok()? > end {
            // Only who reads on gets more than was asked for.
            let length = if offset == end { CHUNK_BYTES.max(size) } else { size };
            chunk.resize(length, 0);
            let mut filled = 0;
            while filled < length {
                let at = offset + u64::try_from(filled).ok()?;
                match (self.pages.read)(at, &mut chunk[filled..]).ok()? {
                    0 => break,
                    count => filled += count,
                }
            }
            chunk.truncate(filled);
            *start = offset;
        }
        let within = usize::try_from(offset - *start).ok()?;
        let page = chunk.get(within..within + size)?;
        self.page.clear();
        self.page.extend_from_slice(page);
        Some(())
    }
}

/// A child of an interior page; `None` within if there are no more.
fn child(page: &[u8], index: usize) -> Option<Option<u32>> {
    let count = u16_at(page, 3)?;
    match index.cmp(&count) {
        std::cmp::Ordering::Less => {
            let cell = u16_at(page, 12 + 2 * index)?;
            Some(Some(u32_at(page, cell)?))
        }
        // The last one stands in the header.
        std::cmp::Ordering::Equal => Some(Some(u32_at(page, 8)?)),
        std::cmp::Ordering::Greater => Some(None),
    }
}

/// A row of a leaf.
fn cell(page: &[u8], index: usize, usable: usize) -> Option<Cell<'_>> {
    let bytes = page.get(u16_at(page, 8 + 2 * index)?..)?;
    let (length, after) = varint(bytes)?;
    let (rowid, record) = varint(after)?;
    let length = usize::try_from(length).ok()?;
    // From this length on the rest is on pages of its own.
    let is_here = length <= usable.checked_sub(35)?;
    let record = if is_here { Some(record.get(..length)?) } else { None };
    Some(Cell { rowid: rowid.cast_signed(), record })
}
