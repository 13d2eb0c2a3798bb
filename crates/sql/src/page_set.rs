//! A set of pages: those that SQLite read.

use std::collections::BTreeMap;

use ebbtide_wal::PageNumber;

/// A word has a bit for each of so many pages…
const WORD: u32 = 64;
/// …and a part of the set so many words…
const WORDS: usize = 64;
/// …for so many pages, in half a kilobyte.
const PAGES: u32 = 4096;

const _: () = assert!(PAGES as usize == WORD as usize * WORDS);

/// A set of page numbers, in room for what is near to each other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PageSet {
    parts: BTreeMap<u32, Box<[u64; WORDS]>>,
    length: u64,
}

impl PageSet {
    /// Adds a page.
    pub fn insert(&mut self, page: PageNumber) {
        let (part, word, bit) = place(page.get());
        let words = self.parts.entry(part).or_insert_with(|| Box::new([0; WORDS]));
        self.length += u64::from(words[word] & bit == 0);
        words[word] |= bit;
    }

    /// Whether a page is in it.
    #[must_use]
    pub fn contains(&self, page: PageNumber) -> bool {
        let (part, word, bit) = place(page.get());
        self.parts.get(&part).is_some_and(|words| words[word] & bit != 0)
    }

    /// Whether any page from `first` to `last` is in it.
    #[must_use]
    pub fn meets(&self, first: PageNumber, last: PageNumber) -> bool {
        let mut parts = self.parts.range(place(first.get()).0..=place(last.get()).0);
        parts.any(|(&part, words)| {
            let (_, begin, begin_bit) = place(first.get().max(begin(part)));
            let (_, end, end_bit) = place(last.get().min(end(part)));
            // Those from the first page on, and those up to the last.
            let (from, to) = (!(begin_bit - 1), end_bit | (end_bit - 1));
            match &words[begin..=end] {
                [word] => word & from & to != 0,
                [first, between @ .., last] => {
                    first & from != 0 || last & to != 0 || between.iter().any(|word| *word != 0)
                }
                [] => false,
            }
        })
    }

    /// Adds all pages of another set.
    pub fn extend(&mut self, other: &PageSet) {
        other.iter().for_each(|page| self.insert(page));
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.length
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The pages, ascending.
    pub fn iter(&self) -> impl Iterator<Item = PageNumber> {
        let pages = self.parts.iter().flat_map(|(&part, words)| bits(part, words));
        pages.filter_map(PageNumber::new)
    }
}

/// The part, the word and the bit of a page.
fn place(page: u32) -> (u32, usize, u64) {
    (page / PAGES, (page % PAGES / WORD) as usize, 1 << (page % WORD))
}

fn begin(part: u32) -> u32 {
    part.saturating_mul(PAGES)
}

fn end(part: u32) -> u32 {
    begin(part).saturating_add(PAGES - 1)
}

fn bits(part: u32, words: &[u64; WORDS]) -> impl Iterator<Item = u32> {
    let firsts = (begin(part)..).step_by(WORD as usize);
    words.iter().zip(firsts).flat_map(|(&word, first)| {
        (0..WORD).filter(move |bit| word >> bit & 1 != 0).map(move |bit| first + bit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(number: u32) -> PageNumber {
        PageNumber::new(number).unwrap()
    }

    #[test]
    fn a_set_has_what_was_added_in_order_and_once() {
        let mut set = PageSet::default();
        assert!(set.is_empty() && !set.meets(page(1), page(u32::MAX)));
        for number in [70_000, 1, 63, 64, 4095, 4096, 1, u32::MAX, 8191] {
            set.insert(page(number));
        }
        let numbers: Vec<u32> = set.iter().map(PageNumber::get).collect();
        assert_eq!(numbers, [1, 63, 64, 4095, 4096, 8191, 70_000, u32::MAX]);
        assert_eq!(set.len(), 8);
        assert!(set.contains(page(4096)) && !set.contains(page(4097)));
    }

    #[test]
    fn ranges_meet_exactly_the_pages_that_are_there() {
        let mut set = PageSet::default();
        const ALL: [u32; 6] = [5, 63, 64, 4096, 9000, 12_287];
        for number in ALL {
            set.insert(page(number));
        }
        for first in [1, 5, 6, 63, 64, 65, 128, 4095, 4096, 4097, 8999, 9000, 9001, 12_287, 12_288]
        {
            for last in [first, first + 1, first + 57, 4096, 9000, 12_286, 20_000] {
                let expected = ALL.iter().any(|at| (first..=last).contains(at));
                if first <= last {
                    assert_eq!(set.meets(page(first), page(last)), expected, "{first} {last}");
                }
            }
        }
    }
}
