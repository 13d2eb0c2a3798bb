//! The copying of one checkpoint, in pieces instead of pages.
//!
//! SQLite's checkpoint reads a page out of the log, writes it into the database, and goes on to the next, in ascending
//! order of the pages. For the system sixteen neighbours at once are little more work than one of them, most of all
//! beyond the end of the file. So pages are gathered on their way, and read ahead where they lie in order.
//!
//! A page that is kept back must not be forgotten: once SQLite believes that all are written it tells every reader to
//! take them from the file. Its last write is the last that can still fail, so nothing is kept back from there on, see
//! [`last_page`].

use std::collections::HashSet;
use std::ffi::c_int;

use ebbtide_wal::{FRAME_HEADER_BYTES, Index, frame_offset};

/// How much is read or written at once. SQLite's own functions take less than 128 KiB.
const PIECE_BYTES: usize = 64 << 10;
const PIECE_ALIGNMENT: i64 = 64 << 10;

/// How many frames that a checkpoint leaves in the log are looked through for pages that it will leave out.
const LEFT_MAX: u32 = 1 << 16;

/// What goes to and fro in one checkpoint. Errors are SQLite's result codes.
#[derive(Debug)]
pub(crate) struct Copying {
    /// Written by SQLite, but not into the file yet.
    gathered: Piece,
    /// Where the last page belongs that will be written. From there on nothing is kept back.
    last: i64,
    /// Read from the log, but not by SQLite yet.
    ahead: Piece,
    /// Where the log has the page after the one that was read last.
    next: i64,
    /// What lies before this in the log will stay as it is until the checkpoint ends.
    still: i64,
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

    /// The bytes at `at`, if it has them all.
    fn get(&self, at: i64, count: usize) -> Option<&[u8]> {
        let skip = usize::try_from(at.checked_sub(self.at)?).ok()?;
        self.bytes.get(skip..skip.checked_add(count)?)
    }
}

fn length(bytes: &[u8]) -> i64 {
    i64::try_from(bytes.len()).expect("no memory has so many bytes")
}

impl Copying {
    /// For a checkpoint that has begun with `index`, where `page_of` tells the page of each frame. Nothing if the
    /// pages' size is not known.
    pub(crate) fn new(index: &Index, page_of: impl Fn(u32) -> u32) -> Option<Copying> {
        let size = index.page_size?;
        let offset = |bytes: u64| i64::try_from(bytes).ok();
        let last = last_page(index, page_of).saturating_sub(1);
        Some(Copying {
            gathered: Piece::default(),
            last: offset(u64::from(last) * size.offset())?,
            ahead: Piece::default(),
            next: -1,
            still: offset(frame_offset(index.backfill_attempted.checked_add(1)?, size)?)?,
        })
    }

    /// Takes a page that belongs at `at`, and hands whole pieces on to `write`.
    pub(crate) fn write(
        &mut self,
        page: &[u8],
        at: i64,
        mut write: impl FnMut(&[u8], i64) -> Result<(), c_int>,
    ) -> Result<(), c_int> {
        let written = self.gather(page, at, &mut write);
        if written.is_err() {
            // SQLite gives the checkpoint up.
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

    /// Hands on whatever is left.
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

    /// Fills `page` with what the log has at `at`, with more than that from `read` if SQLite reads the log in order.
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
        let count = usize::try_from(self.still - at).unwrap_or(0).min(PIECE_BYTES);
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

/// The last page that a checkpoint will write; 0 if that is not known.
///
/// It copies a page if the newest of its frames that it knows of is among those that it may copy and behind those that
/// were copied before. It may know of fewer frames than `index` by now has. Those can only make this an earlier page,
/// behind which nothing is kept back either.
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
        let still = copying.still;
        let mut calls = 0;
        for frame in (0..40).chain([3, 20, 21]) {
            let at = 32 + i64::from(frame) * 4120 + 24;
            let mut page = [0; SIZE];
            let read = copying.read(&mut page, at, |bytes, at| {
                calls += 1;
                assert!(at + length(bytes) <= still, "{at}");
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
