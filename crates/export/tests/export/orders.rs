//! Tables in orders that only their application knows.

use std::fs::File;

use ebbtide_export::{DumpOptions, FixtureOptions, dump, read_past_orders, write_fixture};
use ebbtide_rows::Schema;
use rusqlite::Connection;

/// As Anki has it: SQLite itself reads none of these tables without the application's order.
#[test]
fn tables_in_an_order_that_only_their_application_knows_are_taken_as_they_are_stored() {
    let connection = Connection::open_in_memory().unwrap();
    connection
        .execute_batch(
            "CREATE TABLE tags (tag TEXT PRIMARY KEY COLLATE NOCASE, n) WITHOUT ROWID;
             CREATE TABLE fields (a INT, b INT, name TEXT COLLATE NOCASE, PRIMARY KEY (a, b)) WITHOUT ROWID;
             CREATE UNIQUE INDEX i ON fields (name, a); CREATE TABLE plain (x); INSERT INTO plain VALUES (1);
             INSERT INTO tags VALUES ('b', 1), ('A', 2); INSERT INTO fields VALUES (1, 2, 'Z'), (1, 1, 'y');
             PRAGMA writable_schema = 1; UPDATE sqlite_schema SET sql = replace(sql, 'NOCASE', 'unicase');
             PRAGMA writable_schema = RESET",
        )
        .unwrap();
    let schema = Schema::read(&connection, "main").unwrap();
    read_past_orders(&connection, &schema).unwrap();
    let mut script = Vec::new();
    let options = DumpOptions { tables: &[], keeps_rowids: false };
    let findings = dump(&connection, &schema, options, &|| Ok(()), &mut script).unwrap();
    assert!(findings.is_empty(), "{findings:?}");
    let script = String::from_utf8(script).unwrap();
    for row in [
        "tags VALUES('A',2)",
        "tags VALUES('b',1)",
        "fields VALUES(1,1,'y')",
        "fields VALUES(1,2,'Z')",
    ] {
        assert!(script.contains(row), "{row}: {script}");
    }
    let directory = tempfile::tempdir().unwrap();
    let made = |tables: &[&str]| {
        let path = directory.path().join(format!("of-{}", tables.concat()));
        let file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
        let tables = tables.iter().map(|table| (*table).to_owned()).collect();
        let options = FixtureOptions { tables, conditions: Vec::new() };
        write_fixture(&connection, &schema, &options, &file, &path)
    };
    for tables in [&[][..], &["tags"][..]] {
        let refused = made(tables).unwrap_err().to_string();
        assert!(
            refused.contains("in the order unicase") && refused.contains("--table"),
            "{refused}"
        );
    }
    assert_eq!(made(&["plain"]).unwrap().tables, [("plain".to_owned(), 1)]);
}
