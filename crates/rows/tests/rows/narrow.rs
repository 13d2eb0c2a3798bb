//! What a narrow comparison leaves out does not differ: narrow = full, over random histories of a file of small pages.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use ebbtide_rows::{Doubt, Extent, Narrow, Options, Paged, narrow};
use rusqlite::Connection;

use crate::random::{Random, seeds};
use crate::support::{lines, side};

/// A state of a database as bytes, and as a connection.
pub(crate) struct State {
    pub(crate) bytes: Vec<u8>,
    pub(crate) connection: Connection,
}

impl State {
    pub(crate) fn of(path: &Path) -> State {
        let mut bytes = std::fs::read(path).unwrap();
        // In memory there is no log.
        bytes[18..20].copy_from_slice(&[1, 1]);
        let mut connection = Connection::open_in_memory().unwrap();
        connection.deserialize_read_exact("main", &bytes[..], bytes.len(), true).unwrap();
        State { bytes, connection }
    }

    fn page_bytes(&self) -> usize {
        match u16::from_be_bytes([self.bytes[16], self.bytes[17]]) {
            1 => 65536,
            size => size.into(),
        }
    }

    fn page(&self, number: u32) -> Option<&[u8]> {
        self.bytes.chunks(self.page_bytes()).nth(number as usize - 1)
    }
}

/// What is narrow between two states, if `more` pages are said to have changed, too, that have not; and which pages were
/// read for it on both sides together.
pub(crate) fn between(
    old: &State,
    new: &State,
    more: &[u32],
) -> (Result<Narrow, Doubt>, BTreeSet<u32>) {
    let pages = |state: &State| u32::try_from(state.bytes.len() / state.page_bytes()).unwrap();
    let all = 1..=pages(old).max(pages(new));
    let changed: Vec<u32> = all
        .filter(|number| old.page(*number) != new.page(*number) || more.contains(number))
        .collect();
    let read = std::cell::RefCell::new(BTreeSet::new());
    let reader = |state: &State, numbers: &[u32]| {
        read.borrow_mut().extend(numbers);
        Ok(numbers.iter().map(|number| state.page(*number).unwrap().to_vec()).collect())
    };
    let read_old = |numbers: &[u32]| reader(old, numbers);
    let read_new = |numbers: &[u32]| reader(new, numbers);
    let old_side = Paged {
        side: side(&old.connection),
        page_bytes: old.page_bytes(),
        pages: pages(old),
        read: &read_old,
    };
    let new_side = Paged {
        side: side(&new.connection),
        page_bytes: new.page_bytes(),
        pages: pages(new),
        read: &read_new,
    };
    let found = narrow(&old_side, &new_side, &changed).unwrap();
    (found, read.into_inner())
}

/// How often each extent was found, over all tables.
#[derive(Debug, Default)]
struct Tally(BTreeMap<&'static str, u64>);

impl Tally {
    fn add(&mut self, what: &'static str) {
        *self.0.entry(what).or_default() += 1;
    }

    /// Compares what narrow finds with what full does.
    fn compare(&mut self, old: &State, new: &State, more: &[u32], said: &str) {
        let found = match between(old, new, more).0 {
            Ok(found) => found,
            Err(doubt) => {
                assert!(!matches!(doubt, Doubt::Stranger(_)), "{doubt}: {said}");
                return self.add("doubt");
            }
        };
        let full = lines(&old.connection, &new.connection, &Options::default());
        let tables = ebbtide_rows::Schema::read(&new.connection, "main").unwrap().tables;
        for table in &tables {
            self.add(match found.extents.of(&table.name) {
                Extent::Nothing => "nothing",
                Extent::Rowids(_) => "rowids",
                Extent::All => "all",
            });
        }
        if !found.overflow.is_empty() {
            return self.add("overflow");
        }
        let options = Options { extents: found.extents, ..Options::default() };
        assert_eq!(lines(&old.connection, &new.connection, &options), full, "{said}");
        self.add(if full.iter().any(|line| line.get("change").is_some()) {
            "some"
        } else {
            "none"
        });
    }
}

const SETUPS: &[&str] = &[
    "PRAGMA page_size = 512",
    "PRAGMA page_size = 512; PRAGMA auto_vacuum = full",
    "PRAGMA page_size = 1024; PRAGMA auto_vacuum = incremental",
    "PRAGMA page_size = 1024; PRAGMA encoding = 'UTF-16'; PRAGMA secure_delete = on",
    "PRAGMA page_size = 512; PRAGMA secure_delete = off",
];

const TABLES: &str = "
    CREATE TABLE ids (id INTEGER PRIMARY KEY, a, b);
    CREATE TABLE hidden (a, b);
    CREATE TABLE keyed (a, b, PRIMARY KEY (a, b)) WITHOUT ROWID;
    CREATE TABLE texts (id INTEGER PRIMARY KEY AUTOINCREMENT, a, b);
    CREATE INDEX by_a ON ids (a);
    CREATE INDEX by_b ON texts (b);
    CREATE VIRTUAL TABLE words USING fts5 (a);
    CREATE VIRTUAL TABLE boxes USING rtree (id, a, b);";

fn text(random: &mut Random) -> String {
    match random.below(6) {
        0 => format!("printf('%.*c', {}, 'x')", random.below(4000)),
        1 => format!("randomblob({})", random.below(900)),
        _ => format!("'text {}'", random.below(100)),
    }
}

fn step(random: &mut Random) -> String {
    let table = ["ids", "hidden", "texts", "ids"][usize::try_from(random.below(4)).unwrap()];
    let (low, count) = (random.below(3000), random.below(200));
    let (a, b) = (text(random), text(random));
    let rows = format!(
        "WITH RECURSIVE n(n) AS (VALUES ({low}) UNION ALL SELECT n + 1 FROM n LIMIT {})",
        count + 1
    );
    match random.below(26) {
        0 => "VACUUM".to_owned(),
        1 => "PRAGMA incremental_vacuum(7)".to_owned(),
        2 => format!("DELETE FROM {table}"),
        3 => format!("DROP TABLE {table}; CREATE TABLE {table} (id INTEGER PRIMARY KEY, a, b)"),
        4 => format!("ALTER TABLE {table} ADD COLUMN z{low} DEFAULT 7"),
        5 => "REINDEX".to_owned(),
        6 => format!("CREATE INDEX IF NOT EXISTS i{} ON {table} (b, a)", low % 3),
        7 => format!("DROP INDEX IF EXISTS i{}", low % 3),
        8 => "ANALYZE".to_owned(),
        9 => format!("INSERT OR REPLACE INTO words (rowid, a) VALUES ({count}, {a})"),
        10 => format!("DELETE FROM words WHERE rowid < {count}"),
        11 => format!("INSERT OR REPLACE INTO boxes VALUES ({count}, 1, {low})"),
        12 => format!("{rows} INSERT OR REPLACE INTO keyed SELECT n, {b} FROM n"),
        13 => format!("DELETE FROM keyed WHERE a BETWEEN {low} AND {}", low + count),
        14 | 15 => format!("DELETE FROM {table} WHERE rowid BETWEEN {low} AND {}", low + 3 * count),
        16 => format!("UPDATE {table} SET a = {a} WHERE rowid % 97 = {}", low % 97),
        17 => {
            format!("UPDATE {table} SET b = {b} WHERE rowid BETWEEN {low} AND {}", low + count / 9)
        }
        // As long as before.
        18 => format!("UPDATE {table} SET a = replace(a, 'x', 'y') WHERE typeof(a) = 'text'"),
        19 => format!("UPDATE {table} SET a = randomblob(length(a)) WHERE typeof(a) = 'blob'"),
        20 => format!("UPDATE OR REPLACE {table} SET rowid = rowid + {count} WHERE rowid % 50 = 3"),
        21 => format!("CREATE TABLE IF NOT EXISTS new{} (a, b)", low % 4),
        22 => format!("DROP TABLE IF EXISTS new{}", low % 4),
        _ => {
            format!("{rows} INSERT OR REPLACE INTO {table} (rowid, a, b) SELECT n, {a}, {b} FROM n")
        }
    }
}

#[test]
fn narrow_finds_what_full_finds_over_random_histories() {
    let mut tally = Tally::default();
    for seed in seeds(40) {
        let mut random = Random::new(seed);
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("app.db");
        let connection = Connection::open(&path).unwrap();
        let setup = SETUPS[usize::try_from(seed).unwrap() % SETUPS.len()];
        connection.execute_batch(setup).unwrap();
        connection.execute_batch(TABLES).unwrap();
        let mut done = vec![setup.to_owned()];
        let mut before = State::of(&path);
        for _ in 0..40 {
            for _ in 0..=random.below(2) {
                let sql = step(&mut random);
                if connection.execute_batch(&sql).is_ok() {
                    done.push(sql);
                }
            }
            let after = State::of(&path);
            let pages = after.bytes.len() / 512;
            let more: Vec<u32> =
                (1..=u32::try_from(pages).unwrap()).filter(|_| random.below(40) == 0).collect();
            let said = format!("EBBTIDE_SEED={seed}\n{}", done.join(";\n"));
            tally.compare(&before, &after, &more, &said);
            tally.compare(&after, &before, &more, &said);
            if random.below(3) > 0 {
                before = after;
            }
        }
    }
    println!("{tally:?}");
    if seeds(40).count() >= 40 {
        for what in ["nothing", "rowids", "all", "overflow", "some", "none"] {
            assert!(tally.0.get(what).is_some_and(|count| *count > 50), "{what}: {tally:?}");
        }
    }
}

/// `DELETE FROM t` writes a few pages and takes all rows: the leaves are freed as they are.
#[test]
fn t11_freed_leaves_are_not_written_and_look_alive_on_the_list_of_free_pages() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.db");
    let connection = Connection::open(&path).unwrap();
    let run = |sql: &str| {
        connection.execute_batch(sql).unwrap();
        State::of(&path)
    };
    let rows = |from: u32| {
        format!(
            "WITH RECURSIVE n(n) AS (VALUES ({from}) UNION ALL SELECT n + 1 FROM n LIMIT 5000)
             INSERT INTO t SELECT n, 'row ' || n FROM n"
        )
    };
    let full = run(&format!(
        "PRAGMA page_size = 512; PRAGMA secure_delete = off;
         CREATE TABLE t (id INTEGER PRIMARY KEY, a); CREATE TABLE u (id INTEGER PRIMARY KEY, a); {}", rows(1)));
    let check = |old: &State, new: &State, rows: usize, what: &str| {
        let mut tally = Tally::default();
        tally.compare(old, new, &[], what);
        assert!(!tally.0.contains_key("doubt"), "{what}: {tally:?}");
        let changes = lines(&old.connection, &new.connection, &Options::default());
        let changes = changes.iter().filter(|line| line.get("change").is_some()).count();
        assert_eq!(changes, rows, "{what}");
        between(old, new, &[]).0.unwrap()
    };
    let empty = run("DELETE FROM t");
    let narrow = check(&full, &empty, 5000, "all rows at once");
    assert!(narrow.pages < 10, "{} pages changed", narrow.pages);
    // The leaves are still there, and belong to nobody.
    let of_u = run("INSERT INTO u SELECT value, 'new' FROM json_each('[1, 2, 3]')");
    let narrow = check(&empty, &of_u, 3, "three rows beside what was freed");
    assert_eq!(*narrow.extents.of("t"), Extent::Nothing);
    let again = run(&rows(100_000));
    check(&of_u, &again, 5000, "pages that are used again");
    let part = run("DELETE FROM t WHERE id BETWEEN 101000 AND 104000");
    let narrow = check(&again, &part, 3001, "a range");
    assert!(narrow.pages < 40, "{} pages changed", narrow.pages);
    check(&full, &part, 5000 + 5000 - 3001 + 3, "over all of it");
    let gone = run("DROP TABLE t");
    // The table itself is one more.
    check(&part, &gone, 5000 - 3001 + 1, "the table dropped");
}

/// A value that is overwritten by one as long, as `sqlite3_blob_write` also does it, changes an overflow page and not the row's
/// own.
#[test]
fn t10_an_overflow_page_that_changes_alone_is_handed_on() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.db");
    let connection = Connection::open(&path).unwrap();
    connection
        .execute_batch(
            "PRAGMA page_size = 1024; CREATE TABLE t (id INTEGER PRIMARY KEY, a BLOB);
             INSERT INTO t VALUES (1, zeroblob(20000)), (2, zeroblob(20000)), (3, 'short')",
        )
        .unwrap();
    let before = State::of(&path);
    // The header and the beginning of the value stay as they are, on the row's page and the first overflow pages.
    connection
        .execute_batch("UPDATE t SET a = CAST(zeroblob(15000) || x'11' || zeroblob(4999) AS BLOB) WHERE id = 2")
        .unwrap();
    let after = State::of(&path);
    let found = between(&before, &after, &[]).0.unwrap();
    assert_eq!(*found.extents.of("t"), Extent::Nothing, "its leaf is as it was");
    assert_eq!(found.overflow.len(), 1);
    connection
        .execute_batch("UPDATE t SET a = CAST(zeroblob(15000) || x'11' || zeroblob(4999) AS BLOB) WHERE id = 1")
        .unwrap();
    let by_update = State::of(&path);
    let found = between(&after, &by_update, &[]).0.unwrap();
    assert!(!found.overflow.is_empty());
    connection.execute_batch("INSERT INTO t VALUES (4, zeroblob(30000))").unwrap();
    let found = between(&by_update, &State::of(&path), &[]).0.unwrap();
    assert!(found.overflow.is_empty(), "pages that no value had before");
}

/// A comparison reads what changed and the way to it, and not the rest.
#[test]
fn narrow_reads_the_changed_pages_and_the_way_to_them() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.db");
    let connection = Connection::open(&path).unwrap();
    connection
        .execute_batch(
            "CREATE TABLE t (id INTEGER PRIMARY KEY, a); CREATE TABLE u (id INTEGER PRIMARY KEY, a);
             WITH RECURSIVE n(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM n LIMIT 100000)
             INSERT INTO t SELECT n, 'a row of the table ' || n FROM n; INSERT INTO u SELECT * FROM t",
        )
        .unwrap();
    let before = State::of(&path);
    connection.execute_batch("UPDATE u SET a = 'X' WHERE id IN (1, 50000, 99999)").unwrap();
    let after = State::of(&path);
    let (found, read) = between(&before, &after, &[]);
    let found = found.unwrap();
    let Extent::Rowids(ranges) = found.extents.of("u") else { panic!("{found:?}") };
    let rows: i64 = ranges.iter().map(|(first, last)| last - first + 1).sum();
    assert!(ranges.len() == 3 && rows < 1000, "{ranges:?}");
    assert!(read.len() < 20, "{} pages were read", read.len());
}
