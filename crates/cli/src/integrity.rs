//! SQLite's own checks of a restored file. Its bytes are proved by then; this asks whether the application's database
//! was sound in the first place.
//!
//! What our SQLite lacks to check it (a collation, a function or a tokenizer of the application's) says nothing against the
//! database: then each table is checked by itself, and what cannot be checked is named. The file may be anybody's, and a
//! check evaluates expressions of its schema, so time and memory are limited.

use std::path::Path;
use std::time::Duration;

use ebbtide_restore::{Check, Checked};
use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::args::Integrity;
use crate::time_limit::TimeLimit;

/// A check takes at most this long, and as much longer as a disk takes that reads a mebibyte in 1/16 s.
const TIME_MAX: Duration = Duration::from_secs(60);
const TIME_PER_MEBIBYTE: Duration = Duration::from_millis(62);

/// How much memory SQLite may take for it. Its own needs are a few MB.
const MEMORY_BYTES_MAX: i64 = 256 * 1024 * 1024;

/// Tables that are named when they cannot be checked; of more there is the number.
const NAMED_MAX: usize = 8;

/// The check that was asked for, if one was.
pub(crate) fn check_of(integrity: Integrity) -> Option<Check> {
    let pragma = match integrity {
        Integrity::None => return None,
        Integrity::Quick => "quick_check",
        Integrity::Full => "integrity_check",
    };
    Some(Check::new(move |path| check(path, pragma)))
}

/// Runs the pragma on a file that nobody else has open. Nothing is written beside it.
fn check(path: &Path, pragma: &str) -> Result<Checked, String> {
    let size = path.metadata().map_err(|error| format!("cannot look at it: {error}"))?.len();
    let mebibytes = u32::try_from(size >> 20).unwrap_or(u32::MAX);
    check_within(path, pragma, TIME_MAX.saturating_add(TIME_PER_MEBIBYTE.saturating_mul(mebibytes)))
}

fn check_within(path: &Path, pragma: &str, time: Duration) -> Result<Checked, String> {
    let database = match open(path) {
        Ok(database) => database,
        Err(error) => return judge(vec![Found::of(error)], pragma),
    };
    let limit = TimeLimit::begin(database.get_interrupt_handle(), time);
    let limit = match limit {
        Ok(limit) => limit,
        Err(error) => {
            return Ok(Checked::Unchecked(format!("the check cannot be limited: {error}")));
        }
    };
    let whole = Found::by(&database, pragma, None);
    // One thing that cannot be checked ends the check of all.
    let mut found = match whole {
        Found::Lacks(_) if !limit.is_reached() => each_table(&database, pragma, &limit),
        whole => vec![whole],
    };
    if limit.is_reached() {
        found.retain(|found| matches!(found, Found::Damage(_)));
        found.push(Found::Lacks(format!("it was not done after {} s", time.as_secs())));
    }
    judge(found, pragma)
}

fn open(path: &Path) -> rusqlite::Result<Connection> {
    let invalid = || rusqlite::Error::InvalidPath(path.to_path_buf());
    let absolute = std::path::absolute(path).map_err(|_| invalid())?;
    let url = url::Url::from_file_path(absolute).map_err(|()| invalid())?;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    let database = Connection::open_with_flags(format!("{url}?immutable=1"), flags)?;
    // Nothing in the schema is run that need not be.
    database.execute_batch("PRAGMA trusted_schema = 0; PRAGMA cell_size_check = 1")?;
    database.pragma(None, "hard_heap_limit", MEMORY_BYTES_MAX, |_| Ok(()))?;
    Ok(database)
}

fn each_table(database: &Connection, pragma: &str, limit: &TimeLimit) -> Vec<Found> {
    let names = || -> rusqlite::Result<Vec<String>> {
        let mut rows = database.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'")?;
        rows.query_map([], |row| row.get(0))?.collect()
    };
    let names = match names() {
        Ok(names) => names,
        Err(error) => return vec![Found::of(error)],
    };
    let mut found = Vec::new();
    for name in names {
        if limit.is_reached() {
            break;
        }
        found.push(match Found::by(database, pragma, Some(&name)) {
            Found::Lacks(why) => Found::Lacks(format!("table {name}: {why}")),
            found => found,
        });
    }
    found
}

/// What one run of a pragma came to.
enum Found {
    Sound,
    Damage(String),
    Lacks(String),
}

impl Found {
    fn by(database: &Connection, pragma: &str, table: Option<&str>) -> Found {
        let mut said = Vec::new();
        let mut hear = |row: &rusqlite::Row<'_>| {
            said.push(row.get::<_, String>(0)?);
            Ok(())
        };
        let ran = match table {
            None => database.pragma_query(None, pragma, &mut hear),
            Some(table) => database.pragma(None, pragma, table, &mut hear),
        };
        match ran {
            Ok(()) if said == ["ok"] => Found::Sound,
            Ok(()) => Found::Damage(said.join("; ")),
            Err(error) => Found::of(error),
        }
    }

    /// An error of SQLite's is damage only if it says so. A schema that it cannot read is another SQLite's.
    fn of(error: rusqlite::Error) -> Found {
        let code = error.sqlite_error_code();
        let why = error.to_string();
        let is_damage = matches!(code, Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase));
        match code {
            _ if is_damage && !why.contains("malformed database schema") => Found::Damage(why),
            Some(ErrorCode::OutOfMemory) => {
                let bytes = MEMORY_BYTES_MAX >> 20;
                Found::Lacks(format!("it takes more than {bytes} MiB of memory"))
            }
            _ => Found::Lacks(why),
        }
    }
}

fn judge(found: Vec<Found>, pragma: &str) -> Result<Checked, String> {
    let (mut damage, mut lacks) = (Vec::new(), Vec::new());
    for found in found {
        match found {
            Found::Sound => {}
            Found::Damage(why) => damage.push(why),
            Found::Lacks(why) => lacks.push(why),
        }
    }
    if !damage.is_empty() {
        return Err(format!("SQLite's {pragma} says: {}", damage.join("; ")));
    }
    if lacks.is_empty() {
        return Ok(Checked::Sound);
    }
    let more = lacks.len().saturating_sub(NAMED_MAX);
    lacks.truncate(NAMED_MAX);
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    Ok(Checked::Unchecked(format!("SQLite's {pragma} was not made: {}{more}", lacks.join("; "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A database whose schema has `ours` in the place of `theirs`, which this SQLite does not know.
    fn database(sql: &str, theirs: &str, ours: &str) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        let database = Connection::open(directory.path().join("a.db")).unwrap();
        database.execute_batch(sql).unwrap();
        let swap = format!(
            "PRAGMA writable_schema = 1; UPDATE sqlite_schema SET sql = replace(sql, '{theirs}', '{ours}')"
        );
        database.execute_batch(&swap).unwrap();
        directory
    }

    fn checked(directory: &tempfile::TempDir, pragma: &str) -> Result<Checked, String> {
        check(&directory.path().join("a.db"), pragma)
    }

    #[test]
    fn o10_what_only_the_application_knows_is_not_checked_and_no_damage() {
        let collation = "CREATE TABLE t (a TEXT COLLATE nocase); CREATE INDEX i ON t (a); \
                         INSERT INTO t VALUES ('b'), ('A')";
        let function = "CREATE TABLE t (a CHECK (abs(a) > 0)); INSERT INTO t VALUES (1)";
        let index = "CREATE TABLE t (a); CREATE INDEX i ON t (abs(a)); INSERT INTO t VALUES (1)";
        let tokenizer = "CREATE VIRTUAL TABLE t USING fts5 (a, tokenize = 'unicode61'); \
                         INSERT INTO t VALUES ('word')";
        let module = "CREATE VIRTUAL TABLE t USING fts5 (a); INSERT INTO t VALUES ('word')";
        for (sql, theirs, ours) in [
            (collation, "nocase", "german"),
            (function, "abs(", "ours("),
            (index, "abs(", "ours("),
            (tokenizer, "unicode61", "stemmer99"),
            (module, "fts5", "vec0"),
        ] {
            for pragma in ["quick_check", "integrity_check"] {
                let found = checked(&database(sql, theirs, ours), pragma);
                // Some of it a check does not look at, and then it is sound as far as it goes.
                assert!(found.is_ok(), "{ours} {pragma}: {found:?}");
            }
        }
        let found = checked(&database(collation, "nocase", "german"), "integrity_check");
        let Ok(Checked::Unchecked(why)) = &found else { panic!("{found:?}") };
        assert!(why.contains("table t: no such collation sequence: german"), "{why}");
    }

    /// The table that can be checked is damaged.
    #[test]
    fn o10_damage_beside_what_cannot_be_checked_is_found() {
        let sql = "CREATE TABLE t (a TEXT COLLATE nocase); CREATE INDEX i ON t (a); INSERT INTO t VALUES ('b'); \
                   CREATE TABLE u (a INTEGER); INSERT INTO u VALUES ('no number')";
        let directory = database(sql, "nocase", "german");
        let path = directory.path().join("a.db");
        let strict = "PRAGMA writable_schema = 1; UPDATE sqlite_schema SET sql = sql || ' STRICT' WHERE name = 'u'";
        Connection::open(&path).unwrap().execute_batch(strict).unwrap();
        let found = checked(&directory, "integrity_check");
        assert!(matches!(&found, Err(why) if why.contains("u.a")), "{found:?}");
    }

    /// A check of a row that takes for ever, or all memory.
    #[test]
    fn z12_expressions_of_the_schema_have_a_limit_of_time_and_memory() {
        let memory = "CREATE TABLE t (a); CREATE INDEX i ON t (length(hex(zeroblob(a)))); \
                      INSERT INTO t VALUES (1)";
        let directory = database(memory, "zeroblob(a)", "zeroblob(a + 400000000)");
        let found = checked(&directory, "integrity_check");
        let Ok(Checked::Unchecked(why)) = &found else { panic!("{found:?}") };
        assert!(why.contains("256 MiB"), "{why}");
        let time = "CREATE TABLE t (a); CREATE INDEX i ON t (length(hex(zeroblob(a)))); \
                    WITH RECURSIVE n(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM n LIMIT 20000) \
                    INSERT INTO t SELECT n % 7 FROM n";
        let directory = database(time, "zeroblob(a)", "zeroblob(a + 4000000)");
        let path = directory.path().join("a.db");
        let found = check_within(&path, "integrity_check", Duration::from_millis(50));
        let Ok(Checked::Unchecked(why)) = &found else { panic!("{found:?}") };
        assert!(why.contains("not done after"), "{why}");
    }
}
