//! Scripts make the old database the new one, in our SQLite and in Debian's shell.

use std::process::Command;

use ebbtide_rows::{Options, Script, diff};

use crate::support::{assert_same, copy, database, has, save, script, side};

/// Pairs of a schema with rows, and what is done to it.
pub(crate) const CASES: &[(&str, &str, &str)] = &[
    (
        "t09: values that SQL calls equal or that print badly",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT COLLATE NOCASE, b TEXT COLLATE RTRIM, c, d);
         INSERT INTO t VALUES (1, 'abc', 'x', 1, NULL), (2, 'q', 'y', 'a', 0.1), (3, '', '', '', x''), (4, 1, 2, 3, 4);",
        "UPDATE t SET a = 'ABC', b = 'x  ', c = 1.0 WHERE id = 1;
         UPDATE t SET c = CAST(x'610062' AS TEXT), d = CAST(x'ff' AS TEXT) WHERE id = 2;
         UPDATE t SET c = x'', d = '' WHERE id = 3;
         INSERT INTO t VALUES (5, 'it''s', '\"', 9e999, -9e999), (-7, 0.1 + 0.2, 1e300, 5e-324, -0.0);
         DELETE FROM t WHERE id = 4;",
    ),
    (
        "unique values that are swapped and passed on",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, u UNIQUE, v); CREATE UNIQUE INDEX i ON t (abs(v));
         INSERT INTO t VALUES (1, 'a', 1), (2, 'b', 2), (3, 'c', 3), (4, 'd', 4);",
        "UPDATE t SET u = 'x', v = 9 WHERE id = 1; UPDATE t SET u = 'a', v = 1 WHERE id = 2;
         UPDATE t SET u = 'b', v = -2 WHERE id = 1; DELETE FROM t WHERE id = 3;
         INSERT INTO t VALUES (0, 'c', 3);",
    ),
    (
        "keys without rowid, in other orders than that of bytes",
        "CREATE TABLE t (a TEXT COLLATE NOCASE, b INT, c, PRIMARY KEY (b DESC, a)) WITHOUT ROWID;
         CREATE TABLE k (a PRIMARY KEY, b) WITHOUT ROWID;
         INSERT INTO t VALUES ('a', 1, 'x'), ('B', 1, 'y'), ('c', 1, 'z'), ('a', 2, NULL), ('Z', -5, 1);
         INSERT INTO k VALUES (1, 'i'), (2.5, 'r'), ('1', 't'), (x'31', 'b');",
        "UPDATE t SET a = 'A' WHERE a = 'a' AND b = 1; DELETE FROM t WHERE a = 'b'; INSERT INTO t VALUES ('b', 2, 3);
         DELETE FROM k WHERE a = 1; INSERT INTO k VALUES (1.0, 'real'), (-1, 'n'); UPDATE k SET b = 'u' WHERE a = '1';",
    ),
    (
        "no key at all, and no name for the rowid",
        "CREATE TABLE t (a, b); INSERT INTO t VALUES (1, 2), (1, 2), (3, 4);
         CREATE TABLE o (rowid, oid PRIMARY KEY, _rowid_) ; INSERT INTO o VALUES (1, 2, 3), (4, 5, 6);",
        "DELETE FROM t WHERE rowid = 1; INSERT INTO t VALUES (1.0, 2), (5, 6); UPDATE t SET b = 7 WHERE a = 3;
         UPDATE o SET rowid = 9 WHERE oid = 2; DELETE FROM o WHERE oid = 5; INSERT INTO o VALUES (7, 8, 9);",
    ),
    (
        "t13: columns added and dropped, with values that came later",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a, b, UNIQUE (a)); INSERT INTO t VALUES (1, 2, 3), (4, 5, 6);
         CREATE INDEX i ON t (b);",
        "ALTER TABLE t ADD COLUMN c TEXT NOT NULL DEFAULT 'none'; DROP INDEX i; ALTER TABLE t DROP COLUMN b;
         UPDATE t SET c = 'one' WHERE id = 1; INSERT INTO t VALUES (7, 8, 'new'); CREATE INDEX i ON t (c, a);",
    ),
    (
        "t13: a table that is made again with another key",
        "CREATE TABLE t (a TEXT, b INT); INSERT INTO t VALUES ('x', 1), ('y', 2);
         CREATE INDEX i ON t (b); CREATE TRIGGER g AFTER INSERT ON t BEGIN UPDATE t SET b = b + 100; END;",
        "CREATE TABLE n (id INTEGER PRIMARY KEY AUTOINCREMENT, a TEXT UNIQUE, b INT CHECK (b < 50));
         INSERT INTO n (a, b) SELECT a, b FROM t; INSERT INTO n VALUES (90, 'z', 3); DELETE FROM n WHERE id = 90;
         DROP TABLE t; ALTER TABLE n RENAME TO t; CREATE INDEX i ON t (b);
         CREATE TRIGGER g AFTER INSERT ON t BEGIN UPDATE t SET b = b + 1 WHERE id = new.id; END;",
    ),
    (
        "t15: triggers that would act a second time, and foreign keys",
        "CREATE TABLE p (id INTEGER PRIMARY KEY, n); CREATE TABLE c (id INTEGER PRIMARY KEY, p REFERENCES p ON DELETE CASCADE);
         CREATE TABLE log (id INTEGER PRIMARY KEY, what);
         CREATE TRIGGER g AFTER DELETE ON p BEGIN INSERT INTO log (what) VALUES ('deleted ' || old.n); END;
         CREATE TRIGGER h AFTER INSERT ON log BEGIN UPDATE p SET n = n || '!'; END;
         INSERT INTO p VALUES (1, 'a'), (2, 'b'); INSERT INTO c VALUES (1, 1), (2, 1), (3, 2);",
        "PRAGMA foreign_keys = ON; DELETE FROM p WHERE id = 1; INSERT INTO p VALUES (3, 'c'); INSERT INTO c VALUES (9, 3);",
    ),
    (
        "generated columns are computed, not written",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a, b AS (a * 2) STORED, c AS (a || 'x') UNIQUE); INSERT INTO t (id, a) VALUES (1, 2), (2, 3);",
        "UPDATE t SET a = 9 WHERE id = 1; UPDATE t SET a = 2 WHERE id = 2; INSERT INTO t (id, a) VALUES (3, 3);",
    ),
    (
        "AUTOINCREMENT does not count rowids that were set",
        "CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, a); CREATE TABLE u (id INTEGER PRIMARY KEY AUTOINCREMENT, a);
         INSERT INTO t (a) VALUES (1), (2), (3); INSERT INTO u (a) VALUES (1);",
        "UPDATE t SET id = 100 WHERE id = 2; UPDATE u SET a = 2; CREATE TABLE v (id INTEGER PRIMARY KEY AUTOINCREMENT);",
    ),
    (
        "tables with triggers, and triggers on tables that were there",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a); INSERT INTO t VALUES (1, 1), (2, 2);
         CREATE TRIGGER kept AFTER DELETE ON t WHEN old.id > 9 BEGIN UPDATE t SET a = a + 1; END;",
        "CREATE TABLE gen (k INTEGER PRIMARY KEY, b); INSERT INTO gen VALUES (1, 'x');
         DELETE FROM t WHERE id = 1; INSERT INTO t VALUES (3, 3);
         CREATE TRIGGER fresh AFTER INSERT ON t WHEN new.id > 9 BEGIN UPDATE t SET a = 0; END;
         CREATE TRIGGER tr AFTER DELETE ON gen BEGIN UPDATE t SET a = 9; END;",
    ),
    (
        "AUTOINCREMENT goes on where it was",
        "CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, a); CREATE TABLE u (id INTEGER PRIMARY KEY AUTOINCREMENT, a);
         INSERT INTO t (a) VALUES (1), (2), (3);",
        "INSERT INTO t (a) VALUES (4), (5); DELETE FROM t WHERE id > 3; INSERT INTO u VALUES (50, 1); DELETE FROM u;",
    ),
    (
        "views, triggers, indexes and tables come and go",
        "CREATE TABLE a (x); CREATE TABLE b (y); CREATE VIEW v AS SELECT x FROM a; CREATE VIEW w AS SELECT y FROM b;
         INSERT INTO a VALUES (1); INSERT INTO b VALUES (2);",
        "DROP TABLE b; DROP VIEW w; DROP VIEW v; CREATE VIEW v AS SELECT x + 1 AS x FROM a; CREATE TABLE c (z UNIQUE);
         INSERT INTO c VALUES ('new'); CREATE TRIGGER g INSTEAD OF INSERT ON v BEGIN INSERT INTO a VALUES (new.x); END;
         CREATE INDEX ia ON a (x) WHERE x > 0;",
    ),
    (
        "t18: full-text tables and R-Trees through the virtual table",
        "CREATE VIRTUAL TABLE f USING fts5 (title, body); CREATE VIRTUAL TABLE r USING rtree (id, x0, x1, +name);
         CREATE TABLE docs (id INTEGER PRIMARY KEY, body);
         CREATE VIRTUAL TABLE i USING fts5 (body, content = 'docs', content_rowid = 'id');
         CREATE TRIGGER g AFTER INSERT ON docs BEGIN INSERT INTO i (rowid, body) VALUES (new.id, new.body); END;
         INSERT INTO f VALUES ('a', 'some words'), ('b', 'other words'); INSERT INTO r VALUES (1, 0.5, 1.25, 'n'), (2, 3, 4, NULL);
         INSERT INTO docs VALUES (1, 'first'), (2, 'second');",
        "UPDATE f SET body = 'new words' WHERE rowid = 1; DELETE FROM f WHERE rowid = 2; INSERT INTO f (rowid, title) VALUES (9, 'z');
         UPDATE r SET x1 = 7.1, name = 'm' WHERE id = 2; DELETE FROM r WHERE id = 1; INSERT INTO r VALUES (5, -1, 1, 'k');
         INSERT INTO docs VALUES (3, 'third');",
    ),
    (
        "names that have to be quoted",
        "CREATE TABLE \"a \"\"b\"\"\" (\"select\" INTEGER PRIMARY KEY, \"it's\" TEXT, [x y]); INSERT INTO \"a \"\"b\"\"\" VALUES (1, 2, 3);",
        "UPDATE \"a \"\"b\"\"\" SET \"it's\" = '''', [x y] = 4; INSERT INTO \"a \"\"b\"\"\" VALUES (2, NULL, NULL);",
    ),
    (
        "strict tables",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a ANY, b REAL, c BLOB) STRICT; INSERT INTO t VALUES (1, '1', 1, x'00');",
        "INSERT INTO t VALUES (2, 1, 2.5, NULL), (3, x'00', -0.0, x''); UPDATE t SET a = 1.0;",
    ),
];

#[test]
fn a_script_makes_the_old_database_the_new_one() {
    for (said, begin, then) in CASES {
        let mut old = database(begin);
        let new = copy(&mut old);
        new.execute_batch(then).unwrap();
        let script = script(&old, &new, &Options::default()).unwrap();
        old.execute_batch(&script).unwrap_or_else(|error| panic!("{said}: {error}\n{script}"));
        assert_same(&old, &new, &format!("{said}\n{script}"));
        let again = crate::support::summary(&old, &new, &Options::default());
        assert!(again.is_equal(), "{said}: {again:?}");
    }
}

/// What cannot be said by statements is refused, not said wrongly.
#[test]
fn rows_without_a_name_are_refused() {
    let mut old =
        database("CREATE TABLE t (rowid, oid, _rowid_); INSERT INTO t VALUES (1, 2, 3), (1, 2, 3)");
    let new = copy(&mut old);
    let schema: i64 = new.query_row("PRAGMA schema_version", [], |row| row.get(0)).unwrap();
    assert!(schema > 0);
    new.execute_batch("DELETE FROM t; INSERT INTO t VALUES (1, 2, 3)").unwrap();
    let refused = script(&old, &new, &Options::default()).unwrap_err().to_string();
    assert!(refused.contains("a row of t cannot be named"), "{refused}");
}

#[test]
fn debians_shell_runs_the_scripts() {
    if !has("sqlite3") {
        eprintln!("skipped, because there is no sqlite3");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("old.db");
    for (said, begin, then) in CASES {
        let mut old = database(begin);
        let new = copy(&mut old);
        new.execute_batch(then).unwrap();
        let script = script(&old, &new, &Options::default()).unwrap();
        save(&mut old, &path);
        let file = directory.path().join("script.sql");
        std::fs::write(&file, &script).unwrap();
        let mut shell = Command::new("sqlite3");
        shell.arg(&path).stdin(std::fs::File::open(&file).unwrap());
        let output = shell.output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(errors.is_empty(), "{said}: {errors}\n{script}");
        assert_same(&rusqlite::Connection::open(&path).unwrap(), &new, said);
    }
}

/// What most migrations go by.
#[test]
fn numbers_of_the_database_are_differences_of_their_own() {
    let mut old = database("CREATE TABLE t (id INTEGER PRIMARY KEY); PRAGMA user_version = 6");
    let new = copy(&mut old);
    new.execute_batch("PRAGMA user_version = 7; PRAGMA application_id = -5").unwrap();
    let options = Options::default();
    let mut changes = Script::new(Vec::new());
    let summary = diff(side(&old), side(&new), &options, &mut changes).unwrap();
    assert!(!summary.is_equal());
    let numbers: Vec<_> =
        summary.numbers.iter().map(|number| (number.pragma, number.old, number.new)).collect();
    assert_eq!(numbers, [("user_version", 6, 7), ("application_id", 0, -5)]);
    let sql = String::from_utf8(changes.into_inner()).unwrap();
    old.execute_batch(&sql).unwrap();
    let nothing = script(&new, &new, &options).unwrap();
    assert_eq!(script(&old, &new, &options).unwrap(), nothing, "{sql}");
    // Who asks for a table wants nothing else.
    let third = database("CREATE TABLE t (id INTEGER PRIMARY KEY)");
    let options = Options { tables: vec!["t".to_owned()], ..Options::default() };
    assert_eq!(script(&third, &new, &options).unwrap(), nothing);
}
