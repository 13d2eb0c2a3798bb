//! A database with everything that is hard to take elsewhere.

use rusqlite::{Connection, params};

/// The schema, but for what only SQLite's own files can have.
const SCHEMA: &str = "
    CREATE TABLE plain (id INTEGER PRIMARY KEY AUTOINCREMENT, t TEXT, n NUMERIC, b BLOB, r REAL, i INT, x);
    CREATE TABLE \"odd 'name'\" (\"a b\" TEXT, \"select\" INT, [c d] TEXT DEFAULT 'it''s');
    CREATE TABLE without (k TEXT COLLATE NOCASE, n INT, v, PRIMARY KEY (k, n DESC)) WITHOUT ROWID;
    CREATE TABLE strict_one (i INT, r REAL, t TEXT, b BLOB, a ANY) STRICT;
    CREATE TABLE computed (a INT, double_a AS (a * 2), b TEXT, lower_b TEXT GENERATED ALWAYS AS (lower(b)) STORED, c);
    CREATE TABLE parent (id INTEGER PRIMARY KEY, name TEXT UNIQUE);
    CREATE TABLE child (id INTEGER PRIMARY KEY, parent INT REFERENCES parent ON DELETE CASCADE, name TEXT);
    CREATE TABLE audit (what TEXT);
    CREATE TABLE rowid_only (a);
    CREATE INDEX by_t ON plain (t, n DESC);
    CREATE UNIQUE INDEX some ON plain (i) WHERE i > 5;
    CREATE INDEX by_expression ON plain (lower(t));
    CREATE VIEW seen AS SELECT t, 'a;b' AS s FROM plain -- with a comment
    ;
    CREATE TRIGGER noted AFTER INSERT ON child BEGIN
      INSERT INTO audit VALUES ('child ' || NEW.name || '; done');
      SELECT 1;
    END;
    CREATE VIRTUAL TABLE docs USING fts5 (title, body);
    CREATE VIRTUAL TABLE linked USING fts5 (t, content = 'plain', content_rowid = 'id');
    CREATE VIRTUAL TABLE boxes USING rtree (id, x0, x1, y0, y1);
";

/// Texts that somebody's reader stumbles over.
pub(crate) const TEXTS: [&[u8]; 14] = [
    b"",
    b"plain",
    b"it's \"quoted\"",
    b"two\nlines",
    b"windows\r\nlines\r",
    b"back\\slash \\n \\. \\N",
    b"tab\tand\x0bothers\x7f",
    "ünïcödé \u{1f30a} \u{feff}".as_bytes(),
    b"nul\0within",
    b"\0",
    b"bad \xff utf-8 \xc3",
    b".mode box\n;\n/\ngo\n",
    b"1e400",
    b"-- no comment /* */",
];

/// Reals that are often misread.
pub(crate) fn reals() -> Vec<f64> {
    let mut reals = vec![
        0.1,
        0.1 + 0.2,
        1.0,
        -1.5,
        1e22,
        1e23,
        5e-324,
        f64::MAX,
        f64::MIN_POSITIVE,
        2.0_f64.powi(53),
        f64::INFINITY,
        f64::NEG_INFINITY,
        123_456_789.123_456_79,
    ];
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    for _ in 0..3000 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let real = f64::from_bits(state);
        if real.is_finite() {
            reals.push(real);
        }
    }
    reals
}

/// Makes it, in a database that has nothing yet.
pub(crate) fn fill(connection: &Connection) {
    connection.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
    connection.execute_batch(SCHEMA).unwrap();
    let transaction = connection.unchecked_transaction().unwrap();
    let mut insert = connection
        .prepare(
            "INSERT INTO plain (t, n, b, r, i, x) VALUES (CAST(?1 AS TEXT), ?2, ?3, ?4, ?5, ?6)",
        )
        .unwrap();
    let reals = reals();
    for (number, real) in reals.iter().enumerate() {
        let text = TEXTS[number % TEXTS.len()];
        let blob: Vec<u8> = (0..number % 7)
            .map(|at| u8::try_from((number * 37 + at * 91) % 256).unwrap())
            .collect();
        let number = i64::try_from(number).unwrap();
        insert.execute(params![text, number * 1_000_003, blob, real, number, real]).unwrap();
    }
    drop(insert);
    connection
        .execute_batch(
            "INSERT INTO plain (i, x) VALUES (-9223372036854775808, 9223372036854775807), (NULL, NULL);
             DELETE FROM plain WHERE id = 5; UPDATE plain SET x = x'00ff' WHERE id = 6;
             INSERT INTO \"odd 'name'\" VALUES ('x', 1, 'y'), (NULL, NULL, NULL);
             INSERT INTO without VALUES ('b', 1, 1.0), ('A', 2, 1), ('b', 2, NULL);
             INSERT INTO strict_one VALUES (1, 2, '3', x'04', '5'), (1, 2.5, '3', x'04', 5), (NULL, 9e999, NULL, NULL, x'');
             INSERT INTO computed (a, b, c) VALUES (1, 'ÄB', 2), (NULL, 'C', 'c');
             INSERT INTO parent VALUES (1, 'one'), (2, NULL), (3, NULL);
             INSERT INTO child VALUES (1, 1, 'first'), (2, NULL, 'second'), (3, 99, 'orphan');
             INSERT INTO rowid_only (rowid, a) VALUES (10, 'ten'), (20, 'twenty');
             INSERT INTO docs VALUES ('the title', 'a body of words'), ('another', 'words again');
             INSERT INTO linked (linked) VALUES ('rebuild');
             INSERT INTO boxes VALUES (1, 0.5, 1.25, -3, 4), (7, 1, 2, 3, 4);
             PRAGMA user_version = 42; PRAGMA application_id = 1196444487;",
        )
        .unwrap();
    transaction.commit().unwrap();
    connection.execute_batch("ANALYZE").unwrap();
}
