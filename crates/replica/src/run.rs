//! Runs of consecutive pages: which pages an entry carries.

use ebbtide_wal::{PageNumber, PageSize, lock_page};

/// The most pages that a database can have (SQLite, *Implementation Limits*, 13).
pub const DATABASE_PAGES_MAX: u32 = 0xffff_fffe;

/// How many pages of a database of `database_pages` pages a replica holds: all but the lock page.
#[must_use]
pub fn data_pages(database_pages: u32, page_size: PageSize) -> u32 {
    if database_pages >= lock_page(page_size).get() { database_pages - 1 } else { database_pages }
}

/// At least one page, and the pages that follow it without a gap, none beyond [`DATABASE_PAGES_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Run {
    first: PageNumber,
    count: u32,
}

impl Run {
    /// The run of `count` pages from `first` on, if there is such a run.
    #[must_use]
    pub fn new(first: PageNumber, count: u32) -> Option<Run> {
        let last = first.get().checked_add(count.checked_sub(1)?)?;
        (last <= DATABASE_PAGES_MAX).then_some(Run { first, count })
    }

    /// Its first page.
    #[must_use]
    pub const fn first(self) -> PageNumber {
        self.first
    }

    /// How many pages it has, at least one.
    #[must_use]
    pub const fn count(self) -> u32 {
        self.count
    }

    /// Its last page.
    #[must_use]
    pub fn last(self) -> PageNumber {
        PageNumber::new(self.first.get() + (self.count - 1)).expect("it is not before the first")
    }

    /// Whether `page` is one of its pages.
    #[must_use]
    pub fn contains(self, page: PageNumber) -> bool {
        (self.first..=self.last()).contains(&page)
    }

    /// Its pages in ascending order.
    pub fn pages(self) -> impl DoubleEndedIterator<Item = PageNumber> + Clone {
        (self.first.get()..=self.last().get()).filter_map(PageNumber::new)
    }

    /// Adds `page`, which comes after all pages of `runs`, to the last run or as a new one.
    pub(crate) fn push(runs: &mut Vec<Run>, page: PageNumber) {
        match runs.last_mut() {
            Some(run) if run.last().get() + 1 == page.get() => run.count += 1,
            _ => runs.push(Run { first: page, count: 1 }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(number: u32) -> PageNumber {
        PageNumber::new(number).unwrap()
    }

    #[test]
    fn there_is_no_run_without_pages_or_beyond_the_last_page() {
        assert_eq!(Run::new(page(1), 0), None);
        assert_eq!(Run::new(page(u32::MAX), 1), None);
        assert_eq!(Run::new(page(2), u32::MAX), None);
        let whole = Run::new(page(1), DATABASE_PAGES_MAX).unwrap();
        assert_eq!(whole.last().get(), DATABASE_PAGES_MAX);
        assert_eq!(Run::new(page(DATABASE_PAGES_MAX), 1).unwrap().pages().count(), 1);
    }

    #[test]
    fn consecutive_pages_become_one_run() {
        let mut runs = Vec::new();
        for number in [1, 2, 3, 7, 9, 10] {
            Run::push(&mut runs, page(number));
        }
        let expected = [(1, 3), (7, 1), (9, 2)].map(|(first, n)| Run::new(page(first), n).unwrap());
        assert_eq!(runs, expected);
        assert!(runs[0].contains(page(3)) && !runs[0].contains(page(4)));
    }

    #[test]
    fn the_lock_page_is_not_counted() {
        let size = PageSize::new(65536).unwrap();
        let lock = lock_page(size).get();
        assert_eq!(data_pages(lock - 1, size), lock - 1);
        assert_eq!(data_pages(lock, size), lock - 1);
        assert_eq!(data_pages(lock + 1, size), lock);
    }
}
