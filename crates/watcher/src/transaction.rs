//! One committed transaction in the log: the numbers of its pages, and their images on demand.

use std::fs::File;

use ebbtide_time::Timestamp;
use ebbtide_wal::{FRAME_HEADER_BYTES, PageNumber, PageSize, Position, frame_bytes, frame_offset};

use crate::error::Error;
use crate::files::{Paths, read_up_to};
use crate::window::WINDOW_BYTES;

/// A page and the frame that holds its image.
pub(crate) type Located = (PageNumber, u32);

/// The source of the page images of a transaction.
#[derive(Debug)]
pub(crate) enum Images<'a> {
    /// All frames are in memory, from frame `first` on.
    Memory { first: u32, bytes: &'a [u8] },
    /// The frames are in the log, which is held, and are read through `buffer`.
    Log { file: &'a File, paths: &'a Paths, buffer: &'a mut Vec<u8> },
}

/// A committed transaction whose every frame was proved.
#[derive(Debug)]
pub struct Transaction<'a> {
    /// The commit timestamp; not less than that of the transaction before.
    pub time: Timestamp,
    /// The size of the database after it, in pages.
    pub database_pages: u32,
    /// The position after its last frame.
    pub position: Position,
    /// The page size.
    pub page_size: PageSize,
    /// The newest image of each page, in ascending order of pages, each within the database.
    pub(crate) pages: &'a [Located],
    pub(crate) images: Images<'a>,
}

impl Transaction<'_> {
    /// The number of changed pages; a page that was written more than once counts once.
    #[must_use]
    pub fn page_count(&self) -> usize {
        self.pages.len()
    }

    /// Hands every changed page to `each`, in ascending order of their numbers.
    ///
    /// # Errors
    /// Any error of `each`, or of reading the log.
    pub fn for_each_page<E: From<Error>>(
        &mut self,
        mut each: impl FnMut(PageNumber, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let size = self.page_size;
        match &mut self.images {
            Images::Memory { first, bytes } => self.pages.iter().try_for_each(|&(page, frame)| {
                let frames = (frame - *first) as usize;
                let start = frames * (FRAME_HEADER_BYTES + size.bytes()) + FRAME_HEADER_BYTES;
                each(page, &bytes[start..start + size.bytes()])
            }),
            Images::Log { file, paths, buffer } => {
                read_runs(file, paths, size, self.pages, buffer, each)
            }
        }
    }
}

/// Reads the pages from the log, consecutive frames with one call as far as the buffer allows.
pub(crate) fn read_runs<E: From<Error>>(
    file: &File,
    paths: &Paths,
    size: PageSize,
    pages: &[Located],
    buffer: &mut Vec<u8>,
    mut each: impl FnMut(PageNumber, &[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let whole = FRAME_HEADER_BYTES + size.bytes();
    let at_once = (WINDOW_BYTES / whole).max(1);
    let io = |source| Error::Io { doing: "read", path: paths.wal.clone(), source };
    let mut rest = pages;
    while let Some(&(_, first)) = rest.first() {
        let run = rest
            .iter()
            .zip(first..)
            .take(at_once)
            .take_while(|&(&(_, frame), expected)| frame == expected)
            .count();
        let (now, later) = rest.split_at(run);
        let offset = frame_offset(first, size).unwrap_or(0);
        let length = usize::try_from(frame_bytes(size)).unwrap_or(whole) * run;
        buffer.resize(length, 0);
        if read_up_to(file, buffer, offset).map_err(io)? < length {
            let short = std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
            return Err(io(short).into());
        }
        for (&(page, _), frame) in now.iter().zip(buffer.chunks_exact(whole)) {
            each(page, &frame[FRAME_HEADER_BYTES..])?;
        }
        rest = later;
    }
    Ok(())
}

/// Leaves the newest frame of each page, in ascending order of pages, without those beyond the end of the database.
pub(crate) fn newest(pages: &mut Vec<Located>, database_pages: u32) {
    pages.sort_unstable_by_key(|&(page, frame)| (page, std::cmp::Reverse(frame)));
    pages.dedup_by_key(|&mut (page, _)| page);
    pages.retain(|&(page, _)| page.get() <= database_pages);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_written_twice_counts_once_and_a_page_cut_off_not_at_all() {
        let page = |number| PageNumber::new(number).unwrap();
        let mut pages = vec![(page(3), 1), (page(1), 2), (page(3), 3), (page(9), 4)];
        newest(&mut pages, 8);
        assert_eq!(pages, [(page(1), 2), (page(3), 3)]);
    }
}
