//! The pages that changed, by what they are on each side.

use super::super::btree::{Node, u32_at};
use super::super::error::RowsError;
use super::paged::Paged;

/// So many pages of each side are in memory at once.
const AT_ONCE: usize = 256;

/// SQLite locks bytes of the page that begins here, and never uses it.
const LOCK_BYTE: usize = 0x4000_0000;

/// The place of the number that is not zero where pages have pointers to their parents, in the header of the database.
const AUTO_VACUUM_AT: usize = 52;

/// The place of the number of bytes at the end of each page that are not SQLite's.
const RESERVED_AT: usize = 20;

/// A page of a table's tree, or one that looks like it.
#[derive(Debug)]
pub(super) struct TablePage {
    pub(super) number: u32,
    pub(super) node: Node,
}

impl TablePage {
    /// A rowid by which SQLite would come to the page; only a root has none.
    pub(super) fn rowid(&self) -> Option<i64> {
        match &self.node {
            Node::Leaf(bounds) => bounds.map(|(first, _)| first),
            Node::Interior { cells, .. } => cells.first().map(|(_, rowid)| *rowid),
            _ => None,
        }
    }
}

/// The pages that differ.
#[derive(Debug, Default)]
pub(super) struct Touched {
    /// Those whose bytes differ, or that only one side has; ascending.
    pub(super) pages: Vec<u32>,
    /// Those that look like a table's on the old side, and on the new one.
    pub(super) tables: [Vec<TablePage>; 2],
    /// Those that look like an index's on one side, or that cannot be read as what they look like.
    pub(super) has_index_pages: bool,
    /// Those that look like no tree's on both sides.
    pub(super) overflow: Vec<u32>,
}

impl Touched {
    /// Looks at the pages that may have changed, which ascend.
    pub(super) fn look(sides: [&Paged<'_>; 2], changed: &[u32]) -> Result<Touched, RowsError> {
        let mut touched = Touched::default();
        let maps = [pointer_maps(sides[0])?, pointer_maps(sides[1])?];
        for changed in changed.chunks(AT_ONCE) {
            let mut images: [Vec<Option<Vec<u8>>>; 2] =
                [vec![None; changed.len()], vec![None; changed.len()]];
            for (side, images) in sides.iter().zip(&mut images) {
                side.each(changed, |number, page| {
                    if let Ok(at) = changed.binary_search(&number) {
                        images[at] = Some(page.to_vec());
                    }
                })?;
            }
            for (at, number) in changed.iter().enumerate() {
                let images = [images[0][at].as_deref(), images[1][at].as_deref()];
                touched.note(*number, images, &maps);
            }
        }
        Ok(touched)
    }

    fn note(&mut self, number: u32, images: [Option<&[u8]>; 2], maps: &[PointerMaps; 2]) {
        if images[0] == images[1] {
            return;
        }
        self.pages.push(number);
        let mut others = 0;
        for side in 0..2 {
            let Some(page) = images[side].filter(|_| !maps[side].is_of_none(number)) else {
                continue;
            };
            match Node::of(number, page) {
                Some(node @ (Node::Leaf(_) | Node::Interior { .. })) => {
                    self.tables[side].push(TablePage { number, node });
                }
                Some(Node::Other) => others += 1,
                // What looks like a table's page and is none can be free, or somebody's whose tree is not sound.
                None => {
                    self.tables[side].push(TablePage { number, node: Node::Other });
                    self.has_index_pages = true;
                }
                Some(Node::IndexInterior(_) | Node::IndexLeaf) => self.has_index_pages = true,
            }
        }
        if others == 2 {
            self.overflow.push(number);
        }
    }
}

/// Where the pages are that belong to no tree and to no value.
struct PointerMaps {
    /// How many pages the first pointer map and those after it are apart; nothing without pointer maps.
    apart: Option<u32>,
    lock_page: u32,
}

fn pointer_maps(side: &Paged<'_>) -> Result<PointerMaps, RowsError> {
    let header = side.page(1)?.unwrap_or_default();
    let reserved = header.get(RESERVED_AT).copied().unwrap_or(0);
    let usable = side.page_bytes.saturating_sub(usize::from(reserved));
    let has = u32_at(&header, AUTO_VACUUM_AT).is_some_and(|root| root != 0);
    let apart = u32::try_from(usable / 5 + 1).ok().filter(|_| has);
    let lock_page = u32::try_from(LOCK_BYTE / side.page_bytes.max(1) + 1).unwrap_or(0);
    Ok(PointerMaps { apart, lock_page })
}

impl PointerMaps {
    fn is_of_none(&self, number: u32) -> bool {
        if number == self.lock_page {
            return true;
        }
        let Some(apart) = self.apart.filter(|_| number >= 2) else { return false };
        // As `ptrmapPageno` in SQLite's btree.c.
        let map = (number - 2) / apart * apart + 2;
        number == if map == self.lock_page { map + 1 } else { map }
    }
}
