//! A side whose pages can be read one by one.

use std::fmt;
use std::io;

use super::super::diff::Side;
use super::super::error::RowsError;

/// Reads these pages; each is there.
pub type ReadPages<'a> = &'a dyn Fn(&[u32]) -> io::Result<Vec<Vec<u8>>>;

/// So many pages are read at once.
const AT_ONCE: usize = 256;

/// A side whose pages can be read one by one, as its connection reads them.
#[derive(Clone, Copy)]
pub struct Paged<'a> {
    /// The side.
    pub side: Side<'a>,
    /// The size of a page.
    pub page_bytes: usize,
    /// How many pages there are.
    pub pages: u32,
    /// Reads several pages.
    pub read: ReadPages<'a>,
}

impl fmt::Debug for Paged<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Paged").field("pages", &self.pages).finish_non_exhaustive()
    }
}

impl Paged<'_> {
    /// These pages, as many at once as memory should have; `each` gets the number and the bytes. Those that there are not
    /// are left out.
    pub(super) fn each(
        &self,
        numbers: &[u32],
        mut each: impl FnMut(u32, &[u8]),
    ) -> Result<(), RowsError> {
        let there: Vec<u32> =
            numbers.iter().copied().filter(|number| (1..=self.pages).contains(number)).collect();
        for numbers in there.chunks(AT_ONCE) {
            let pages = (self.read)(numbers).map_err(RowsError::Page)?;
            for (number, page) in numbers.iter().zip(&pages) {
                each(*number, page);
            }
        }
        Ok(())
    }

    /// One page, if it is there.
    pub(super) fn page(&self, number: u32) -> Result<Option<Vec<u8>>, RowsError> {
        let mut found = None;
        self.each(&[number], |_, page| found = Some(page.to_vec()))?;
        Ok(found)
    }
}
