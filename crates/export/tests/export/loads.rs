//! Scripts that a real PostgreSQL loads, with every value compared to what SQLite has.

use ebbtide_export::{BrokenKeys, NulPolicy, PostgresOptions, PostgresPlan, plan, write_script};
use ebbtide_rows::{Schema, Value};
use rusqlite::Connection;

use crate::server::{Database, server};
use crate::{awkward, body};

pub(crate) fn options() -> PostgresOptions {
    PostgresOptions {
        tables: Vec::new(),
        casts: Vec::new(),
        nul: NulPolicy::Refuse,
        broken_keys: BrokenKeys::Refuse,
    }
}

pub(crate) fn planned(connection: &Connection, options: &PostgresOptions) -> PostgresPlan {
    let schema = Schema::read(connection, "main").unwrap();
    plan(connection, &schema, options).unwrap()
}

/// The script of a plan that refuses nothing.
#[track_caller]
pub(crate) fn script(connection: &Connection, options: &PostgresOptions) -> Vec<u8> {
    let plan = planned(connection, options);
    let lines: Vec<String> = plan.report.lines().collect();
    assert!(!plan.report.is_refused(), "{}", lines.join("\n"));
    let schema = Schema::read(connection, "main").unwrap();
    let mut out = Vec::new();
    write_script(connection, &schema, &plan, "a test\nof ours", &|| Ok(()), &mut out).unwrap();
    out
}

/// Loads it, and compares every value of every table.
#[track_caller]
pub(crate) fn loads(connection: &Connection, options: &PostgresOptions, database: &Database) {
    let script = script(connection, options);
    let ended = database.load(&script);
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(
        ended.status.success() && said.is_empty(),
        "{said}\n{}",
        String::from_utf8_lossy(&script[..script.len().min(4000)])
    );
    compare(connection, database);
}

/// Compares every value of the tables that are there.
#[track_caller]
pub(crate) fn compare(connection: &Connection, database: &Database) -> usize {
    let tables = database
        .ask("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'");
    let mut compared = 0;
    for table in body::ordinary(connection) {
        if !tables.lines().any(|known| known == table) {
            continue;
        }
        let types = database.ask(&format!(
            "SELECT data_type FROM information_schema.columns WHERE table_schema = 'public' AND table_name = '{}' ORDER BY ordinal_position",
            table.replace('\'', "''")
        ));
        let types: Vec<&str> = types.lines().collect();
        let (ours, theirs) = (body::rows(connection, &table), database.rows(&table));
        assert_eq!(ours.len(), theirs.len(), "{table}");
        for (row, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
            assert_eq!(ours.len(), theirs.len(), "{table}");
            for (column, (value, text)) in ours.iter().zip(theirs).enumerate() {
                let is_same = same(value, types[column], text.as_deref());
                let text = text.as_ref().map(|text| String::from_utf8_lossy(text).into_owned());
                assert!(
                    is_same,
                    "{table} row {row} column {column} ({}): {value:?} {text:?}",
                    types[column]
                );
                compared += 1;
            }
        }
    }
    compared
}

/// Whether PostgreSQL's text for a value of this type is the value that SQLite has.
fn same(value: &Value, pg_type: &str, text: Option<&[u8]>) -> bool {
    let Some(text) = text else { return *value == Value::Null };
    let string = || std::str::from_utf8(text).unwrap();
    match (value, pg_type) {
        (Value::Null, _) => false,
        (Value::Integer(integer), "bigint" | "numeric" | "text") => string() == integer.to_string(),
        (Value::Integer(integer), "boolean") => string() == if *integer == 1 { "t" } else { "f" },
        #[allow(clippy::cast_precision_loss, reason = "PostgreSQL rounds it likewise")]
        (Value::Integer(integer), "double precision") => string().parse() == Ok(*integer as f64),
        (Value::Real(real), "double precision" | "numeric" | "text") => {
            string().parse::<f64>().unwrap().to_bits() == real.to_bits()
        }
        (Value::Text(ours), "text") => ours == text,
        (Value::Text(ours) | Value::Blob(ours), "bytea") => {
            let hex: String = ours.iter().map(|byte| format!("{byte:02x}")).collect();
            string() == format!("\\x{hex}")
        }
        (Value::Text(ours), "uuid") => string().as_bytes().eq_ignore_ascii_case(ours),
        (Value::Blob(ours), "uuid") => {
            let hex: String = ours.iter().map(|byte| format!("{byte:02x}")).collect();
            string().replace('-', "") == hex
        }
        (Value::Text(ours), "jsonb" | "json") => {
            let parsed = |text: &[u8]| serde_json::from_slice::<serde_json::Value>(text).unwrap();
            parsed(ours) == parsed(text)
        }
        (Value::Integer(ours), "jsonb" | "json") => string() == ours.to_string(),
        (Value::Text(ours), "date" | "time without time zone") => {
            padded(&String::from_utf8_lossy(ours)) == padded(string())
        }
        (Value::Text(ours), "timestamp without time zone") => {
            moment(&format!("{}Z", padded(&String::from_utf8_lossy(ours))))
                == moment(&format!("{}Z", padded(string())))
        }
        (Value::Text(ours), "timestamp with time zone") => {
            moment(&String::from_utf8_lossy(ours)) == moment(string())
        }
        _ => panic!("{value:?} as {pg_type}"),
    }
}

/// With seconds, and a time of day.
fn padded(text: &str) -> String {
    match text.len() {
        5 => format!("{text}:00"),
        10 => format!("{text} 00:00:00"),
        16 => format!("{text}:00"),
        _ => text.to_owned(),
    }
}

/// A point in time, in microseconds.
fn moment(text: &str) -> i64 {
    let mut text = text.replace(' ', "T");
    // An offset of two digits.
    let offset = text.rfind(['+', '-']).filter(|at| *at > 10);
    if let Some(at) = offset
        && text.len() - at == 3
    {
        text.push_str(":00");
    }
    if text.len() > 16 && text.as_bytes()[16] != b':' {
        text.insert_str(16, ":00");
    }
    text.parse::<jiff::Timestamp>()
        .unwrap_or_else(|error| panic!("{text}: {error}"))
        .as_microsecond()
}

#[test]
fn t31_postgres_has_every_value_that_sqlite_has() {
    let Some(server) = server("loads") else { return };
    let connection = Connection::open_in_memory().unwrap();
    awkward::fill(&connection);
    // What needs a word in that database is tried elsewhere.
    connection
        .execute_batch(
            "UPDATE plain SET t = hex(t) WHERE instr(CAST(t AS BLOB), x'00') OR instr(CAST(t AS BLOB), x'ff');
             UPDATE plain SET x = 0.5 WHERE typeof(x) <> 'null' AND typeof(x) <> 'real';
             UPDATE without SET v = 1.5 WHERE v = 1; UPDATE strict_one SET a = '5';
             UPDATE computed SET c = 2; DELETE FROM child WHERE parent = 99;",
        )
        .unwrap();
    let database = server.database();
    loads(&connection, &options(), &database);
    let counted = |sql: &str| database.ask(sql).parse::<i64>().unwrap();
    assert!(counted("SELECT count(*) FROM plain") > 2000);
    assert_eq!(
        counted("SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND convalidated"),
        1
    );
    assert_eq!(
        counted("SELECT count(*) FROM pg_class WHERE relname LIKE 'ebbtide%'"),
        0,
        "the guard is gone"
    );
    // The number after the greatest that ever was.
    let next: i64 =
        connection.query_row("SELECT seq + 1 FROM sqlite_sequence", [], |row| row.get(0)).unwrap();
    assert_eq!(counted("INSERT INTO plain (i) VALUES (1) RETURNING id"), next);
    assert_eq!(
        database.ask("DELETE FROM parent WHERE id = 1; SELECT count(*) FROM child"),
        "1",
        "it cascades"
    );
}

#[test]
fn types_are_chosen_from_the_values_that_are_there() {
    let Some(server) = server("loads") else { return };
    let connection = Connection::open_in_memory().unwrap();
    connection
        .execute_batch(
            "CREATE TABLE kinds (
                 id INTEGER PRIMARY KEY, flag BOOLEAN NOT NULL DEFAULT 0, price DECIMAL(10,2), whole NUMERIC DEFAULT 5,
                 day DATE, at DATETIME DEFAULT CURRENT_TIMESTAMP, zoned TIMESTAMP, clock TIME, epoch DATETIME,
                 doc JSON DEFAULT '{}', twice JSON, ref UUID, raw_ref UUID, note VARCHAR(3) DEFAULT 'null', data BLOB DEFAULT x'00',
                 anything);
             INSERT INTO kinds VALUES
                 (-5, 1, 0.99, 14, '2026-11-21', '2026-11-21 09:30:00', '2026-11-21T09:30:00.25Z', '09:30', 1627303906122,
                  '{\"b\": 1, \"a\": [1.50, null, \"\\u00e9\"]}', '{\"a\":1,\"a\":2}', '0190d6b2-7c1e-7cc8-9d0a-2f9b5f0c1a11',
                  x'0190d6b27c1e7cc89d0a2f9b5f0c1a11', 'longer than three', x'00ff', 1.5),
                 (7, 0, 100, 9007199254740993, '0001-01-01', '9998-12-31 23:59:59.999999', '2026-11-21 09:30:00+02', '23:59:59.5',
                  0, '[]', '1', '00000000-0000-0000-0000-000000000000', NULL, '', x'', -3),
                 (8, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);",
        )
        .unwrap();
    let database = server.database();
    loads(&connection, &options(), &database);
    let types = database.ask("SELECT string_agg(column_name || ' ' || data_type, ', ' ORDER BY ordinal_position) FROM information_schema.columns WHERE table_name = 'kinds'");
    assert_eq!(
        types,
        "id bigint, flag boolean, price double precision, whole numeric, day date, at timestamp without time zone, \
         zoned timestamp with time zone, clock time without time zone, epoch bigint, doc jsonb, twice json, ref uuid, \
         raw_ref uuid, note text, data bytea, anything double precision"
    );
    let row = database.ask("INSERT INTO kinds (day) VALUES (NULL) RETURNING id, flag, whole, note, data, doc, at IS NOT NULL");
    assert_eq!(row, "9|f|5|null|\\x00|{}|t");
}

#[test]
fn a_cast_says_what_values_mean() {
    let Some(server) = server("loads") else { return };
    let connection = Connection::open_in_memory().unwrap();
    connection
        .execute_batch(
            "CREATE TABLE t (ms DATETIME, s DATETIME, d DATETIME, price DECIMAL, mixed INT, utc TEXT, flag TEXT, raw TEXT, blend);
             INSERT INTO t VALUES (1627303906122, 1627303906.25, 2459422.0, 0.99, 'toto', '2026-11-21 09:30:00', 'true', CAST(x'ff00' AS TEXT), 12),
                                  (0, 0.0, 2440587.5, 12.5, 7, '2026-11-21', 'f', 'a', x'8900')",
        )
        .unwrap();
    let casts = [
        "t.ms=timestamptz:epoch-ms",
        "t.s=timestamptz:epoch",
        "t.d=timestamptz:julian",
        "t.price=numeric(10,2)",
        "t.mixed=text",
        "t.utc=timestamptz:utc",
        "t.flag=boolean",
        "t.raw=bytea",
        "t.blend=bytea",
    ];
    let casts = casts.iter().map(|cast| cast.parse().unwrap()).collect();
    let database = server.database();
    let ended = database.load(&script(&connection, &PostgresOptions { casts, ..options() }));
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    let rows = database.ask("SELECT * FROM t");
    assert_eq!(
        rows,
        "2021-07-26 12:51:46.122+00|2021-07-26 12:51:46.25+00|2021-07-26 12:00:00+00|0.99|toto|2026-11-21 09:30:00+00|t|\\xff00|\\x3132\n\
         1970-01-01 00:00:00+00|1970-01-01 00:00:00+00|1970-01-01 00:00:00+00|12.50|7|2026-11-21 00:00:00+00|f|\\x61|\\x8900"
    );
}

/// Keys, and foreign keys in the order that they need, circles and a table's own included.
#[test]
fn keys_and_foreign_keys_hold_on_the_other_side() {
    let Some(server) = server("loads") else { return };
    let connection = Connection::open_in_memory().unwrap();
    connection
        .execute_batch(
            "PRAGMA foreign_keys = OFF;
             CREATE TABLE a (id INTEGER PRIMARY KEY, b INT REFERENCES b DEFERRABLE INITIALLY DEFERRED);
             CREATE TABLE b (id INTEGER PRIMARY KEY, a INT REFERENCES a (id) ON UPDATE CASCADE ON DELETE SET NULL, boss INT REFERENCES b);
             CREATE TABLE pair (x TEXT, y UUID, UNIQUE (y, x), PRIMARY KEY (x, y)) WITHOUT ROWID;
             CREATE TABLE of_pair (x, y TEXT, note TEXT, FOREIGN KEY (x, y) REFERENCES pair);
             CREATE TABLE a_pkey (id INT);
             CREATE INDEX of_pair_note ON of_pair (note DESC);
             CREATE UNIQUE INDEX b_boss ON b (boss);
             INSERT INTO a VALUES (1, 1), (2, NULL); INSERT INTO b VALUES (1, 2, NULL), (2, 1, 1);
             INSERT INTO pair VALUES ('k', '0190d6b2-7c1e-7cc8-9d0a-2f9b5f0c1a11');
             INSERT INTO of_pair VALUES ('k', '0190d6b2-7c1e-7cc8-9d0a-2f9b5f0c1a11', 'n'), (NULL, 'unknown', 'm');",
        )
        .unwrap();
    let database = server.database();
    loads(&connection, &options(), &database);
    let counted = |kind: &str| {
        database.ask(&format!("SELECT count(*) FROM pg_constraint WHERE contype = '{kind}' AND convalidated AND connamespace = 'public'::regnamespace"))
    };
    assert_eq!((counted("p"), counted("u"), counted("f")), ("3".into(), "1".into(), "4".into()));
    assert_eq!(database.ask("SELECT count(*) FROM pg_constraint WHERE condeferred"), "1");
    let actions = database.ask("SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'b'::regclass AND contype = 'f' ORDER BY conname");
    assert!(actions.contains("REFERENCES a(id) ON UPDATE CASCADE ON DELETE SET NULL"), "{actions}");
    // The key's UUIDs are text, because the column that refers to it has other texts as well.
    assert_eq!(database.ask("SELECT data_type FROM information_schema.columns WHERE table_name = 'pair' AND column_name = 'y'"), "text");
}

/// A script that ends in its midst, or is loaded without one transaction, leaves nothing.
#[test]
fn t31_a_script_is_loaded_whole_or_not_at_all() {
    let Some(server) = server("loads") else { return };
    let connection = Connection::open_in_memory().unwrap();
    connection
        .execute_batch("CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT); INSERT INTO t (a) VALUES ('x'), ('y'), ('z')")
        .unwrap();
    let whole = script(&connection, &options());
    let database = server.database();
    let tables = || {
        database.ask("SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace")
    };
    let lines: Vec<usize> = whole
        .iter()
        .enumerate()
        .filter(|(_, byte)| **byte == b'\n')
        .map(|(at, _)| at + 1)
        .collect();
    for cut in &lines[..lines.len() - 3] {
        let ended = database.load(&whole[..*cut]);
        assert_eq!(tables(), "0", "{}", String::from_utf8_lossy(&whole[..*cut]));
        let has_begun = whole[..*cut].windows(6).any(|window| window == b"INSERT");
        assert!(
            !ended.status.success() || !has_begun,
            "{}",
            String::from_utf8_lossy(&whole[..*cut])
        );
    }
    let ended = database.load_with(&[], &whole);
    assert!(!ended.status.success(), "without -1");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(said.contains("load the whole script, with psql -1"), "{said}");
    assert_eq!(tables(), "0");
    assert!(database.load(&whole).status.success());
    let again = database.load(&whole);
    assert!(!again.status.success(), "what is there is not replaced");
    assert_eq!(database.ask("SELECT count(*) FROM t"), "3");
}
