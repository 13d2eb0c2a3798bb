//! What is found, and by what rows are paired.

use ebbtide_rows::{Counts, Extent, Extents, Options, Pairing};
use rusqlite::Connection;

use crate::support::{copy, database, lines, summary};

fn counts(old: &Connection, new: &Connection, table: &str) -> (Pairing, Counts) {
    let summary = summary(old, new, &Options::default());
    let found = summary.tables.iter().find(|compared| compared.table == table).unwrap();
    (found.pairing, found.counts)
}

fn changed(begin: &str, then: &str) -> (Connection, Connection) {
    let mut old = database(begin);
    let new = copy(&mut old);
    new.execute_batch(then).unwrap();
    (old, new)
}

/// T9: sqldiff and the session extension see neither of these.
#[test]
fn t09_other_bytes_under_an_equal_sign_are_found() {
    let (old, new) = changed(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT COLLATE NOCASE, b); INSERT INTO t VALUES (1, 'abc', 1), (2, 'x', 2)",
        "UPDATE t SET a = 'ABC', b = 1.0 WHERE id = 1",
    );
    let lines = lines(&old, &new, &Options::default());
    assert_eq!(lines[0]["old"].to_string(), r#"{"a":"abc","b":1}"#);
    assert_eq!(lines[0]["new"].to_string(), r#"{"a":"ABC","b":1.0}"#);
    assert_eq!(lines[0]["key"].to_string(), r#"{"id":1}"#);
    assert_eq!(lines[1]["updated"], 1);
}

/// T12: VACUUM gives out new rowids where no column shows them.
#[test]
fn t12_rowids_that_vacuum_gave_out_again_pair_nothing() {
    let (old, new) = changed(
        "CREATE TABLE t (a, b); INSERT INTO t VALUES (1, 'x'), (2, 'y'), (3, 'z'), (3, 'z'); DELETE FROM t WHERE a = 1",
        "INSERT INTO t VALUES (4, 'n'); DELETE FROM t WHERE a = 2; VACUUM",
    );
    let whole = Counts { inserted: 1, deleted: 1, updated: 0 };
    assert_eq!(counts(&old, &new, "t"), (Pairing::WholeRow, whole));
    let (old, new) = changed(
        "CREATE TABLE t (a TEXT PRIMARY KEY, b); INSERT INTO t VALUES (1, 'x'), (2, 'y'), (3, 'z'), (4, 'z')",
        // Some versions keep the rowids of a table that has an index.
        "CREATE TABLE n AS SELECT * FROM t WHERE a > 1; DELETE FROM t; INSERT INTO t SELECT * FROM n; DROP TABLE n;
         UPDATE t SET b = 'u' WHERE a = 4",
    );
    let keyed = Counts { inserted: 0, deleted: 1, updated: 1 };
    assert_eq!(counts(&old, &new, "t"), (Pairing::Key, keyed));
}

/// Without a change of the schema there was no VACUUM.
#[test]
fn rows_without_a_key_are_paired_by_rowid_while_the_schema_is_the_same() {
    let (old, new) = changed(
        "CREATE TABLE t (a, b); INSERT INTO t VALUES (1, 'x'), (2, 'y')",
        "UPDATE t SET b = 'z' WHERE a = 1; DELETE FROM t WHERE a = 2",
    );
    let expected = Counts { inserted: 0, deleted: 1, updated: 1 };
    assert_eq!(counts(&old, &new, "t"), (Pairing::Rowid, expected));
}

/// T13: rows of another table that has the name by now are no updates.
#[test]
fn t13_a_table_that_was_made_again_has_no_nonsense_updates() {
    let (old, new) = changed(
        "CREATE TABLE t (a, b); INSERT INTO t VALUES (1, 'x'), (2, 'y')",
        "DROP TABLE t; CREATE TABLE t (a, b); INSERT INTO t VALUES (7, 'q'), (8, 'r'), (9, 's')",
    );
    let expected = Counts { inserted: 3, deleted: 2, updated: 0 };
    assert_eq!(counts(&old, &new, "t").1, expected);
}

#[test]
fn t13_an_added_column_changes_no_row_until_it_has_values() {
    let (old, new) = changed(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a); INSERT INTO t VALUES (1, 1), (2, 2)",
        "ALTER TABLE t ADD COLUMN c INTEGER DEFAULT '7'",
    );
    assert!(counts(&old, &new, "t").1.is_empty());
    new.execute_batch("UPDATE t SET c = 8 WHERE id = 2").unwrap();
    let lines = lines(&old, &new, &Options::default());
    assert_eq!(lines[0]["columns_added"].to_string(), r#"["c"]"#);
    assert_eq!(
        (lines[1]["old"].to_string(), lines[1]["new"].to_string()),
        (r#"{"c":7}"#.into(), r#"{"c":8}"#.into())
    );
}

/// T8: what an application brought along is not there, and is not taken for BINARY.
#[test]
fn t08_unknown_collations_and_modules_are_named() {
    let begin = "CREATE TABLE k (a TEXT COLLATE nocase PRIMARY KEY, b) WITHOUT ROWID; CREATE TABLE r (a TEXT COLLATE nocase, b);
                 CREATE VIRTUAL TABLE v USING fts5 (a); INSERT INTO k VALUES ('a', 1); INSERT INTO r VALUES ('a', 1)";
    let swap = "PRAGMA writable_schema = 1; UPDATE sqlite_schema SET sql = replace(replace(sql, 'nocase', 'german'), 'fts5', 'vec0');
                PRAGMA writable_schema = RESET; UPDATE r SET b = 2";
    let mut old = database(begin);
    old.execute_batch(swap).unwrap();
    let new = copy(&mut old);
    new.execute_batch("UPDATE r SET a = 'A'").unwrap();
    let summary = summary(&old, &new, &Options::default());
    let named: Vec<String> =
        summary.not_compared.iter().map(|left| format!("{}: {}", left.table, left.why)).collect();
    assert_eq!(
        named,
        [
            "k: its rows are in the order of german, which only the application knows",
            "v: no such module: vec0"
        ]
    );
    let r = summary.tables.iter().find(|compared| compared.table == "r").unwrap();
    assert_eq!(r.counts.updated, 1);
}

#[test]
fn t18_indexes_over_other_tables_are_named_and_shadows_are_not_missed() {
    let (old, new) = changed(
        "CREATE TABLE d (id INTEGER PRIMARY KEY, b); CREATE VIRTUAL TABLE e USING fts5 (b, content = 'd');
         CREATE VIRTUAL TABLE n USING fts5 (b, content = ''); CREATE VIRTUAL TABLE o USING fts5 (b);",
        "INSERT INTO d VALUES (1, 'word'); INSERT INTO e (rowid, b) VALUES (1, 'word'); INSERT INTO n (rowid, b) VALUES (1, 'w');
         INSERT INTO o VALUES ('word'); ANALYZE",
    );
    let summary = summary(&old, &new, &Options::default());
    let named: Vec<&str> = summary.not_compared.iter().map(|left| left.table.as_str()).collect();
    assert_eq!(named, ["e", "n"]);
    let compared: Vec<&str> =
        summary.tables.iter().map(|compared| compared.table.as_str()).collect();
    assert_eq!(compared, ["d", "o"]);
}

/// What keeps the same in its shadow tables has not changed, whether or not it can be read.
#[test]
fn t18_an_index_that_did_not_change_is_not_missed() {
    let begin = "CREATE TABLE d (id INTEGER PRIMARY KEY, b); CREATE VIRTUAL TABLE n USING fts5 (b, content = '');
                 INSERT INTO n (rowid, b) VALUES (1, 'w')";
    let (old, new) = changed(begin, "INSERT INTO d VALUES (1, 'word')");
    assert!(summary(&old, &new, &Options::default()).not_compared.is_empty());
    new.execute_batch("INSERT INTO n (rowid, b) VALUES (2, 'more')").unwrap();
    assert_eq!(summary(&old, &new, &Options::default()).not_compared[0].table, "n");
}

#[test]
fn t07_two_encodings_are_refused_by_name_and_one_is_compared_in_its_order() {
    let sixteen = "PRAGMA encoding = 'UTF-16le'; CREATE TABLE t (a TEXT PRIMARY KEY, b) WITHOUT ROWID;
                   INSERT INTO t VALUES ('a', 1), ('\u{ff5e}', 2), ('\u{1f30a}', 3), ('\u{100}', 4)";
    let (old, new) = changed(sixteen, "DELETE FROM t WHERE b = 2; UPDATE t SET b = 5 WHERE b = 3");
    let expected = Counts { inserted: 0, deleted: 1, updated: 1 };
    assert_eq!(counts(&old, &new, "t"), (Pairing::Key, expected));
    let eight = database("CREATE TABLE t (a)");
    let mut nobody = ebbtide_rows::JsonLines::new(|_| Ok(()));
    let sides = (crate::support::side(&old), crate::support::side(&eight));
    let refused = ebbtide_rows::diff(sides.0, sides.1, &Options::default(), &mut nobody);
    assert!(refused.unwrap_err().to_string().contains("UTF-16le and the other in UTF-8"));
}

/// The ranges of a narrow comparison find what lies in them and nothing else.
#[test]
fn only_the_rows_of_a_range_are_compared() {
    let (old, new) = changed(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a);
         WITH RECURSIVE n(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM n LIMIT 100) INSERT INTO t SELECT n, n FROM n",
        "UPDATE t SET a = 0 WHERE id IN (5, 50, 95)",
    );
    let mut extents = Extents::default();
    extents.set("t", Extent::Rowids(vec![(1, 10), (90, 100)]));
    let options = Options { extents, ..Options::default() };
    let summary = summary(&old, &new, &options);
    assert_eq!(summary.tables[0].counts.updated, 2);
}

#[test]
fn tables_that_are_asked_for_must_be_there() {
    let (old, new) = changed(
        "CREATE TABLE a (x); CREATE TABLE b (x)",
        "INSERT INTO a VALUES (1); INSERT INTO b VALUES (1)",
    );
    let only = |table: &str| Options { tables: vec![table.to_owned()], ..Options::default() };
    assert_eq!(summary(&old, &new, &only("A")).tables.len(), 1);
    let mut nobody = ebbtide_rows::JsonLines::new(|_| Ok(()));
    let (old, new) = (crate::support::side(&old), crate::support::side(&new));
    assert!(ebbtide_rows::diff(old, new, &only("c"), &mut nobody).is_err());
}

/// Where sqldiff can see, its script and ours lead to the same rows.
#[test]
fn sqldiff_finds_the_same_where_it_can_see() {
    use std::process::Command;
    if !crate::support::has("sqldiff") {
        eprintln!("skipped, because there is no sqldiff");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let paths = ["old.db", "new.db"].map(|name| directory.path().join(name));
    for seed in crate::random::seeds(40) {
        let mut random = crate::random::Random::new(seed);
        let mut old = database(
            "CREATE TABLE a (id INTEGER PRIMARY KEY, x TEXT, y REAL); CREATE TABLE b (k TEXT, n INT, v, PRIMARY KEY (k, n)) WITHOUT ROWID;
             CREATE TABLE c (x, y)",
        );
        let act = |connection: &Connection, random: &mut crate::random::Random, count| {
            for _ in 0..count {
                let (id, x, n) = (random.below(40), random.below(9), random.below(5));
                let sql = match random.below(8) {
                    0 => format!("DELETE FROM a WHERE id = {id}"),
                    1 => format!("UPDATE a SET y = {x}.5 WHERE id < {id}"),
                    2 => format!("DELETE FROM b WHERE n = {n}"),
                    3 => format!("UPDATE b SET v = {x} WHERE k = 'k{x}'"),
                    4 => format!("INSERT OR REPLACE INTO b VALUES ('k{x}', {n}, {id})"),
                    5 => format!("INSERT INTO c VALUES ({x}, 'it''s {n}')"),
                    6 => format!("UPDATE c SET y = 'y{n}' WHERE x = {x}"),
                    _ => format!("INSERT OR REPLACE INTO a VALUES ({id}, 'text {x}', {n}.25)"),
                };
                connection.execute_batch(&sql).unwrap();
            }
        };
        act(&old, &mut random, 60);
        let mut new = copy(&mut old);
        act(&new, &mut random, 20);
        crate::support::save(&mut old, &paths[0]);
        crate::support::save(&mut new, &paths[1]);
        let output = Command::new("sqldiff").args(&paths).output().unwrap();
        assert!(output.status.success(), "seed {seed}");
        let theirs = copy(&mut old);
        theirs.execute_batch(&String::from_utf8(output.stdout).unwrap()).unwrap();
        let ours = copy(&mut old);
        ours.execute_batch(&crate::support::script(&old, &new, &Options::default()).unwrap())
            .unwrap();
        let said = format!("seed {seed}");
        crate::support::assert_same(&theirs, &new, &said);
        crate::support::assert_same(&ours, &theirs, &said);
    }
}

/// Reading past equal pages must find what reading all rows finds: after updates in place, growth, shrinking, sparse
/// rowids, overflow, and with pages that are no tree at all.
#[test]
fn equal_pages_are_passed_over_and_nothing_else() {
    use ebbtide_rows::{JsonLines, Pages, Side, diff};
    let mut passed = 0;
    for seed in crate::random::seeds(60) {
        let mut random = crate::random::Random::new(seed);
        let page = [512, 1024, 4096][usize::try_from(random.below(3)).unwrap()];
        let mut old = database(&format!(
            "PRAGMA page_size = {page}; CREATE TABLE t (id INTEGER PRIMARY KEY, a, b); CREATE TABLE u (a);"
        ));
        let sparse = 1 + random.below(3) * 1000;
        let fill = format!(
            "WITH RECURSIVE n(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM n LIMIT 3000)
             INSERT INTO t SELECT n * {sparse} - 500000, n, zeroblob(CASE WHEN n % 97 = 0 THEN 3000 ELSE 20 END) FROM n;
             INSERT INTO u SELECT a FROM t"
        );
        old.execute_batch(&fill).unwrap();
        let mut new = copy(&mut old);
        for _ in 0..random.below(6) {
            let (id, more) = (random.below(3000), random.below(200));
            let sql = match random.below(7) {
                0 => format!("DELETE FROM t WHERE a BETWEEN {id} AND {id} + {more}"),
                1 => format!("UPDATE t SET a = -a WHERE a = {id}"),
                2 => format!("UPDATE t SET b = zeroblob(2999) || x'01' WHERE a = {}", id / 97 * 97),
                3 => format!(
                    "INSERT OR IGNORE INTO t VALUES ({id} * {sparse} - 499999, {id}, 'new')"
                ),
                4 => "INSERT INTO t (a) VALUES ('last')".to_owned(),
                5 => format!(
                    "INSERT OR IGNORE INTO t VALUES (-9223372036854775807 - {}, 1, 2)",
                    random.below(2)
                ),
                _ => format!("DELETE FROM u WHERE a > {id}"),
            };
            new.execute_batch(&sql).unwrap();
        }
        let bytes =
            [old.serialize("main").unwrap().to_vec(), new.serialize("main").unwrap().to_vec()];
        let is_broken = random.below(6) == 0;
        let read = |bytes: &[u8], at: u64, into: &mut [u8]| {
            let at = usize::try_from(at).unwrap().min(bytes.len());
            let count = into.len().min(bytes.len() - at);
            into[..count].copy_from_slice(&bytes[at..at + count]);
            if is_broken && at > 0 {
                into.iter_mut().step_by(page + 13).for_each(|byte| *byte ^= 0x55);
            }
            Ok(count)
        };
        let reads = (
            |at, into: &mut [u8]| read(&bytes[0], at, into),
            |at, into: &mut [u8]| read(&bytes[1], at, into),
        );
        let find = |by_pages: bool| {
            let pages = |read| {
                Some(Pages { page_bytes: page, reserved_bytes: 0, read }).filter(|_| by_pages)
            };
            let mut found = Vec::new();
            let mut sink = JsonLines::new(|line| {
                found.push(line);
                Ok(())
            });
            let old = Side { pages: pages(&reads.0), ..Side::new(&old, "main") };
            let new = Side { pages: pages(&reads.1), ..Side::new(&new, "main") };
            diff(old, new, &Options::default(), &mut sink).unwrap();
            found
        };
        let (all, by_pages) = (find(false), find(true));
        // Pages that are not those of the connection show nothing that can be relied on, and must do no harm but that.
        if !is_broken {
            assert_eq!(by_pages, all, "seed {seed}");
            passed += 1;
        }
    }
    assert!(passed > 0 || crate::random::seeds(60).count() < 10);
}
