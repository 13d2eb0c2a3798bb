//! Fixtures: the same bytes for the same rows, whatever their history, and the rows that they need.

use std::fs::{self, File};
use std::path::Path;

use ebbtide_export::{Fixture, FixtureOptions, write_fixture};
use ebbtide_rows::Schema;
use rusqlite::Connection;

use crate::{awkward, body};

fn make(source: &Connection, options: &FixtureOptions, path: &Path) -> Fixture {
    let schema = Schema::read(source, "main").unwrap();
    let file = File::options().read(true).write(true).create_new(true).open(path).unwrap();
    write_fixture(source, &schema, options, &file, path).unwrap()
}

fn lines(fixture: &Fixture) -> Vec<String> {
    let line = |finding: &ebbtide_export::Finding| {
        let count = finding.count.map_or(String::new(), |count| format!(" ({count})"));
        format!("{}{count}", finding.what)
    };
    fixture.findings.iter().map(line).collect()
}

#[test]
fn a_fixture_has_every_row_and_opens_without_a_trace() {
    let directory = tempfile::tempdir().unwrap();
    for encoding in ["UTF-8", "UTF-16le"] {
        let source = Connection::open_in_memory().unwrap();
        source.execute_batch(&format!("PRAGMA encoding = '{encoding}'")).unwrap();
        awkward::fill(&source);
        let path = directory.path().join(format!("{encoding}.db"));
        make(&source, &FixtureOptions::default(), &path);
        let made = Connection::open(&path).unwrap();
        for table in body::ordinary(&source) {
            assert_eq!(body::rows(&source, &table), body::rows(&made, &table), "{table}");
        }
        assert_eq!(body::statements(&source), body::statements(&made));
        assert_eq!(body::rows(&source, "sqlite_sequence"), body::rows(&made, "sqlite_sequence"));
        let asked = |sql: &str| made.query_row(sql, [], |row| row.get::<_, String>(0)).unwrap();
        assert_eq!(asked("PRAGMA integrity_check"), "ok");
        assert_eq!(asked("PRAGMA journal_mode"), "delete");
        assert_eq!(asked("PRAGMA encoding"), encoding);
        assert_eq!(
            asked(
                "SELECT user_version || ' ' || application_id FROM pragma_user_version, pragma_application_id"
            ),
            "42 1196444487"
        );
        assert_eq!(asked("SELECT count(*) || '' FROM docs WHERE docs MATCH 'words'"), "2");
        assert_eq!(asked("SELECT id || '' FROM boxes WHERE x0 < 0.75"), "1");
        made.execute_batch("INSERT INTO linked (linked) VALUES ('integrity-check')").unwrap();
    }
}

/// Catches bytes that tell of how the rows came to be: the order of allocation, free pages, counters, old full text.
#[test]
fn the_same_rows_have_the_same_bytes_whatever_their_history() {
    let directory = tempfile::tempdir().unwrap();
    let schema = "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b BLOB); CREATE INDEX i ON t (a);
                  CREATE TABLE loose (a); CREATE VIRTUAL TABLE docs USING fts5 (body);
                  CREATE VIRTUAL TABLE boxes USING rtree (id, x0, x1);";
    let rows = "WITH n(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM n LIMIT 500)
                INSERT INTO t SELECT n, 'row ' || n, zeroblob(n) FROM n;
                INSERT INTO loose SELECT a FROM t ORDER BY id;
                INSERT INTO docs (rowid, body) SELECT id, a FROM t;
                INSERT INTO boxes SELECT id, id, id + 1 FROM t;";
    let straight = Connection::open(directory.path().join("straight.db")).unwrap();
    straight.execute_batch(schema).unwrap();
    straight.execute_batch(rows).unwrap();
    let winding = Connection::open(directory.path().join("winding.db")).unwrap();
    winding.execute_batch("PRAGMA page_size = 1024; PRAGMA journal_mode = WAL; CREATE TABLE gone (a); DROP TABLE gone").unwrap();
    winding.execute_batch(schema).unwrap();
    winding
        .execute_batch(
            "WITH n(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM n LIMIT 900)
             INSERT INTO t SELECT 1000 - n, hex(randomblob(40)), randomblob(300) FROM n;
             INSERT INTO loose SELECT b FROM t; INSERT INTO docs SELECT a FROM t; INSERT INTO boxes SELECT id, 0, id FROM t;
             DELETE FROM t; DELETE FROM loose; DELETE FROM docs; DELETE FROM boxes; ANALYZE; DROP TABLE IF EXISTS sqlite_stat1",
        )
        .ok();
    winding
        .execute_batch("DELETE FROM t; DELETE FROM loose; DELETE FROM docs; DELETE FROM boxes")
        .unwrap();
    winding
        .execute_batch("INSERT INTO loose (rowid, a) VALUES (7777, 'x'); DELETE FROM loose")
        .unwrap();
    winding.execute_batch(rows).unwrap();
    let bytes = |source: &Connection, name: &str| {
        let path = directory.path().join(name);
        make(source, &FixtureOptions::default(), &path);
        fs::read(path).unwrap()
    };
    let first = bytes(&straight, "1");
    assert!(first == bytes(&straight, "2"), "twice of one database");
    let other = bytes(&winding, "3");
    let differing = first.iter().zip(&other).position(|(a, b)| a != b);
    assert!(
        first.len() == other.len() && differing.is_none(),
        "{} and {} bytes, from {differing:?} on",
        first.len(),
        other.len()
    );
    winding.execute_batch("UPDATE t SET a = 'another' WHERE id = 3").unwrap();
    assert!(first != bytes(&winding, "4"), "another row");
}

#[test]
fn rows_that_are_referred_to_come_along() {
    let source = Connection::open_in_memory().unwrap();
    source
        .execute_batch(
            "PRAGMA foreign_keys = 0;
             CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT UNIQUE COLLATE NOCASE, referrer INT REFERENCES customer, city TEXT REFERENCES city (name));
             CREATE TABLE city (name TEXT PRIMARY KEY) WITHOUT ROWID;
             CREATE TABLE orders (id INTEGER PRIMARY KEY, customer TEXT REFERENCES customer (name), nowhere INT REFERENCES gone);
             CREATE TABLE line (orders INT REFERENCES orders, note);
             CREATE TABLE unrelated (a);
             CREATE VIEW v AS SELECT 1; CREATE TRIGGER g AFTER INSERT ON orders BEGIN DELETE FROM unrelated; END;
             INSERT INTO city VALUES ('Bern'), ('Ulm'), ('Graz');
             INSERT INTO customer VALUES (1, 'Ada', 2, 'Bern'), (2, 'Bob', 3, NULL), (3, 'Cyd', 1, 'Ulm'), (4, 'Dan', NULL, 'Graz');
             INSERT INTO orders VALUES (1, 'ADA', NULL), (2, 'Dan', NULL), (3, 'nobody', 5);
             INSERT INTO line VALUES (1, 'x'), (2, 'y'), (3, 'z'), (99, 'dangling');
             INSERT INTO unrelated VALUES (1);",
        )
        .unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("f.db");
    let options = FixtureOptions {
        tables: vec!["line".to_owned()],
        conditions: vec![("line".to_owned(), "note <> 'y'".to_owned())],
    };
    let made = make(&source, &options, &path);
    let fixture = Connection::open(&path).unwrap();
    let asked = |sql: &str| fixture.query_row(sql, [], |row| row.get::<_, String>(0)).unwrap();
    assert_eq!(asked("SELECT group_concat(id) FROM orders"), "1,3");
    assert_eq!(
        asked("SELECT group_concat(id) FROM customer"),
        "1,2,3",
        "through a circle, and found without regard to case"
    );
    assert_eq!(asked("SELECT group_concat(name) FROM city"), "Bern,Ulm");
    assert_eq!(
        asked("SELECT group_concat(name) FROM sqlite_schema WHERE type <> 'index'"),
        "customer,city,orders,line,g"
    );
    let said = lines(&made).join("\n");
    for expected in [
        "rows of orders were added, because others refer to them (2)",
        "line: foreign key (orders) to orders: rows that refer to none, as in the source (1)",
        "orders: foreign key (customer) to customer: rows that refer to none, as in the source (1)",
        "orders: foreign key (nowhere) to gone, which leads nowhere",
        "view v",
    ] {
        assert!(said.contains(expected), "{expected} is not in\n{said}");
    }
    assert!(make_fails(&source, "nothing", directory.path()));
}

fn make_fails(source: &Connection, table: &str, directory: &Path) -> bool {
    let path = directory.join("none.db");
    let schema = Schema::read(source, "main").unwrap();
    let file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
    let options = FixtureOptions { tables: vec![table.to_owned()], conditions: Vec::new() };
    write_fixture(source, &schema, &options, &file, &path).is_err()
}

/// A table comes along without rows where no row refers to any.
#[test]
fn tables_that_tables_without_rows_refer_to_come_along() {
    let directory = tempfile::tempdir().unwrap();
    let source = Connection::open_in_memory().unwrap();
    source
        .execute_batch(
            "CREATE TABLE c (id INTEGER PRIMARY KEY); CREATE TABLE b (id INTEGER PRIMARY KEY, c REFERENCES c);
             CREATE TABLE a (id INTEGER PRIMARY KEY, b REFERENCES b)",
        )
        .unwrap();
    let path = directory.path().join("few.db");
    let options = FixtureOptions { tables: vec!["a".to_owned()], ..FixtureOptions::default() };
    make(&source, &options, &path);
    let fixture = Connection::open(&path).unwrap();
    fixture
        .execute_batch("PRAGMA foreign_keys = 1; INSERT INTO c VALUES (1); INSERT INTO b VALUES (1, 1); INSERT INTO a VALUES (1, 1)")
        .unwrap();
}
