//! The reads and writes of one checkpoint, in pieces of 64 KiB instead of pages.
//!
//! SQLite's checkpoint reads a page from the log, writes it into the database, and continues with the next, in
//! ascending order of the pages. For the kernel one write of sixteen consecutive pages is little more work than a write
//! of one page, most of all beyond the end of the file. So [`Copying`] buffers consecutive pages into one write, and
//! reads ahead where SQLite reads the log in order.
//!
//! A buffered page must be written before SQLite publishes the end of the checkpoint, because readers then read the
//! page from the file. SQLite's last write is the last call that can still report an error, so pages are not buffered
//! from that write on, see [`last_page`].

use std::collections::HashSet;
use std::ffi::c_int;

use ebbtide_wal::{FRAME_HEADER_BYTES, Index, frame_offset};

/// The size of one read or write. SQLite's own functions take less than 128 KiB.
const PIECE_BYTES: usize = 64 << 10;
const PIECE_ALIGNMENT: i64 = 64 << 10;

/// How many frames that the checkpoint cannot backfill are searched for newer versions of pages.
const LEFT_MAX: u32 = 1 << 16;

/// The buffers of one checkpoint. Errors are SQLite's result codes.
#[derive(Debug)]
pub(crate) struct Copying {
    /// The write buffer: pages that SQLite has written and that are not in the file yet.
    gathered: Piece,
    /// The offset in the database of the last page that SQLite will write. From there on writes are not buffered.
    last: i64,
    /// The read buffer: bytes of the log that SQLite has not read yet.
    ahead: Piece,
    /// The offset in the log of the page after the last one that was read.
    next: i64,
    /// The offset in the log before which no byte changes until the checkpoint ends.
    stable_end: i64,
}

/// Consecutive bytes of a file.
#[derive(Debug, Default)]
struct Piece {
    at: i64,
    bytes: Vec<u8>,
}

impl Piece {
    fn end(&self) -> i64 {
        self.at + length(&self.bytes)
    }

    /// The `count` bytes at `at`, if the piece has all of them.
    fn get(&self, at: i64, count: usize) -> Option<&[u8]> {
        let skip = usize::try_from(at.checked_sub(self.at)?).ok()?;
        self.bytes.get(skip..skip.checked_add(count)?)
    }
}

fn length(bytes: &[u8]) -> i64 {
    i64::try_from(bytes.len()).expect("no memory has so many bytes")
}

impl Copying {
    /// For a checkpoint that begins with `index`; `page_of` gives the page of a frame. `None` if the page size is
    /// unknown.
    pub(crate) fn new(index: &Index, page_of: impl Fn(u32) -> u32) -> Option<Copying> {
        let size = index.page_size?;
        let offset = |bytes: u64| i64::try_from(bytes).ok();
        let last = last_page(index, page_of).saturating_sub(1);
        Some(Copying {
            gathered: Piece::default(),
            last: offset(u64::from(last) * size.offset())?,
            ahead: Piece::default(),
            next: -1,
            stable_end: offset(frame_offset(index.backfill_attempted.checked_add(1)?, size)?)?,
        })
    }

    /// Buffers a page of offset `at`, and passes whole pieces to `write`.
    pub(crate) fn write(
        &mut self,
        page: &[u8],
        at: i64,
        mut write: impl FnMut(&[u8], i64) -> Result<(), c_int>,
    ) -> Result<(), c_int> {
        let written = self.gather(page, at, &mut write);
        if written.is_err() {
            // SQLite aborts the checkpoint.
            self.gathered.bytes.clear();
            self.last = 0;
        }
        written
    }

    fn gather(
        &mut self,
        page: &[u8],
        at: i64,
        write: &mut impl FnMut(&[u8], i64) -> Result<(), c_int>,
    ) -> Result<(), c_int> {
        if at != self.gathered.end() {
            self.flush(&mut *write)?;
        }
        let is_last = at >= self.last || page.len() >= PIECE_BYTES;
        if self.gathered.bytes.is_empty() {
            if is_last {
                return write(page, at);
            }
            self.gathered.at = at;
        }
        self.gathered.bytes.extend_from_slice(page);
        if is_last || self.gathered.end() % PIECE_ALIGNMENT == 0 {
            self.flush(write)?;
        }
        Ok(())
    }

    /// Writes the buffered pages.
    pub(crate) fn flush(
        &mut self,
        mut write: impl FnMut(&[u8], i64) -> Result<(), c_int>,
    ) -> Result<(), c_int> {
        if self.gathered.bytes.is_empty() {
            return Ok(());
        }
        write(&self.gathered.bytes, self.gathered.at)?;
        self.gathered.bytes.clear();
        Ok(())
    }

    /// Fills `page` from offset `at` of the log, and reads ahead if SQLite reads the log in order.
    pub(crate) fn read(
        &mut self,
        page: &mut [u8],
        at: i64,
        mut read: impl FnMut(&mut [u8], i64) -> Result<(), c_int>,
    ) -> Result<(), c_int> {
        let is_next = at == self.next;
        self.next = at + length(page) + length(&[0; FRAME_HEADER_BYTES]);
        if let Some(bytes) = self.ahead.get(at, page.len()) {
            page.copy_from_slice(bytes);
            return Ok(());
        }
        let count = usize::try_from(self.stable_end - at).unwrap_or(0).min(PIECE_BYTES);
        if is_next && count > page.len() {
            self.ahead.at = at;
            self.ahead.bytes.resize(count, 0);
            if read(&mut self.ahead.bytes, at).is_ok() {
                page.copy_from_slice(&self.ahead.bytes[..page.len()]);
                return Ok(());
            }
            self.ahead.bytes.clear();
        }
        read(page, at)
    }
}

/// The last page that a checkpoint will write; 0 if it is unknown.
///
/// A checkpoint writes a page if the newest frame of the page that it knows is one that it may backfill and that was
/// not backfilled before. It may know fewer frames than `index` has by now. The additional frames can only make the
/// result an earlier page, from which on writes are not buffered either.
fn last_page(index: &Index, page_of: impl Fn(u32) -> u32) -> u32 {
    let Index { frames, backfilled, backfill_attempted: safe, .. } = *index;
    if frames.saturating_sub(safe) > LEFT_MAX {
        return 0;
    }
    let newer: HashSet<u32> = (safe.saturating_add(1)..=frames).map(&page_of).collect();
    (backfilled.saturating_add(1)..=safe)
        .map(&page_of)
        .filter(|page| *page <= index.database_pages && !newer.contains(page))
        .max()
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use ebbtide_wal::PageSize;

    use super::*;

    const SIZE: usize = 4096;

    /// A log of which the first `safe` frames may be copied.
    fn copying(pages: &[u32], safe: u32) -> Copying {
        let index = Index {
            page_size: PageSize::new(4096),
            frames: u32::try_from(pages.len()).unwrap(),
            backfill_attempted: safe,
            database_pages: 1000,
            ..Index::default()
        };
        Copying::new(&index, |frame| pages[frame as usize - 1]).unwrap()
    }

    /// Writes these pages, and returns the offset and length of what arrives, and what was kept back at the end.
    fn written(copying: &mut Copying, pages: &[u32]) -> (Vec<(i64, usize)>, usize) {
        let mut pieces = Vec::new();
        for &page in pages {
            let image = [u8::try_from(page).unwrap(); SIZE];
            let written = copying.write(&image, i64::from(page - 1) * 4096, |bytes, at| {
                for (number, image) in (at / 4096 + 1..).zip(bytes.chunks(SIZE)) {
                    assert_eq!(image, [u8::try_from(number).unwrap(); SIZE]);
                }
                pieces.push((at, bytes.len()));
                Ok(())
            });
            assert_eq!(written, Ok(()));
        }
        (pieces, copying.gathered.bytes.len())
    }

    #[test]
    fn neighbours_are_written_at_once_and_nothing_is_kept_back_at_the_last_page() {
        let pages: Vec<u32> = (3..=40).chain(50..=51).collect();
        let (pieces, left) = written(&mut copying(&pages, 40), &pages);
        let piece =
            |first: usize, last: usize| ((first as i64 - 1) * 4096, (last + 1 - first) * SIZE);
        // 64 KiB are 16 pages, and pieces end where the file has a multiple of them.
        assert_eq!(pieces, [piece(3, 16), piece(17, 32), piece(33, 40), piece(50, 51)]);
        assert_eq!(left, 0);
    }

    #[test]
    fn a_page_with_a_newer_frame_is_not_the_last_that_is_written() {
        // Page 9 is in the log again behind what may be copied, so SQLite leaves it out: page 8 is the last.
        let (pieces, left) = written(&mut copying(&[7, 8, 9, 9], 3), &[7, 8]);
        assert_eq!((pieces, left), (vec![(6 * 4096, 2 * SIZE)], 0));
        // One that SQLite did not know of yet only means that pages are written one by one from there on.
        let (pieces, left) = written(&mut copying(&[7, 8, 9, 9], 3), &[7, 8, 9]);
        assert_eq!((pieces, left), (vec![(6 * 4096, 2 * SIZE), (8 * 4096, SIZE)], 0));
        let unknown = vec![1; LEFT_MAX as usize + 3];
        let (pieces, left) = written(&mut copying(&unknown, 2), &[1, 2]);
        assert_eq!((pieces, left), (vec![(0, SIZE), (4096, SIZE)], 0));
    }

    #[test]
    fn after_a_failed_write_nothing_is_kept_back() {
        let mut copying = copying(&[1, 2, 5, 6], 4);
        let page = [0; SIZE];
        for at in [0, 4096] {
            assert_eq!(copying.write(&page, at, |_, _| unreachable!()), Ok(()));
        }
        assert_eq!(copying.write(&page, 4 * 4096, |_, _| Err(13)), Err(13));
        assert_eq!(copying.flush(|_, _| unreachable!()), Ok(()));
        assert_eq!(copying.write(&page, 4 * 4096, |_, _| Err(13)), Err(13));
    }

    #[test]
    fn a_log_is_read_ahead_in_order_and_never_past_what_stands_still() {
        let frames: Vec<u32> = (1..=100).collect();
        let mut copying = copying(&frames, 40);
        let log = |at: i64| u8::try_from(at % 251).unwrap();
        let stable_end = copying.stable_end;
        let mut calls = 0;
        for frame in (0..40).chain([3, 20, 21]) {
            let at = 32 + i64::from(frame) * 4120 + 24;
            let mut page = [0; SIZE];
            let read = copying.read(&mut page, at, |bytes, at| {
                calls += 1;
                assert!(at + length(bytes) <= stable_end, "{at}");
                bytes.iter_mut().zip(at..).for_each(|(byte, at)| *byte = log(at));
                Ok(())
            });
            assert_eq!(read, Ok(()));
            assert!(page.iter().zip(at..).all(|(&byte, at)| byte == log(at)), "frame {frame}");
        }
        assert!(calls < 10, "{calls} calls");
    }

    #[test]
    fn what_cannot_be_read_ahead_is_read_as_sqlite_asked() {
        let mut copying = copying(&[1, 2, 3, 4], 4);
        let mut page = [0; SIZE];
        for at in [56, 56 + 4120] {
            let read = copying
                .read(&mut page, at, |bytes, _| if bytes.len() > SIZE { Err(522) } else { Ok(()) });
            assert_eq!(read, Ok(()));
        }
        assert_eq!(copying.read(&mut page, 56 + 2 * 4120, |_, _| Err(10)), Err(10));
    }
}
