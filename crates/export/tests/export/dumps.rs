//! Dumps that SQLite's own shell reads back.

use std::path::Path;

use ebbtide_export::{DumpOptions, dump};
use ebbtide_rows::Schema;
use rusqlite::Connection;

use crate::{awkward, body, shell};

fn dumped(connection: &Connection, options: DumpOptions<'_>) -> Vec<u8> {
    let schema = Schema::read(connection, "main").unwrap();
    let mut out = Vec::new();
    dump(connection, &schema, options, &|| Ok(()), &mut out).unwrap();
    out
}

fn pragma(connection: &Connection, name: &str) -> String {
    connection
        .query_row(&format!("SELECT * FROM pragma_{name}"), [], |row| {
            row.get::<_, rusqlite::types::Value>(0)
        })
        .map(|value| format!("{value:?}"))
        .unwrap()
}

#[track_caller]
fn assert_same(a: &Connection, b: &Connection) {
    let (ours, theirs) = (body::all_rows(a), body::all_rows(b));
    for (table, rows) in &ours {
        if table.starts_with("sqlite_stat4") {
            continue;
        }
        let back = theirs.get(table).unwrap_or_else(|| panic!("{table} is gone"));
        assert_eq!(rows.len(), back.len(), "{table}");
        for (row, back) in rows.iter().zip(back) {
            assert_eq!(row, back, "{table}");
        }
    }
    assert_eq!(body::statements(a), body::statements(b));
    for name in ["user_version", "application_id", "encoding"] {
        assert_eq!(pragma(a, name), pragma(b, name), "{name}");
    }
}

/// Makes the database at `path` in this encoding, dumps it, has the shell read it, and compares.
fn goes_there_and_back(directory: &Path, encoding: &str) {
    let source = Connection::open(directory.join(format!("{encoding}.db"))).unwrap();
    source.execute_batch(&format!("PRAGMA encoding = '{encoding}'")).unwrap();
    awkward::fill(&source);
    let script = dumped(&source, DumpOptions::default());
    let path = directory.join(format!("{encoding}-back.db"));
    shell::read(&path, &script);
    let back = Connection::open(&path).unwrap();
    assert_same(&source, &back);
    let checks = "INSERT INTO docs (docs) VALUES ('integrity-check'); INSERT INTO linked (linked) VALUES ('integrity-check')";
    back.execute_batch(checks).unwrap();
    let found = |sql: &str| back.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(found("SELECT count(*) FROM docs WHERE docs MATCH 'words'"), 2);
    assert_eq!(found("SELECT id FROM boxes WHERE x0 < 0.75"), 1);
    assert_eq!(
        found("SELECT count(*) FROM audit"),
        found("SELECT count(*) FROM child"),
        "the trigger has not fired again"
    );
}

#[test]
fn t31_t09_a_dump_is_read_back_by_the_shell_with_every_class_and_byte() {
    if shell::is_there("dumps") {
        let directory = tempfile::tempdir().unwrap();
        goes_there_and_back(directory.path(), "UTF-8");
    }
}

/// The text of other encodings, and the encoding itself, which `.dump` forgets.
#[test]
fn t07_a_dump_keeps_the_encoding() {
    if shell::is_there("dumps") {
        let directory = tempfile::tempdir().unwrap();
        for encoding in ["UTF-16le", "UTF-16be"] {
            goes_there_and_back(directory.path(), encoding);
        }
    }
}

/// Of a database without what the shell loses, it is the same to the byte.
#[test]
fn a_dump_is_what_the_shell_prints() {
    if !shell::is_there("dumps") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.db");
    let source = Connection::open(&path).unwrap();
    source
        .execute_batch(
            "CREATE TABLE \"order\" (id INTEGER PRIMARY KEY AUTOINCREMENT, note TEXT, data BLOB);
             CREATE TABLE b (x INT, y AS (x + 1), z);
             CREATE VIRTUAL TABLE docs USING fts5 (body);
             INSERT INTO \"order\" (note, data) VALUES ('it''s', x'00ff'), ('two
lines', NULL), (NULL, x'');
             INSERT INTO b VALUES (1, 2), (-7, 'text');
             INSERT INTO docs VALUES ('some words');
             CREATE INDEX i ON b (x); CREATE VIEW v AS SELECT 1; CREATE TRIGGER t AFTER DELETE ON b BEGIN SELECT 1; END;",
        )
        .unwrap();
    let ours = String::from_utf8(dumped(&source, DumpOptions::default())).unwrap();
    let ours = ours
        .replace("/* WARNING: Script requires that SQLITE_DBCONFIG_DEFENSIVE be disabled */\n", "");
    let theirs = String::from_utf8(shell::dump(&path)).unwrap();
    let theirs = theirs
        .replace("/* WARNING: Script requires that SQLITE_DBCONFIG_DEFENSIVE be disabled */\n", "");
    assert_eq!(ours, theirs);
}

#[test]
fn one_table_is_dumped_with_what_belongs_to_it() {
    let source = Connection::open_in_memory().unwrap();
    awkward::fill(&source);
    let tables = ["child".to_owned()];
    let script = dumped(&source, DumpOptions { tables: &tables, keeps_rowids: false });
    let back = Connection::open_in_memory().unwrap();
    back.execute_batch(&String::from_utf8(script).unwrap()).unwrap();
    assert_eq!(body::rows(&back, "child"), body::rows(&source, "child"));
    assert_eq!(body::statements(&back).len(), 2, "the table and its trigger");
}

#[test]
fn rowids_are_kept_if_that_is_said() {
    let source = Connection::open_in_memory().unwrap();
    awkward::fill(&source);
    let tables = ["rowid_only".to_owned()];
    let script = dumped(&source, DumpOptions { tables: &tables, keeps_rowids: true });
    let back = Connection::open_in_memory().unwrap();
    back.execute_batch(&String::from_utf8(script).unwrap()).unwrap();
    let greatest: i64 =
        back.query_row("SELECT max(rowid) FROM rowid_only", [], |row| row.get(0)).unwrap();
    assert_eq!(greatest, 20);
}
