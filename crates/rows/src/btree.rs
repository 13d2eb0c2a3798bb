//! A page of a b-tree, as far as the way through the tree needs it: its kind, its children and its rowids (SQLite, *Database
//! File Format*, 1.6). What is in a row is read by SQLite. A page that is not as it should be is `None`.

const INDEX_INTERIOR: u8 = 0x02;
pub(super) const INTERIOR: u8 = 0x05;
const INDEX_LEAF: u8 = 0x0a;
pub(super) const LEAF: u8 = 0x0d;

/// A tree is never deeper than this: SQLite's own limit.
pub(super) const DEPTH_MAX: usize = 20;

/// Page 1 begins with the header of the database.
const DATABASE_HEADER_BYTES: usize = 100;

/// What a page is to its tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Node {
    /// Children of a table's interior page, each with the greatest rowid that it may have but for the last one.
    Interior {
        /// The children with a bound.
        cells: Vec<(u32, i64)>,
        /// The last child.
        right: u32,
    },
    /// The first and the last rowid of a table's leaf, if it has rows.
    Leaf(Option<(i64, i64)>),
    /// The children of an index's interior page.
    IndexInterior(Vec<u32>),
    /// An index's leaf.
    IndexLeaf,
    /// A page of no tree: part of a value, or of the list of free pages, or one that is free.
    Other,
}

impl Node {
    /// What page `number` is, by its first byte.
    pub(super) fn of(number: u32, page: &[u8]) -> Option<Node> {
        let start = if number == 1 { DATABASE_HEADER_BYTES } else { 0 };
        let count = || u16_at(page, start + 3);
        let cell = |header: usize, index: usize| u16_at(page, start + header + 2 * index);
        match *page.get(start)? {
            INTERIOR => {
                let bounded = |index| {
                    let at = cell(12, index)?;
                    let (rowid, _) = varint(page.get(at + 4..)?)?;
                    Some((u32_at(page, at)?, rowid.cast_signed()))
                };
                let cells = (0..count()?).map(bounded).collect::<Option<Vec<_>>>()?;
                let ascends = cells.windows(2).all(|pair| pair[0].1 < pair[1].1);
                ascends.then_some(Node::Interior { cells, right: u32_at(page, start + 8)? })
            }
            LEAF => {
                let rowid = |index| {
                    let (_, after) = varint(page.get(cell(8, index)?..)?)?;
                    Some(varint(after)?.0.cast_signed())
                };
                match count()? {
                    0 => Some(Node::Leaf(None)),
                    count => Some(Node::Leaf(Some((rowid(0)?, rowid(count - 1)?)))),
                }
            }
            INDEX_INTERIOR => {
                let child = |index| u32_at(page, cell(12, index)?);
                let mut children = (0..count()?).map(child).collect::<Option<Vec<_>>>()?;
                children.push(u32_at(page, start + 8)?);
                Some(Node::IndexInterior(children))
            }
            INDEX_LEAF => Some(Node::IndexLeaf),
            _ => Some(Node::Other),
        }
    }
}

pub(super) fn u16_at(page: &[u8], at: usize) -> Option<usize> {
    Some(usize::from(u16::from_be_bytes(page.get(at..at + 2)?.try_into().ok()?)))
}

pub(super) fn u32_at(page: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(page.get(at..at + 4)?.try_into().ok()?))
}

/// SQLite's variable-length integer, and what comes after it.
pub(super) fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0;
    for (index, byte) in bytes.iter().take(9).enumerate() {
        if index == 8 {
            return Some((value << 8 | u64::from(*byte), &bytes[9..]));
        }
        value = value << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[index + 1..]));
        }
    }
    None
}
