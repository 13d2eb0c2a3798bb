//! Which pages are still wanted while objects are gone through from the newest to the oldest: the newest image of a page
//! wins, and each page is written once.

use ebbtide_replica::data_pages;
use ebbtide_wal::{PageNumber, PageSize, lock_page};

/// One bit for each page of the database.
#[derive(Debug)]
pub(crate) struct Wanted {
    taken: Vec<u64>,
    lock_page: PageNumber,
    /// Older images of pages beyond this are not of this database: it was shorter in between.
    limit: u32,
    left: u64,
}

impl Wanted {
    /// All pages of a database of `database_pages` pages.
    pub(crate) fn new(database_pages: u32, page_size: PageSize) -> Wanted {
        Wanted {
            taken: vec![0; (database_pages as usize).div_ceil(64)],
            lock_page: lock_page(page_size),
            limit: database_pages,
            left: u64::from(data_pages(database_pages, page_size)),
        }
    }

    /// Goes back to an entry after which the database had `database_pages` pages.
    pub(crate) fn go_back_to(&mut self, database_pages: u32) {
        self.limit = self.limit.min(database_pages);
    }

    /// Takes the image of `page` at hand, if it is wanted: the first time it is.
    pub(crate) fn take(&mut self, page: PageNumber) -> bool {
        if page.get() > self.limit || page == self.lock_page {
            return false;
        }
        let bit = page.get() as usize - 1;
        let (word, mask) = (&mut self.taken[bit / 64], 1 << (bit % 64));
        if *word & mask != 0 {
            return false;
        }
        *word |= mask;
        self.left -= 1;
        true
    }

    /// How many pages are still wanted.
    pub(crate) fn left(&self) -> u64 {
        self.left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(number: u32) -> PageNumber {
        PageNumber::new(number).unwrap()
    }

    #[test]
    fn each_page_is_taken_once_and_the_lock_page_never() {
        let size = PageSize::new(65536).unwrap();
        let lock = lock_page(size);
        let mut wanted = Wanted::new(lock.get() + 1, size);
        assert_eq!(wanted.left(), u64::from(lock.get()));
        for number in 1..=lock.get() + 1 {
            assert_eq!(wanted.take(page(number)), page(number) != lock);
            assert!(!wanted.take(page(number)));
        }
        assert_eq!(wanted.left(), 0);
        assert!(!wanted.take(page(lock.get() + 2)));
    }

    /// A database that shrank and grew again must not get back what was beyond its end in between.
    #[test]
    fn what_was_cut_off_is_not_wanted_from_before() {
        let mut wanted = Wanted::new(10, PageSize::new(4096).unwrap());
        assert!(wanted.take(page(10)));
        wanted.go_back_to(5);
        wanted.go_back_to(12);
        assert!(!wanted.take(page(6)));
        assert!(wanted.take(page(5)));
        assert_eq!(wanted.left(), 8);
    }
}
