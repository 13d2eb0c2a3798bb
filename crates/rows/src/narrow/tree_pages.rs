//! Whether any page of an index's tree changed, which is how a table WITHOUT ROWID is kept. Its keys are not read, so the
//! tree is walked down to the parents of the leaves.

use std::collections::BTreeSet;

use super::super::btree::{DEPTH_MAX, Node};
use super::super::error::RowsError;
use super::paged::Paged;

/// A tree with more interior pages is not walked: it may have changed.
const INTERIOR_MAX: usize = 1024;

/// Whether one of these pages, which ascend, may be in the tree.
pub(super) fn has_one(side: &Paged<'_>, root: u32, pages: &[u32]) -> Result<bool, RowsError> {
    let is_one = |page: &u32| pages.binary_search(page).is_ok();
    let (mut level, mut walked) = (vec![root], 0);
    for _ in 0..DEPTH_MAX {
        if level.iter().any(is_one) {
            return Ok(true);
        }
        // All leaves are equally deep.
        let first = level.first().and_then(|first| side.page(*first).transpose()).transpose()?;
        let first = first.zip(level.first()).and_then(|(page, number)| Node::of(*number, &page));
        match first {
            Some(Node::IndexLeaf) => return Ok(false),
            Some(Node::IndexInterior(_)) => {}
            _ => return Ok(true),
        }
        walked += level.len();
        if walked > INTERIOR_MAX {
            return Ok(true);
        }
        let (mut below, mut is_sound) = (BTreeSet::new(), true);
        side.each(&level, |number, page| match Node::of(number, page) {
            Some(Node::IndexInterior(children)) => below.extend(children),
            _ => is_sound = false,
        })?;
        if !is_sound {
            return Ok(true);
        }
        level = below.into_iter().collect();
    }
    Ok(true)
}
