//! Databases in memory, and what applications do to them: pages as SQLite writes them, without SQLite.

use std::borrow::Cow;
use std::collections::BTreeSet;

use ebbtide_testkit::Random;
use ebbtide_wal::{PageNumber, PageSize, lock_page};

use super::replica::Application;

pub(crate) const PAGE: usize = 4096;

/// A database.
#[derive(Debug, Clone, Default)]
pub(crate) struct Database {
    bytes: Vec<u8>,
}

impl Database {
    /// One of so many pages, of which LZ4 leaves two fifths.
    pub(crate) fn filled(pages: u32, random: &mut Random) -> Database {
        let mut database = Database::default();
        for _ in 0..pages {
            let page = database.add();
            scribble(&mut database.page_mut(page)[..PAGE * 2 / 5], random);
        }
        database
    }

    pub(crate) fn pages(&self) -> u32 {
        u32::try_from(self.bytes.len() / PAGE).unwrap_or(u32::MAX)
    }

    pub(crate) fn page(&self, page: u32) -> &[u8] {
        let at = (page as usize - 1) * PAGE;
        &self.bytes[at..at + PAGE]
    }

    fn page_mut(&mut self, page: u32) -> &mut [u8] {
        let at = (page as usize - 1) * PAGE;
        &mut self.bytes[at..at + PAGE]
    }

    /// Adds a page, after the lock page if that would be the next.
    fn add(&mut self) -> u32 {
        let size = PageSize::new(4096).map(lock_page).map_or(0, PageNumber::get);
        let pages = if self.pages() + 1 == size { 2 } else { 1 };
        self.bytes.resize(self.bytes.len() + pages * PAGE, 0);
        self.pages()
    }
}

/// A database, and what an application does to it.
#[derive(Debug)]
pub(crate) struct Worked {
    pub(crate) database: Database,
    pub(crate) work: Work,
}

impl Application for Worked {
    fn pages(&self) -> u32 {
        self.database.pages()
    }

    fn page(&self, page: u32) -> Cow<'_, [u8]> {
        Cow::Borrowed(self.database.page(page))
    }

    fn commit(&mut self, today: i64, random: &mut Random) -> Vec<u32> {
        self.work.commit(&mut self.database, today, random)
    }
}

fn scribble(bytes: &mut [u8], random: &mut Random) {
    for chunk in bytes.chunks_mut(8) {
        let word = random.next().to_le_bytes();
        chunk.copy_from_slice(&word[..chunk.len()]);
    }
}

/// What an application does.
#[derive(Debug)]
pub(crate) enum Work {
    /// Rows are changed in so many pages at a time, all of them among the pages of the day.
    Update { pages: usize, of_the_day: usize, day: i64, set: Vec<u32> },
    /// Rows of so many bytes are added to a table and to an index, by a random key or by one that ascends.
    Insert { row: usize, table: Leaf, index: Vec<Leaf>, is_random: bool },
}

/// A page that is being filled.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Leaf {
    page: u32,
    used: usize,
}

/// What a key and its row's number take in the index.
const KEY: usize = 20;

impl Work {
    pub(crate) fn update(pages: usize, of_the_day: usize) -> Work {
        Work::Update { pages, of_the_day, day: i64::MIN, set: Vec::new() }
    }

    /// A table and an index; all there is in the database is the table's, but for as many pages of the index as it has rows.
    pub(crate) fn insert(row: usize, is_random: bool, database: &mut Database) -> Work {
        let rows = database.pages() as usize * (PAGE / (row + KEY));
        let leaves = (rows * KEY / (PAGE * 7 / 10)).max(1);
        let index = (0..leaves)
            .map(|leaf| Leaf {
                page: u32::try_from(leaf + 2).unwrap_or(u32::MAX),
                used: PAGE * 7 / 10,
            })
            .collect();
        while database.pages() < u32::try_from(leaves + 2).unwrap_or(u32::MAX) {
            database.add();
        }
        let page = database.add();
        Work::Insert { row, table: Leaf { page, used: 0 }, index, is_random }
    }

    fn commit(&mut self, database: &mut Database, today: i64, random: &mut Random) -> Vec<u32> {
        let mut written = BTreeSet::new();
        let pages_before = database.pages();
        match self {
            Work::Update { pages, of_the_day, day, set } => {
                if *day != today {
                    *day = today;
                    let all = database.pages();
                    set.clear();
                    set.extend((0..*of_the_day).map(|_| random.between(2, all)));
                }
                for _ in 0..*pages {
                    let page = *random.choose(set);
                    let row = random.below(16) as usize * 100;
                    scribble(&mut database.page_mut(page)[row..row + 100], random);
                    written.insert(page);
                }
            }
            Work::Insert { row, table, index, is_random } => {
                if table.used + *row > PAGE {
                    *table = Leaf { page: database.add(), used: 0 };
                }
                let bytes = &mut database.page_mut(table.page)[table.used..table.used + *row];
                scribble(&mut bytes[..*row * 2 / 5], random);
                table.used += *row;
                written.insert(table.page);
                if *is_random {
                    insert_key(index, database, random, &mut written);
                } else {
                    append_key(index, database, random, &mut written);
                }
            }
        }
        if database.pages() != pages_before {
            // The size in the header.
            let size = database.pages().to_be_bytes();
            database.page_mut(1)[28..32].copy_from_slice(&size);
            written.insert(1);
        }
        written.into_iter().collect()
    }
}

fn below(random: &mut Random, bound: usize) -> usize {
    random.below(u32::try_from(bound).unwrap_or(u32::MAX)) as usize
}

/// Adds a key to the last page of the index.
fn append_key(
    index: &mut Vec<Leaf>,
    database: &mut Database,
    random: &mut Random,
    written: &mut BTreeSet<u32>,
) {
    if index.last().is_none_or(|leaf| leaf.used + KEY > PAGE) {
        index.push(Leaf { page: database.add(), used: 0 });
    }
    let Some(leaf) = index.last_mut() else { return };
    scribble(&mut database.page_mut(leaf.page)[leaf.used..leaf.used + 8], random);
    leaf.used += KEY;
    written.insert(leaf.page);
}

/// Adds a key to a random page of the index, which is split when it is full.
fn insert_key(
    index: &mut Vec<Leaf>,
    database: &mut Database,
    random: &mut Random,
    written: &mut BTreeSet<u32>,
) {
    let at = below(random, index.len());
    let mut leaf = index[at];
    if leaf.used + KEY > PAGE {
        let half = PAGE / KEY / 2 * KEY;
        let moved = database.page(leaf.page)[half..].to_vec();
        database.page_mut(leaf.page)[half..].fill(0);
        let new = Leaf { page: database.add(), used: leaf.used - half };
        database.page_mut(new.page)[..moved.len()].copy_from_slice(&moved);
        index.push(new);
        written.insert(new.page);
        leaf.used = half;
    }
    let mut key = [0; KEY];
    scribble(&mut key[..8], random);
    // Keys are in order: those behind it move.
    let slot = below(random, leaf.used / KEY + 1) * KEY;
    let page = database.page_mut(leaf.page);
    page.copy_within(slot..leaf.used, slot + KEY);
    page[slot..slot + KEY].copy_from_slice(&key);
    leaf.used += KEY;
    index[at] = leaf;
    written.insert(leaf.page);
}
