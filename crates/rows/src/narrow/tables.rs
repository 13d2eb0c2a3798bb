//! Which table each of the changed pages belongs to.
//!
//! Several pages are looked for at once, and in several trees: from the roots down, each level is read together.

use std::collections::BTreeMap;

use super::super::btree::{DEPTH_MAX, Node};
use super::super::error::RowsError;
use super::paged::Paged;
use super::touched::TablePage;
use super::trees::Tree;

/// Trees that are searched together.
const TREES_AT_ONCE: usize = 16;

/// Where a page was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// The tree.
    pub(super) tree: usize,
    /// The least and the greatest rowid that can be below the page.
    pub(super) bounds: (i64, i64),
}

/// The place of each page; nothing for a page that is in none of the trees.
pub(super) fn places(
    side: &Paged<'_>,
    trees: &[Tree],
    pages: &[TablePage],
) -> Result<Vec<Option<Place>>, RowsError> {
    let mut found = vec![None; pages.len()];
    let mut tree = 0;
    for together in trees.chunks(TREES_AT_ONCE) {
        let wanted: Vec<usize> = (0..pages.len()).filter(|at| found[*at].is_none()).collect();
        if wanted.is_empty() {
            break;
        }
        let mut search = Search { side, pages, found: &mut found };
        let roots = together.iter().enumerate().map(|(at, other)| Descent {
            tree: tree + at,
            page: other.root,
            bounds: (i64::MIN, i64::MAX),
            wanted: wanted.clone(),
        });
        search.down(roots.collect())?;
        tree += together.len();
    }
    Ok(found)
}

/// A page on the way, and what is looked for below it.
struct Descent {
    tree: usize,
    page: u32,
    bounds: (i64, i64),
    wanted: Vec<usize>,
}

struct Search<'s, 'p> {
    side: &'s Paged<'p>,
    pages: &'s [TablePage],
    found: &'s mut Vec<Option<Place>>,
}

impl Search<'_, '_> {
    fn down(&mut self, mut steps: Vec<Descent>) -> Result<(), RowsError> {
        for _ in 0..DEPTH_MAX {
            let mut leaf_level = Vec::new();
            for step in &mut steps {
                if self.arrive(step) {
                    leaf_level.push(step.tree);
                }
            }
            steps.retain(|step| !step.wanted.is_empty() && !leaf_level.contains(&step.tree));
            if steps.is_empty() {
                return Ok(());
            }
            self.leave_leaves(&mut steps)?;
            let mut below = Vec::new();
            let numbers: Vec<u32> = steps.iter().map(|step| step.page).collect();
            let mut nodes = BTreeMap::new();
            self.side.each(&numbers, |number, page| {
                nodes.insert(number, Node::of(number, page));
            })?;
            for step in &steps {
                if let Some(Some(Node::Interior { cells, right })) = nodes.get(&step.page) {
                    self.part(step, cells, *right, &mut below);
                }
            }
            steps = below;
        }
        Ok(())
    }

    /// Notes what is found with this page, and no longer looks for it; whether that is a leaf.
    fn arrive(&mut self, step: &mut Descent) -> bool {
        let mut is_leaf = false;
        let (pages, found) = (self.pages, &mut *self.found);
        step.wanted.retain(|&at| {
            if pages[at].number != step.page {
                return found[at].is_none();
            }
            found[at] = Some(Place { tree: step.tree, bounds: step.bounds });
            is_leaf |= matches!(pages[at].node, Node::Leaf(_));
            false
        });
        is_leaf
    }

    /// All leaves of a tree are equally deep: one page tells whether those of this level are leaves, which need not be read,
    /// because they are not what is looked for.
    fn leave_leaves(&mut self, steps: &mut Vec<Descent>) -> Result<(), RowsError> {
        let mut first: BTreeMap<usize, u32> = BTreeMap::new();
        for step in steps.iter() {
            first.entry(step.tree).or_insert(step.page);
        }
        let numbers: Vec<u32> = first.values().copied().collect();
        let mut interior = Vec::new();
        self.side.each(&numbers, |number, page| {
            if matches!(Node::of(number, page), Some(Node::Interior { .. })) {
                interior.push(number);
            }
        })?;
        steps.retain(|step| first.get(&step.tree).is_some_and(|page| interior.contains(page)));
        Ok(())
    }

    /// The steps to the children.
    fn part(&self, step: &Descent, cells: &[(u32, i64)], right: u32, below: &mut Vec<Descent>) {
        let mut by_child: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for &at in &step.wanted {
            if let Some(rowid) = self.pages[at].rowid() {
                let child = cells.partition_point(|(_, bound)| *bound < rowid);
                by_child.entry(child).or_default().push(at);
            }
        }
        below.extend(by_child.into_iter().map(|(child, wanted)| Descent {
            tree: step.tree,
            page: cells.get(child).map_or(right, |(page, _)| *page),
            bounds: child_bounds(cells, child, step.bounds),
            wanted,
        }));
    }
}

/// The least and the greatest rowid below a child.
pub(super) fn child_bounds(cells: &[(u32, i64)], child: usize, within: (i64, i64)) -> (i64, i64) {
    let before = child.checked_sub(1).and_then(|before| cells.get(before));
    let first = before.map_or(within.0, |(_, bound)| bound.saturating_add(1));
    (first, cells.get(child).map_or(within.1, |(_, bound)| *bound))
}
