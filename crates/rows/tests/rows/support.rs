//! Databases in memory and in files, and their rows as they are.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use ebbtide_rows::{
    Changeset, JsonLines, Options, RowsError, Schema, Script, Side, Summary, Table, TableKind,
    Value, ValueRef, diff,
};
use rusqlite::Connection;
use serde_json::Value as Json;

/// A database in memory.
pub(crate) fn database(sql: &str) -> Connection {
    let connection = Connection::open_in_memory().unwrap();
    connection.execute_batch(sql).unwrap();
    connection
}

/// The same database once more, byte for byte.
pub(crate) fn copy(connection: &mut Connection) -> Connection {
    let bytes = connection.serialize("main").unwrap().to_vec();
    let mut copy = Connection::open_in_memory().unwrap();
    copy.deserialize_read_exact("main", &bytes[..], bytes.len(), false).unwrap();
    copy
}

pub(crate) fn side(connection: &Connection) -> Side<'_> {
    Side::new(connection, "main")
}

/// What differs, as objects of JSON.
pub(crate) fn lines(old: &Connection, new: &Connection, options: &Options) -> Vec<Json> {
    let mut lines = Vec::new();
    let mut sink = JsonLines::new(|line| {
        lines.push(line);
        Ok(())
    });
    diff(side(old), side(new), options, &mut sink).unwrap();
    lines
}

pub(crate) fn summary(old: &Connection, new: &Connection, options: &Options) -> Summary {
    let mut nobody = JsonLines::new(|_| Ok(()));
    diff(side(old), side(new), options, &mut nobody).unwrap()
}

/// The script that makes `old` like `new`.
pub(crate) fn script(
    old: &Connection,
    new: &Connection,
    options: &Options,
) -> Result<String, RowsError> {
    let mut script = Script::new(Vec::new());
    diff(side(old), side(new), options, &mut script)?;
    Ok(String::from_utf8(script.into_inner()).unwrap())
}

/// The changeset, and what it does not have.
pub(crate) fn changeset(old: &Connection, new: &Connection) -> (Vec<u8>, Vec<(String, String)>) {
    let options = Options { by_declared_key: true, ..Options::default() };
    let mut changeset = Changeset::new(Vec::new());
    diff(side(old), side(new), &options, &mut changeset).unwrap();
    let left_out = changeset.left_out().to_vec();
    (changeset.into_inner(), left_out)
}

/// All rows of a database that are its own, as SQLite gives them, by table; rowids only where a column shows them. The
/// statements of its schema are among them.
pub(crate) fn contents(connection: &Connection) -> BTreeMap<String, Vec<Vec<Value>>> {
    let schema = Schema::read(connection, "main").unwrap();
    let mut all = BTreeMap::new();
    for table in schema.tables.iter().filter(|table| table.kind != TableKind::Shadow) {
        if table.name.starts_with("sqlite_stat") {
            continue;
        }
        let sql = format!("SELECT * FROM {}", table.qualified("main"));
        let mut statement = connection.prepare(&sql).unwrap();
        let count = statement.column_count();
        let mut rows = statement.query([]).unwrap();
        let mut found = Vec::new();
        while let Some(row) = rows.next().unwrap() {
            let value = |at| ValueRef::from(row.get_ref(at).unwrap()).to_owned();
            found.push((0..count).map(value).collect::<Vec<Value>>());
        }
        found.sort_by_key(|row| format!("{row:?}"));
        // SQLite makes it and never drops it.
        if !(table.name == "sqlite_sequence" && found.is_empty()) {
            all.insert(table.name.to_lowercase(), found);
        }
    }
    let text = |text: &str| Value::Text(text.as_bytes().to_vec());
    let is_shown = |table: &&Table| table.kind != TableKind::Shadow && !table.is_internal();
    let tables = schema.tables.iter().filter(is_shown);
    let mut statements: Vec<Vec<Value>> = tables
        .map(|table| vec![text(&table.name), text(&table.sql)])
        .chain(schema.objects.iter().map(|object| vec![text(&object.name), text(&object.sql)]))
        .collect();
    statements.sort_by_key(|row| format!("{row:?}"));
    all.insert("sqlite_schema".to_owned(), statements);
    all
}

#[track_caller]
pub(crate) fn assert_same(left: &Connection, right: &Connection, said: &str) {
    let (left, right) = (contents(left), contents(right));
    if left == right {
        return;
    }
    for (table, rows) in &left {
        assert_eq!(Some(rows), right.get(table), "{table}: {said}");
    }
    assert_eq!(left.keys().collect::<Vec<_>>(), right.keys().collect::<Vec<_>>(), "{said}");
}

/// Whether a program of Debian's is here.
pub(crate) fn has(program: &str) -> bool {
    let mut found = Command::new(program);
    found.arg("--help").stdout(Stdio::null()).stderr(Stdio::null());
    found.status().is_ok()
}

/// Writes a database to a file, byte for byte.
pub(crate) fn save(connection: &mut Connection, path: &Path) {
    std::fs::write(path, &*connection.serialize("main").unwrap()).unwrap();
}

/// The program that applies a changeset by SQLite's own session extension: changeset, database.
pub(crate) const APPLY: &str = r#"
import ctypes, sys
name = 'libsqlite3.so.0'
try:
    library = ctypes.CDLL(name)
    apply = library.sqlite3changeset_apply
except (OSError, AttributeError):
    sys.exit(77)
changes = open(sys.argv[1], 'rb').read()
database = ctypes.c_void_p()
assert library.sqlite3_open(sys.argv[2].encode(), ctypes.byref(database)) == 0
def conflict(context, kind, change):
    print('conflict', kind)
    return 2
callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)(conflict)
code = apply(database, len(changes), ctypes.c_char_p(changes), None, callback, None)
assert library.sqlite3_close(database) == 0
sys.exit(code)
"#;
