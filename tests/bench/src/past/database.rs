//! A SQLite database of any size that takes no room: each page is made when it is asked for, as SQLite would have written
//! it, out of the number of its rows and of how often each of them was changed.
//!
//! It has two tables, `item (id INTEGER PRIMARY KEY, version INTEGER, body BLOB)` and `tally (id INTEGER PRIMARY KEY,
//! commits INTEGER)`. The leaves of `item` lie behind the page above them, as those of a table do that grew at its end.

use std::borrow::Cow;
use std::collections::HashMap;

use ebbtide_testkit::Random;

use crate::year::replica::Application;

const PAGE: usize = 4096;

/// The page with SQLite's lock bytes has none of ours.
const LOCK_PAGE: u32 = (1 << 30) / 4096 + 1;

const ROWS_A_LEAF: u64 = 16;
const BODY_BYTES: usize = 234;
/// How many leaves, or pages of the level below, an interior page has.
const CHILDREN: u32 = 400;

/// Rows of so many leaves are changed, as far as there are so many.
const HOT_LEAVES: u32 = 25_000;

/// The database.
#[derive(Debug)]
pub(crate) struct Items {
    leaves: u32,
    /// How many pages each level above the leaves has, the lowest first; the last has the root alone.
    levels: Vec<u32>,
    /// Of the bytes of a body, so many are random; the others compress.
    random_bytes: usize,
    versions: HashMap<u64, i64>,
    commits: i64,
    /// The row that is changed by just these commits.
    watched: u64,
    changed_at: Vec<i64>,
}

impl Items {
    /// How many bytes each body has.
    pub(crate) const BODY: u64 = BODY_BYTES as u64;

    /// One of about so many bytes, in whose bodies so many bytes do not compress. The watched row is changed by the commits
    /// with these numbers.
    pub(crate) fn new(bytes: u64, random_bytes: usize, changed_at: Vec<i64>) -> Items {
        let leaves = u32::try_from(bytes / PAGE as u64).unwrap_or(u32::MAX / 2).max(CHILDREN * 2);
        let mut levels = vec![leaves.div_ceil(CHILDREN)];
        while let Some(&last) = levels.last().filter(|&&last| last > 1) {
            levels.push(last.div_ceil(CHILDREN));
        }
        // In the last third, whose leaves nobody else changes.
        let watched = u64::from(leaves / 4 * 3) * ROWS_A_LEAF + 5;
        let random_bytes = random_bytes.min(BODY_BYTES);
        Items {
            leaves,
            levels,
            random_bytes,
            versions: HashMap::new(),
            commits: 0,
            watched,
            changed_at,
        }
    }

    /// How many rows `item` has.
    pub(crate) fn rows(&self) -> u64 {
        u64::from(self.leaves) * ROWS_A_LEAF
    }

    /// The row that is changed rarely.
    pub(crate) fn watched(&self) -> u64 {
        self.watched
    }

    /// How often a row was changed.
    pub(crate) fn version(&self, row: u64) -> i64 {
        self.versions.get(&row).copied().unwrap_or(0)
    }

    /// The sum of the versions of all rows.
    pub(crate) fn versions(&self) -> i64 {
        self.versions.values().sum()
    }

    /// The page of the root, of `tally`, and of what comes after both, in this order and then from above to below.
    fn upper(&self) -> u32 {
        // Page 1, the tally, and all levels but the lowest.
        2 + self.levels[1..].iter().sum::<u32>()
    }

    fn numbered(index: u32) -> u32 {
        if index + 1 >= LOCK_PAGE { index + 2 } else { index + 1 }
    }

    /// A page above the leaves; level 0 is the lowest.
    fn node_page(&self, level: usize, node: u32) -> u32 {
        if level == 0 {
            return Items::numbered(self.upper() + node * (CHILDREN + 1));
        }
        let above: u32 = self.levels[level + 1..].iter().sum();
        Items::numbered(2 + above + node)
    }

    fn leaf_page(&self, leaf: u32) -> u32 {
        let within = leaf % CHILDREN;
        Items::numbered(self.upper() + leaf / CHILDREN * (CHILDREN + 1) + 1 + within)
    }

    fn tally_page() -> u32 {
        2
    }

    fn leaf_of(row: u64) -> u32 {
        u32::try_from((row - 1) / ROWS_A_LEAF).unwrap_or(0)
    }

    fn change(&mut self, row: u64) -> u32 {
        *self.versions.entry(row).or_default() += 1;
        self.leaf_page(Items::leaf_of(row))
    }

    fn leaf(&self, leaf: u32) -> Vec<u8> {
        let first = u64::from(leaf) * ROWS_A_LEAF + 1;
        let cells = (first..first + ROWS_A_LEAF).map(|row| {
            let mut payload = vec![5, 0, 6];
            varint(12 + 2 * BODY_BYTES as u64, &mut payload);
            payload.extend(self.version(row).to_be_bytes());
            let mut random = Random::new(row);
            let mut body = [b'.'; BODY_BYTES];
            for word in body[..self.random_bytes].chunks_mut(8) {
                word.copy_from_slice(&random.next().to_le_bytes()[..word.len()]);
            }
            payload.extend(body);
            cell(row, &payload)
        });
        leaf_page(0, &cells.collect::<Vec<_>>())
    }

    fn node(&self, level: usize, node: u32) -> Vec<u8> {
        let below = if level == 0 { self.leaves } else { self.levels[level - 1] };
        let children = node * CHILDREN..((node + 1) * CHILDREN).min(below);
        let page_of = |child| match level.checked_sub(1) {
            None => self.leaf_page(child),
            Some(level) => self.node_page(level, child),
        };
        let leaves_a_child = u64::from(CHILDREN).pow(u32::try_from(level).unwrap_or(0));
        let mut cells: Vec<Vec<u8>> = children
            .map(|child| {
                let last_leaf = (u64::from(child) + 1) * leaves_a_child;
                let mut cell = page_of(child).to_be_bytes().to_vec();
                varint(last_leaf * ROWS_A_LEAF, &mut cell);
                cell
            })
            .collect();
        let right = cells.pop().unwrap_or_default();
        let mut page = tree_page(0, 0x05, 12, &cells);
        page[8..12].copy_from_slice(&right[..4]);
        page
    }

    fn tally(&self) -> Vec<u8> {
        let mut payload = vec![3, 0, 6];
        payload.extend(self.commits.to_be_bytes());
        leaf_page(0, &[cell(1, &payload)])
    }

    fn schema(&self) -> Vec<u8> {
        let root = self.node_page(self.levels.len() - 1, 0);
        let tables = [
            (
                "item",
                root,
                "CREATE TABLE item (id INTEGER PRIMARY KEY, version INTEGER, body BLOB)",
            ),
            (
                "tally",
                Items::tally_page(),
                "CREATE TABLE tally (id INTEGER PRIMARY KEY, commits INTEGER)",
            ),
        ];
        let cells = (1..).zip(tables).map(|(row, (name, root, sql))| {
            let mut types = Vec::new();
            let text = |text: &str, types: &mut Vec<u8>| varint(13 + 2 * text.len() as u64, types);
            ["table", name, name].iter().for_each(|word| text(word, &mut types));
            types.push(4);
            text(sql, &mut types);
            let mut payload = vec![u8::try_from(types.len() + 1).unwrap_or(0)];
            payload.extend(types);
            ["table", name, name].iter().for_each(|word| payload.extend(word.as_bytes()));
            payload.extend(root.to_be_bytes());
            payload.extend(sql.as_bytes());
            cell(row, &payload)
        });
        let mut page = leaf_page(100, &cells.collect::<Vec<_>>());
        page[..16].copy_from_slice(b"SQLite format 3\0");
        page[16..24].copy_from_slice(&[0x10, 0, 2, 2, 0, 64, 32, 32]);
        let words = [(24, 1), (28, self.pages()), (40, 1), (44, 4), (56, 1), (92, 1)];
        for (at, word) in words.into_iter().chain([(96, 3_050_000)]) {
            page[at..at + 4].copy_from_slice(&word.to_be_bytes());
        }
        page
    }
}

impl Application for Items {
    fn pages(&self) -> u32 {
        self.leaf_page(self.leaves - 1)
    }

    fn page(&self, page: u32) -> Cow<'_, [u8]> {
        let index = if page > LOCK_PAGE { page - 2 } else { page - 1 };
        let image = match index {
            0 => self.schema(),
            1 => self.tally(),
            index if index < self.upper() => {
                let mut at = index - 2;
                let mut level = self.levels.len() - 1;
                while at >= self.levels[level] {
                    at -= self.levels[level];
                    level -= 1;
                }
                self.node(level, at)
            }
            index => {
                let at = index - self.upper();
                match (at / (CHILDREN + 1), at % (CHILDREN + 1)) {
                    (node, 0) => self.node(0, node),
                    (node, within) => self.leaf(node * CHILDREN + within - 1),
                }
            }
        };
        Cow::Owned(image)
    }

    fn commit(&mut self, _: i64, random: &mut Random) -> Vec<u32> {
        self.commits += 1;
        let hot = HOT_LEAVES.min(self.leaves / 4);
        // Spread over the first two thirds.
        let mut leaf = || random.below(hot) * (self.leaves / 3 * 2 / hot);
        let rows = [leaf(), leaf()].map(|leaf| u64::from(leaf) * ROWS_A_LEAF + 1);
        let mut written = vec![Items::tally_page()];
        written.extend(rows.map(|row| self.change(row + self.commits.unsigned_abs() % 16)));
        if self.changed_at.contains(&self.commits) {
            written.push(self.change(self.watched));
        }
        written.sort_unstable();
        written.dedup();
        written
    }
}

/// A cell of a leaf of a table.
fn cell(row: u64, payload: &[u8]) -> Vec<u8> {
    let mut cell = Vec::with_capacity(payload.len() + 8);
    varint(payload.len() as u64, &mut cell);
    varint(row, &mut cell);
    cell.extend(payload);
    cell
}

fn leaf_page(header: usize, cells: &[Vec<u8>]) -> Vec<u8> {
    tree_page(header, 0x0d, 8, cells)
}

/// A page of a b-tree of this kind: cells from the end on, and where each begins (fileformat2.html, 1.6).
fn tree_page(header: usize, kind: u8, header_bytes: usize, cells: &[Vec<u8>]) -> Vec<u8> {
    let mut page = vec![0; PAGE];
    let mut end = PAGE;
    let short = |value: usize| u16::try_from(value).unwrap_or(0).to_be_bytes();
    for (number, cell) in cells.iter().enumerate() {
        end -= cell.len();
        page[end..end + cell.len()].copy_from_slice(cell);
        let at = header + header_bytes + 2 * number;
        page[at..at + 2].copy_from_slice(&short(end));
    }
    page[header] = kind;
    page[header + 3..header + 5].copy_from_slice(&short(cells.len()));
    page[header + 5..header + 7].copy_from_slice(&short(end));
    page
}

/// A number in SQLite's base 128, for less than 2^56.
fn varint(value: u64, out: &mut Vec<u8>) {
    let groups = (64 - value.leading_zeros()).div_ceil(7).max(1);
    for group in (0..groups).rev() {
        let more = if group > 0 { 0x80 } else { 0 };
        out.push(u8::try_from(value >> (7 * group) & 0x7f).unwrap_or(0) | more);
    }
}
