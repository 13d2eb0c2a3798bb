//! What PostgreSQL cannot hold: named, counted, and with the word that allows it.

use ebbtide_export::{BrokenKeys, FindingKind, NulPolicy, PostgresOptions};
use rusqlite::Connection;

use crate::loads::{compare, loads, options, planned, script};
use crate::server::server;

/// What is refused of a database, in words.
fn refused(sql: &str, options: &PostgresOptions) -> Vec<String> {
    let connection = Connection::open_in_memory().unwrap();
    connection.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
    connection.execute_batch(sql).unwrap();
    let plan = planned(&connection, options);
    let refused = plan.report.all().filter(|(_, finding)| finding.kind == FindingKind::Refused);
    refused
        .map(|(about, finding)| {
            format!("{about}: {} [{}]", finding.what, finding.word.as_deref().unwrap_or(""))
        })
        .collect()
}

#[track_caller]
fn is_refused(sql: &str, expected: &str) {
    let found = refused(sql, &options());
    assert!(found.len() == 1 && found[0].contains(expected), "{sql}: {found:?}");
}

#[test]
fn t31_values_that_cannot_be_are_refused_by_column() {
    is_refused(
        "CREATE TABLE t (a INT); INSERT INTO t VALUES (1), ('toto')",
        "t.a: values of several storage classes: 1 integer, 1 text [--cast 't.a=text']",
    );
    is_refused(
        "CREATE TABLE t (a TEXT); INSERT INTO t VALUES ('a' || char(0))",
        "t.a: text with NUL",
    );
    is_refused(
        "CREATE TABLE t (a TEXT); INSERT INTO t VALUES (CAST(x'ff' AS TEXT))",
        "t.a: text that is not UTF-8 [--cast 't.a=bytea']",
    );
    is_refused(
        "CREATE TABLE t (a BLOB); INSERT INTO t VALUES ('x'), (x'00')",
        "1 text, 1 blob [--cast 't.a=bytea']",
    );
    is_refused(
        "CREATE TABLE t (a); INSERT INTO t VALUES (1), (x'89ff00')",
        "1 integer, 1 blob [--cast 't.a=bytea']",
    );
    is_refused(
        "CREATE TABLE t (a NUMERIC); INSERT INTO t VALUES (9007199254740993), (0.5)",
        "[--cast 't.a=numeric']",
    );
    is_refused("CREATE TABLE t (xmin INT)", "column \"xmin\"");
    is_refused("CREATE TABLE t (\"\" INT)", "a name without a letter");
}

#[test]
fn t31_names_that_would_be_one_are_refused() {
    let long = "x".repeat(63);
    is_refused(
        &format!("CREATE TABLE {long}a (a); CREATE TABLE {long}b (a)"),
        "names that agree in 63 bytes",
    );
    is_refused(
        &format!("CREATE TABLE t ({long}a INT, {long}b INT)"),
        "t: names that agree in 63 bytes",
    );
}

#[test]
fn t31_keys_that_rows_break_are_refused_and_left_out_on_request() {
    let orphans = "CREATE TABLE p (id INTEGER PRIMARY KEY); CREATE TABLE c (p INT REFERENCES p); INSERT INTO c VALUES (7), (NULL)";
    is_refused(
        orphans,
        "c: foreign key (p) to p: rows that refer to none [--broken-keys leave-out]",
    );
    let nulls = "CREATE TABLE t (k TEXT PRIMARY KEY); INSERT INTO t VALUES (NULL), (NULL), ('a')";
    is_refused(nulls, "t: primary key with NULL in it");
    is_refused(
        "CREATE TABLE c (p INT REFERENCES gone); INSERT INTO c VALUES (NULL)",
        "there is no such table",
    );
    is_refused(
        "CREATE TABLE p (a, b); CREATE TABLE c (p INT REFERENCES p (a)); INSERT INTO c VALUES (NULL)",
        "no key there is of those columns",
    );
    is_refused(
        "CREATE TABLE p (id TEXT PRIMARY KEY); CREATE TABLE c (p INT REFERENCES p); INSERT INTO p VALUES ('1'); INSERT INTO c VALUES (1)",
        "bigint cannot refer to text",
    );
    is_refused(
        "CREATE TABLE t (a TEXT UNIQUE); INSERT INTO t VALUES (hex(zeroblob(2000)))",
        "UNIQUE (a): values of up to 4000 bytes",
    );
    // SQLite finds the parent without regard to case, and PostgreSQL does not.
    is_refused(
        "CREATE TABLE p (k TEXT COLLATE NOCASE PRIMARY KEY); CREATE TABLE c (k TEXT REFERENCES p); INSERT INTO p VALUES ('A'); INSERT INTO c VALUES ('a'), ('A')",
        "rows that refer to none",
    );
    let lax = PostgresOptions { broken_keys: BrokenKeys::LeaveOut, ..options() };
    for sql in [orphans, nulls] {
        assert_eq!(refused(sql, &lax), Vec::<String>::new(), "{sql}");
    }
    let Some(server) = server("refusals") else { return };
    let connection = Connection::open_in_memory().unwrap();
    connection.execute_batch(&format!("PRAGMA foreign_keys = OFF; {orphans}; {nulls}")).unwrap();
    loads(&connection, &lax, &server.database());
}

#[test]
fn t31_nul_goes_as_was_said_and_is_counted() {
    let sql = "CREATE TABLE t (a TEXT, b TEXT); INSERT INTO t VALUES ('a' || char(0) || 'b', 'x'), ('c', 'y')";
    let connection = Connection::open_in_memory().unwrap();
    connection.execute_batch(sql).unwrap();
    let Some(server) = server("refusals") else { return };
    let bytea = PostgresOptions { nul: NulPolicy::Bytea, ..options() };
    let database = server.database();
    loads(&connection, &bytea, &database);
    assert_eq!(database.ask("SELECT a, b FROM t"), "\\x610062|x\n\\x63|y");
    let strip = PostgresOptions { nul: NulPolicy::Strip, ..options() };
    let plan = planned(&connection, &strip);
    let lines: Vec<String> = plan.report.lines().collect();
    assert_eq!(lines, ["t.a: NULs were taken out (1)"]);
    let database = server.database();
    assert!(database.load(&script(&connection, &strip)).status.success());
    assert_eq!(database.ask("SELECT a FROM t"), "ab\nc");
}

/// Nothing of a schema goes without being named.
#[test]
fn what_is_left_out_is_named() {
    let connection = Connection::open_in_memory().unwrap();
    connection
        .execute_batch(
            "CREATE TABLE t (a TEXT COLLATE NOCASE UNIQUE CHECK (a <> 'no'), b INT DEFAULT (random()), c AS (b + 1), CHECK (b < 9));
             CREATE INDEX partial ON t (b) WHERE b > 0; CREATE INDEX by_expression ON t (lower(a)); CREATE INDEX folded ON t (a);
             CREATE VIEW v AS SELECT * FROM t; CREATE TRIGGER g AFTER INSERT ON t BEGIN SELECT 1; END;
             CREATE VIRTUAL TABLE docs USING fts5 (body); CREATE TABLE _litestream_seq (id INTEGER PRIMARY KEY, seq INTEGER);
             INSERT INTO t (a, b) VALUES ('x', 1)",
        )
        .unwrap();
    let plan = planned(&connection, &options());
    let lines: Vec<String> = plan.report.lines().collect();
    let all = lines.join("\n");
    assert!(!plan.report.is_refused(), "{all}");
    for expected in [
        "t: CHECK (a <> 'no')",
        "t: CHECK (b < 9)",
        "t.b: DEFAULT random()",
        "t.c: a plain column with the values of: b + 1",
        "t: index with an expression or a condition: CREATE INDEX partial",
        "t: index with an expression or a condition: CREATE INDEX by_expression",
        "t: index in an order that PostgreSQL has not: CREATE INDEX folded",
        "t: UNIQUE (a): texts that NOCASE calls equal are two there",
        "view v",
        "trigger g",
        "virtual table docs (fts5)",
        "table _litestream_seq, which is Litestream's",
    ] {
        assert!(all.contains(expected), "{expected} is not in\n{all}");
    }
    let Some(server) = server("refusals") else { return };
    let database = server.database();
    assert!(database.load(&script(&connection, &options())).status.success());
    assert_eq!(compare(&connection, &database), 3);
}
