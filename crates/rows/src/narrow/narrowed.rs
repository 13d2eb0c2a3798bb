//! Which rows can differ.

use std::collections::{BTreeMap, BTreeSet};

use super::super::btree::Node;
use super::super::error::RowsError;
use super::super::extent::{Extent, Extents};
use super::super::schema::Schema;
use super::super::table::{Table, TableKind};
use super::doubt::Doubt;
use super::free_pages::free_pages;
use super::paged::Paged;
use super::tables::{Place, child_bounds, places};
use super::touched::{TablePage, Touched};
use super::tree_pages::has_one;
use super::trees::{Tree, trees};

/// From this number on the first byte of an overflow page, which begins with the number of the next one, can be that of a
/// page of a tree.
const PAGES_MAX: u32 = 0x0200_0000;

/// Of more changed pages it is not asked which they are.
const CHANGED_MAX: usize = 1 << 20;

/// Which rows can differ between two states.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Narrow {
    /// By table.
    pub extents: Extents,
    /// Pages that differ and seem to be parts of long values on both sides. Only if each belongs to a row that is compared
    /// anyway, on one of the sides, is that all that can differ.
    pub overflow: Vec<u32>,
    /// How many pages differ.
    pub pages: usize,
}

/// Looks which rows can differ between two states of one database, of which nothing but these pages, which ascend, can
/// differ.
///
/// # Errors
/// When a page or the schema cannot be read.
pub fn narrow(
    old: &Paged<'_>,
    new: &Paged<'_>,
    changed: &[u32],
) -> Result<Result<Narrow, Doubt>, RowsError> {
    if old.pages == 0 || new.pages == 0 || old.page_bytes != new.page_bytes {
        return Ok(Err(Doubt::OtherShape));
    }
    if old.pages.max(new.pages) >= PAGES_MAX {
        return Ok(Err(Doubt::Large));
    }
    if changed.len() > CHANGED_MAX {
        return Ok(Err(Doubt::Pages(changed.len())));
    }
    let touched = Touched::look([old, new], changed)?;
    let sides = [Placed::new(old, &touched.tables[0])?, Placed::new(new, &touched.tables[1])?];
    let strangers: [Vec<u32>; 2] = [sides[0].strangers(), sides[1].strangers()];
    let overflow = match unfree([old, new], &strangers, &touched.overflow)? {
        Ok(overflow) => overflow,
        Err(doubt) => return Ok(Err(doubt)),
    };
    let extents = extents(&sides, &touched)?;
    Ok(Ok(Narrow { extents, overflow, pages: touched.pages.len() }))
}

/// Strangers must be free. Gives those of the pages of values that are not, on either side.
fn unfree(
    sides: [&Paged<'_>; 2],
    strangers: &[Vec<u32>; 2],
    overflow: &[u32],
) -> Result<Result<Vec<u32>, Doubt>, RowsError> {
    let mut left = overflow.to_vec();
    for (side, strangers) in sides.into_iter().zip(strangers) {
        if strangers.is_empty() && left.is_empty() {
            continue;
        }
        let Some(free) = free_pages(side)? else { return Ok(Err(Doubt::FreePages)) };
        let is_free = |page: &u32| free.binary_search(page).is_ok();
        if let Some(stranger) = strangers.iter().find(|page| !is_free(page)) {
            return Ok(Err(Doubt::Stranger(*stranger)));
        }
        left.retain(|page| !is_free(page));
    }
    Ok(Ok(left))
}

/// One side, and where the changed pages are in its trees.
struct Placed<'s, 'p> {
    side: &'s Paged<'p>,
    schema: Schema,
    trees: Vec<Tree>,
    pages: &'s [TablePage],
    places: Vec<Option<Place>>,
}

/// The rowids that the changed pages of one tree have, and the children that they name.
#[derive(Default)]
struct Named {
    leaves: Vec<(i64, i64)>,
    children: BTreeMap<u32, (i64, i64)>,
}

impl<'s, 'p> Placed<'s, 'p> {
    fn new(side: &'s Paged<'p>, pages: &'s [TablePage]) -> Result<Placed<'s, 'p>, RowsError> {
        let schema = Schema::read(side.side.connection, side.side.schema)?;
        let trees = trees(side)?;
        // Keys of tables WITHOUT ROWID are no rowids.
        let has_rowids = |tree: &Tree| {
            let table = tree.table.as_ref().and_then(|table| schema.table(table));
            table.is_none_or(|table| !table.is_without_rowid)
        };
        let (searched, others): (Vec<Tree>, Vec<Tree>) = trees.into_iter().partition(has_rowids);
        let places = places(side, &searched, pages)?;
        let trees = searched.into_iter().chain(others).collect();
        Ok(Placed { side, schema, trees, pages, places })
    }

    /// Pages that look like a table's and are in no tree.
    fn strangers(&self) -> Vec<u32> {
        let pages = self.pages.iter().zip(&self.places);
        pages.filter(|(_, place)| place.is_none()).map(|(page, _)| page.number).collect()
    }

    fn root(&self, table: &str) -> Option<u32> {
        let is_it =
            |tree: &&Tree| tree.table.as_ref().is_some_and(|name| name.eq_ignore_ascii_case(table));
        self.trees.iter().find(is_it).map(|tree| tree.root)
    }

    fn named(&self, root: u32) -> Named {
        let mut named = Named::default();
        for (page, place) in self.pages.iter().zip(&self.places) {
            let Some(place) = place.filter(|place| self.trees[place.tree].root == root) else {
                continue;
            };
            match &page.node {
                Node::Leaf(bounds) => named.leaves.extend(bounds),
                Node::Interior { cells, right } => {
                    let children = cells.iter().map(|(page, _)| *page).chain([*right]);
                    for (at, child) in children.enumerate() {
                        named.children.insert(child, child_bounds(cells, at, place.bounds));
                    }
                }
                _ => {}
            }
        }
        named
    }
}

fn extents(sides: &[Placed<'_, '_>; 2], touched: &Touched) -> Result<Extents, RowsError> {
    let [old, new] = sides;
    let mut extents = Extents::default();
    let is_schema_same = old.schema.cookie == new.schema.cookie;
    for table in &new.schema.tables {
        let before = old
            .schema
            .table(&table.name)
            .filter(|before| before.sql == table.sql && before.kind == table.kind);
        let roots = old.root(&table.name).zip(new.root(&table.name));
        let Some((root, _)) = roots.filter(|(old, new)| before.is_some() && old == new) else {
            continue;
        };
        let extent = if table.is_without_rowid {
            let mut is_touched = false;
            for side in sides {
                is_touched = is_touched
                    || (touched.has_index_pages && has_one(side.side, root, &touched.pages)?);
            }
            if is_touched { Extent::All } else { Extent::Nothing }
        } else {
            rowids(table, &old.named(root), &new.named(root), is_schema_same)
        };
        extents.set(&table.name, extent);
    }
    let same_virtual = new.schema.tables.iter().filter(|table| {
        let before = old.schema.table(&table.name);
        matches!(table.kind, TableKind::Virtual { .. })
            && before.is_some_and(|before| before.sql == table.sql && before.kind == table.kind)
    });
    for table in same_virtual {
        if are_shadows_same(sides, table, &extents) {
            extents.set(&table.name, Extent::Nothing);
        }
    }
    Ok(extents)
}

/// The rowids that can differ in a table whose statement and root are the same on both sides.
fn rowids(table: &Table, old: &Named, new: &Named, is_schema_same: bool) -> Extent {
    let only = |these: &Named, others: &Named| -> Vec<(i64, i64)> {
        let alone = these.children.iter().filter(|(child, _)| !others.children.contains_key(child));
        alone.map(|(_, bounds)| *bounds).collect()
    };
    let mut ranges: Vec<(i64, i64)> = old.leaves.iter().chain(&new.leaves).copied().collect();
    ranges.extend(only(old, new));
    ranges.extend(only(new, old));
    if ranges.is_empty() {
        return Extent::Nothing;
    }
    // Rowids that no column shows may have been given out again.
    if table.integer_primary_key.is_none() && !is_schema_same {
        return Extent::All;
    }
    Extent::Rowids(merged(ranges))
}

/// Ranges that ascend and do not touch.
fn merged(mut ranges: Vec<(i64, i64)>) -> Vec<(i64, i64)> {
    ranges.retain(|(first, last)| first <= last);
    ranges.sort_unstable();
    let mut merged: Vec<(i64, i64)> = Vec::new();
    for (first, last) in ranges {
        match merged.last_mut().filter(|before| before.1.saturating_add(1) >= first) {
            Some(before) => before.1 = before.1.max(last),
            None => merged.push((first, last)),
        }
    }
    merged
}

/// Whether a virtual table keeps its rows in tables of which none changed.
fn are_shadows_same(sides: &[Placed<'_, '_>; 2], table: &Table, extents: &Extents) -> bool {
    let prefix = format!("{}_", table.name.to_ascii_lowercase());
    let names = |schema: &Schema| -> BTreeSet<String> {
        let shadows = schema.tables.iter().filter(|table| table.kind == TableKind::Shadow);
        let names = shadows.map(|table| table.name.to_ascii_lowercase());
        names.filter(|name| name.starts_with(&prefix)).collect()
    };
    let (old, new) = (names(&sides[0].schema), names(&sides[1].schema));
    !new.is_empty() && old == new && new.iter().all(|name| *extents.of(name) == Extent::Nothing)
}
