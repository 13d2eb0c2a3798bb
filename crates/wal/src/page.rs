//! Page sizes and page numbers.

use std::fmt;
use std::num::NonZeroU32;

/// The size of a database page in bytes: a power of two from 512 to 65536.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PageSize(u32);

impl PageSize {
    /// The smallest page, 512 bytes.
    pub const MIN: PageSize = PageSize(512);
    /// The largest page, 64 KiB.
    pub const MAX: PageSize = PageSize(65536);

    /// The page size of `bytes` bytes, if it is valid.
    #[must_use]
    pub const fn new(bytes: u32) -> Option<PageSize> {
        if bytes.is_power_of_two() && bytes >= 512 && bytes <= 65536 {
            Some(PageSize(bytes))
        } else {
            None
        }
    }

    /// The page size of bytes 16 and 17 of a database header, where 1 stands for 65536 (fileformat2.html, 1.3.2).
    #[must_use]
    pub const fn from_database_header(field: u16) -> Option<PageSize> {
        if field == 1 { Some(PageSize::MAX) } else { PageSize::new(field as u32) }
    }

    /// In bytes.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// In bytes, for lengths and indexes in memory.
    #[must_use]
    pub const fn bytes(self) -> usize {
        self.0 as usize
    }

    /// In bytes, for offsets in files.
    #[must_use]
    pub const fn offset(self) -> u64 {
        self.0 as u64
    }
}

impl fmt::Display for PageSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number of a page, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PageNumber(NonZeroU32);

impl PageNumber {
    /// The page with the database header.
    pub const ONE: PageNumber = PageNumber(NonZeroU32::MIN);

    /// Page `number`; `None` for 0.
    #[must_use]
    pub const fn new(number: u32) -> Option<PageNumber> {
        match NonZeroU32::new(number) {
            Some(number) => Some(PageNumber(number)),
            None => None,
        }
    }

    /// The number, at least 1.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0.get()
    }

    /// The offset of the page in the database file.
    #[must_use]
    pub const fn offset(self, size: PageSize) -> u64 {
        (self.0.get() as u64 - 1) * size.offset()
    }
}

impl fmt::Display for PageNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The lock-byte page, which contains byte 2^30, the first of SQLite's lock bytes. No log and no replica has it; in a
/// larger database it is all zeros (fileformat2.html, 1.4).
#[must_use]
pub const fn lock_page(size: PageSize) -> PageNumber {
    match PageNumber::new(0x4000_0000 / size.get() + 1) {
        Some(page) => page,
        None => PageNumber::ONE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_eight_sizes_of_sqlite_are_page_sizes() {
        let sizes: Vec<u32> = (0..=131_072).filter(|&n| PageSize::new(n).is_some()).collect();
        assert_eq!(sizes, [512, 1024, 2048, 4096, 8192, 16384, 32768, 65536]);
        assert_eq!(PageSize::from_database_header(1), Some(PageSize::MAX));
    }

    #[test]
    fn the_lock_page_lies_at_one_gibibyte() {
        for (size, page) in [(512, 2_097_153), (4096, 262_145), (65536, 16_385)] {
            let size = PageSize::new(size).unwrap();
            assert_eq!(lock_page(size).get(), page);
            assert_eq!(lock_page(size).offset(size), 0x4000_0000);
        }
    }
}
