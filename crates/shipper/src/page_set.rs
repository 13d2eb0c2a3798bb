//! A set of pages: one bit for each, in chunks that are there only where there are pages, because most of a large database
//! stays as it is for a day.

use std::ops::Range;

use ebbtide_wal::PageNumber;

const WORDS: usize = 64;
const CHUNK_PAGES: u32 = 4096;
const _: () = assert!(CHUNK_PAGES as usize == WORDS * u64::BITS as usize);

/// The set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct PageSet {
    /// By their numbers, up to the last one that has a page: eight bytes for each 4,096 pages of a database.
    chunks: Vec<Option<Box<[u64; WORDS]>>>,
    len: u32,
}

impl PageSet {
    /// Adds a page. Whether it is new.
    pub(crate) fn insert(&mut self, page: PageNumber) -> bool {
        let row = page.get() - 1;
        let number = (row / CHUNK_PAGES) as usize;
        if self.chunks.len() <= number {
            self.chunks.resize(number + 1, None);
        }
        let chunk = self.chunks[number].get_or_insert_with(|| Box::new([0; WORDS]));
        let bit = row % CHUNK_PAGES;
        let (word, mask) = (&mut chunk[(bit / u64::BITS) as usize], 1 << (bit % u64::BITS));
        let is_new = *word & mask == 0;
        *word |= mask;
        self.len += u32::from(is_new);
        is_new
    }

    /// How many there are.
    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    /// The ranges of pages up to `last`, ascending and apart from each other.
    pub(crate) fn ranges(&self, last: u32) -> Vec<Range<u32>> {
        let mut ranges: Vec<Range<u32>> = Vec::new();
        let chunks = (1..).step_by(CHUNK_PAGES as usize).zip(&self.chunks);
        let words = chunks.flat_map(|(first, words)| {
            let words = words.iter().flat_map(|words| words.iter().copied());
            (first..).step_by(u64::BITS as usize).zip(words)
        });
        for (first, mut word) in words {
            while word != 0 {
                let page = first + word.trailing_zeros();
                word &= word - 1;
                if page > last {
                    return ranges;
                }
                match ranges.last_mut() {
                    Some(range) if range.end == page => range.end += 1,
                    _ => ranges.push(page..page + 1),
                }
            }
        }
        ranges
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use ebbtide_testkit::Random;

    use super::*;

    #[test]
    fn it_has_what_was_put_in_and_nothing_else() {
        let mut random = Random::new(7);
        let (mut set, mut pages) = (PageSet::default(), BTreeSet::new());
        for number in 0..3000 {
            let page = match number % 3 {
                0 => random.between(1, 500),
                1 => random.between(CHUNK_PAGES - 70, CHUNK_PAGES + 70),
                _ => u32::MAX - 1 - random.below(100),
            };
            let is_new = set.insert(PageNumber::new(page).unwrap());
            assert_eq!(is_new, pages.insert(page));
        }
        assert_eq!(set.len() as usize, pages.len());
        for last in [0, 1, 300, CHUNK_PAGES, u32::MAX - 2] {
            let ranges = set.ranges(last);
            assert!(ranges.windows(2).all(|pair| pair[0].end < pair[1].start));
            let found: BTreeSet<u32> = ranges.into_iter().flatten().collect();
            assert_eq!(found, pages.iter().copied().filter(|page| *page <= last).collect());
        }
    }
}
