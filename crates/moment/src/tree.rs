//! The order of a b-tree's pages: an interior page names its children, so that who reads two of them in order will
//! probably read the next ones, wherever they lie in the file.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use ebbtide_wal::PageNumber;

/// How many interior pages are remembered.
const PARENTS_MAX: usize = 64;

/// How many children are read ahead at first, and at most.
const AHEAD_MIN: usize = 4;
const AHEAD_MAX: usize = 512;

/// How many children are read ahead at most that are interior pages themselves: each has hundreds of its own, and lies in
/// a block among leaves whose turn comes long after.
const AHEAD_INTERIOR_MAX: usize = AHEAD_MIN;

/// Interior pages that were read, and who reads on from them.
#[derive(Debug, Default)]
pub(crate) struct Trees {
    parents: BTreeMap<u32, Parent>,
    /// The oldest first.
    order: VecDeque<u32>,
    /// The parent of a page, and which of its children it is.
    children: BTreeMap<u32, (u32, usize)>,
}

#[derive(Debug)]
struct Parent {
    children: Arc<[u32]>,
    /// The child that was read last.
    at: Option<usize>,
    /// Those before this one were asked for.
    end: usize,
    window: usize,
}

impl Trees {
    /// A page was read, with this image: which pages to read ahead. `at_hand` gives pages that are here.
    pub(crate) fn note(
        &mut self,
        page: u32,
        image: &[u8],
        at_hand: impl Fn(u32) -> Option<crate::page::Page>,
    ) -> Vec<u32> {
        self.learn(page, image);
        let Some(&(parent, child)) = self.children.get(&page) else { return Vec::new() };
        let is_interior = self.parents.contains_key(&page);
        let window_max = if is_interior { AHEAD_INTERIOR_MAX } else { AHEAD_MAX };
        self.advance(parent, child, window_max, at_hand)
    }

    /// Of what [`Trees::note`] gave last for `page`, so many from the end were not asked for after all.
    pub(crate) fn give_back(&mut self, page: u32, count: usize) {
        let parent = self.children.get(&page).and_then(|(parent, _)| self.parents.get_mut(parent));
        if let Some(parent) = parent {
            parent.end = parent.end.saturating_sub(count);
            parent.window = (parent.window / 2).max(AHEAD_MIN);
        }
    }

    /// Remembers an interior page. One that is known stays as it is.
    fn learn(&mut self, page: u32, image: &[u8]) {
        if self.parents.contains_key(&page) {
            return;
        }
        let children = children(page, image);
        if children.is_empty() {
            return;
        }
        if self.order.len() >= PARENTS_MAX
            && let Some(oldest) = self.order.pop_front()
            && let Some(forgotten) = self.parents.remove(&oldest)
        {
            for child in &*forgotten.children {
                if self.children.get(child).is_some_and(|(parent, _)| *parent == oldest) {
                    self.children.remove(child);
                }
            }
        }
        self.children.extend((0..).zip(&children).map(|(at, &child)| (child, (page, at))));
        let children = children.into();
        self.order.push_back(page);
        self.parents.insert(page, Parent { children, at: None, end: 0, window: AHEAD_MIN });
    }

    fn advance(
        &mut self,
        page: u32,
        child: usize,
        window_max: usize,
        at_hand: impl Fn(u32) -> Option<crate::page::Page>,
    ) -> Vec<u32> {
        let Some(parent) = self.parents.get_mut(&page) else { return Vec::new() };
        let is_next = match parent.at {
            Some(before) => child == before + 1,
            // What was asked for on behalf of a sibling goes on.
            None => child == 0 && parent.end > 0,
        };
        let is_same = parent.at.replace(child) == Some(child);
        if !is_next || is_same || parent.end.saturating_sub(child + 1) > parent.window / 2 {
            return Vec::new();
        }
        parent.window = (parent.window * 2).min(window_max);
        let begin = parent.end.max(child + 1);
        let end = (child + 1 + parent.window).min(parent.children.len()).max(begin);
        parent.end = end;
        let mut ahead = parent.children[begin..end].to_vec();
        let (left, window) = ((child + 1 + parent.window).saturating_sub(end), parent.window);
        if left > 0 && end == parent.children.len() {
            ahead.extend(self.go_on_beside(page, left, window, at_hand));
        }
        ahead
    }

    /// The first children of the page beside this one, or that page itself if it is not here yet.
    fn go_on_beside(
        &mut self,
        page: u32,
        count: usize,
        window: usize,
        at_hand: impl Fn(u32) -> Option<crate::page::Page>,
    ) -> Vec<u32> {
        let Some(&(above, at)) = self.children.get(&page) else { return Vec::new() };
        let sibling = self.parents.get(&above).and_then(|above| above.children.get(at + 1));
        let Some(&sibling) = sibling else { return Vec::new() };
        let Some(image) = at_hand(sibling) else { return vec![sibling] };
        self.learn(sibling, &image);
        let Some(parent) = self.parents.get_mut(&sibling) else { return Vec::new() };
        let (begin, end) = (parent.end, count.min(parent.children.len()));
        if begin >= end {
            return Vec::new();
        }
        (parent.end, parent.window) = (end, window);
        parent.children[begin..end].to_vec()
    }
}

/// The children of an interior page, in order; none of any other page (fileformat2.html, 1.6).
pub(crate) fn children(page: u32, image: &[u8]) -> Vec<u32> {
    let header = if page == PageNumber::ONE.get() { 100 } else { 0 };
    let is_interior = matches!(image.get(header), Some(0x02 | 0x05));
    let number = |at: usize| {
        let bytes = image.get(at..at + 4)?.first_chunk()?;
        Some(u32::from_be_bytes(*bytes))
    };
    let short = |at: usize| {
        let bytes = image.get(at..at + 2)?.first_chunk()?;
        Some(usize::from(u16::from_be_bytes(*bytes)))
    };
    let cells = short(header + 3).filter(|_| is_interior).unwrap_or(0);
    let cells = (0..cells).map_while(|cell| short(header + 12 + 2 * cell)).map_while(number);
    let last = number(header + 8).filter(|_| is_interior);
    cells.chain(last).filter(|&child| child > 1).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An interior page with these children.
    fn interior(children: &[u32]) -> Vec<u8> {
        let mut image = vec![0; 4096];
        image[0] = 0x05;
        let cells = u16::try_from(children.len() - 1).unwrap();
        image[3..5].copy_from_slice(&cells.to_be_bytes());
        let (last, cells) = children.split_last().unwrap();
        image[8..12].copy_from_slice(&last.to_be_bytes());
        for (cell, child) in cells.iter().enumerate() {
            let at = 4096 - 5 * (cell + 1);
            let pointer = 12 + 2 * cell;
            image[pointer..pointer + 2].copy_from_slice(&u16::try_from(at).unwrap().to_be_bytes());
            image[at..at + 4].copy_from_slice(&child.to_be_bytes());
        }
        image
    }

    #[test]
    fn children_are_read_from_interior_pages_and_damage_gives_none_or_some() {
        let numbers = [70, 3, 900, 12];
        assert_eq!(children(9, &interior(&numbers)), numbers);
        let mut leaf = interior(&numbers);
        leaf[0] = 0x0d;
        assert!(children(9, &leaf).is_empty());
        let mut wild = interior(&numbers);
        wild[3..5].copy_from_slice(&u16::MAX.to_be_bytes());
        wild[12..14].copy_from_slice(&u16::MAX.to_be_bytes());
        assert_eq!(children(9, &wild), [12], "what leads outside ends it");
        assert!(children(1, &[0x05; 40]).is_empty());
        assert!(children(9, &[]).is_empty());
    }

    /// A table whose leaves lie in no order: all are asked for before they are read, across its interior pages, and once.
    #[test]
    fn a_scan_in_the_order_of_the_tree_is_asked_for_ahead() {
        let leaf = |at: u32| 1000 + at * 7919 % 50_000;
        let parents: Vec<u32> = (2..12).collect();
        let mut images = BTreeMap::from([(500, interior(&parents))]);
        for (at, &parent) in (0..).zip(&parents) {
            let leaves: Vec<u32> = (at * 100..at * 100 + 100).map(leaf).collect();
            images.insert(parent, interior(&leaves));
        }
        let here = |images: &BTreeMap<u32, Vec<u8>>, page: u32| {
            let image = Arc::new(images.get(&page)?.clone());
            crate::page::Page::of(image, 0, 4096)
        };
        let mut trees = Trees::default();
        let mut asked: Vec<u32> = Vec::new();
        let mut late = 0;
        asked.extend(trees.note(500, &images[&500], |page| here(&images, page)));
        for (at, &parent) in (0..).zip(&parents) {
            asked.extend(trees.note(parent, &images[&parent], |page| here(&images, page)));
            for at in at * 100..at * 100 + 100 {
                late += u32::from(!asked.contains(&leaf(at)));
                asked.extend(trees.note(leaf(at), &[0x0d; 4096], |page| here(&images, page)));
            }
        }
        assert!(late <= 3, "{late} were not asked for in time");
        let leaves: Vec<u32> = asked.iter().copied().filter(|&page| page >= 1000).collect();
        let distinct: std::collections::BTreeSet<u32> = leaves.iter().copied().collect();
        assert_eq!(distinct.len(), leaves.len(), "asked for twice");
    }

    /// Would catch a scan that fetches hundreds of interior pages, each in a block of its own, long before their leaves.
    #[test]
    fn interior_pages_are_read_a_few_ahead() {
        let parents: Vec<u32> = (2..302).collect();
        let mut trees = Trees::default();
        trees.note(900_000, &interior(&parents), |_| None);
        for &parent in &parents[..40] {
            let leaves: Vec<u32> = (0..50).map(|leaf| parent * 1000 + leaf).collect();
            let ahead = trees.note(parent, &interior(&leaves), |_| None);
            let farthest = ahead.iter().filter(|page| parents.contains(page)).max();
            let most = u32::try_from(AHEAD_INTERIOR_MAX).unwrap();
            assert!(farthest.is_none_or(|&page| page <= parent + most), "{parent}: {ahead:?}");
        }
    }

    #[test]
    fn lookups_by_key_read_nothing_ahead() {
        let mut trees = Trees::default();
        let root = interior(&(2..400).collect::<Vec<u32>>());
        for child in [50, 7, 300, 12, 199, 201] {
            assert!(trees.note(900, &root, |_| None).is_empty());
            assert!(trees.note(child, &[0x0d; 4096], |_| None).is_empty(), "{child}");
        }
    }
}
