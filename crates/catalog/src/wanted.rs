//! Which pages are still wanted while objects are gone through from the newest to the oldest: the newest image of a page
//! wins, and each page is written once.

use ebbtide_replica::container::Index;
use ebbtide_replica::{Run, data_pages};
use ebbtide_wal::{PageNumber, PageSize, lock_page};

use crate::plan::Part;

/// One bit for each page of the database.
#[derive(Debug)]
pub struct Wanted {
    taken: Vec<u64>,
    lock_page: PageNumber,
    /// Older images of pages beyond this are not of this database: it was shorter in between.
    limit: u32,
    left: u64,
}

impl Wanted {
    /// All pages of a database of `database_pages` pages.
    #[must_use]
    pub fn new(database_pages: u32, page_size: PageSize) -> Wanted {
        Wanted {
            taken: vec![0; (database_pages as usize).div_ceil(64)],
            lock_page: lock_page(page_size),
            limit: database_pages,
            left: u64::from(data_pages(database_pages, page_size)),
        }
    }

    /// Goes back to an entry after which the database had `database_pages` pages.
    pub fn go_back_to(&mut self, database_pages: u32) {
        self.limit = self.limit.min(database_pages);
    }

    /// Takes the image of `page` at hand, if it is wanted: the first time it is.
    pub fn take(&mut self, page: PageNumber) -> bool {
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

    /// Takes those of consecutive pages that are wanted; how many those were.
    pub fn take_run(&mut self, run: Run) -> u64 {
        let (first, last) = (run.first().get(), run.last().get().min(self.limit));
        let mut taken = 0;
        let mut next = u64::from(first - 1);
        // A word at a time: a snapshot of a tebibyte has pages by the hundred million.
        while next < u64::from(last) {
            let (word, bit) = ((next / 64) as usize, next % 64);
            let count = (u64::from(last) - next).min(64 - bit);
            let mask = (u64::MAX >> (64 - count)) << bit;
            taken += u64::from((mask & !self.taken[word]).count_ones());
            self.taken[word] |= mask;
            next += count;
        }
        self.left -= taken;
        taken
    }

    /// Leaves the entries of a part behind, also those that have no pages.
    pub fn leave(&mut self, part: &Part, index: &Index) {
        let applied = index.entries().iter().filter(|entry| part.applies(entry.txid));
        if let Some(least) = applied.map(|entry| entry.database_pages).min() {
            self.go_back_to(least);
        }
    }

    /// The last page that is wanted from what is still to come; pages beyond it were cut off in between.
    #[must_use]
    pub fn limit(&self) -> u32 {
        self.limit
    }

    /// How many pages are still wanted.
    #[must_use]
    pub fn left(&self) -> u64 {
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

    #[test]
    fn a_run_is_taken_as_its_pages_are_one_by_one() {
        let size = PageSize::new(4096).unwrap();
        for (first, count) in [(1, 1), (1, 64), (2, 64), (63, 3), (60, 200), (1, 300), (257, 44)] {
            let (mut one, mut other) = (Wanted::new(300, size), Wanted::new(300, size));
            for number in [3, 64, 65, 128, 250] {
                assert!(one.take(page(number)) && other.take(page(number)));
            }
            one.go_back_to(260);
            other.go_back_to(260);
            let run = Run::new(page(first), count).unwrap();
            let taken = run.pages().filter(|&page| one.take(page)).count() as u64;
            assert_eq!(other.take_run(run), taken, "{first} {count}");
            assert_eq!((one.taken, one.left), (other.taken, other.left));
        }
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
