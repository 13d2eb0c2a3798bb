//! All that a database has, so that two can be compared: rows by storage class and bytes, and the schema.

use std::collections::BTreeMap;

use ebbtide_rows::{Schema, TableKind, Value, ValueRef};
use rusqlite::Connection;

/// The rows of a table in the order of its scan.
pub(crate) type Rows = Vec<Vec<Value>>;

/// The rows of one table, by `SELECT *`.
pub(crate) fn rows(connection: &Connection, table: &str) -> Rows {
    let sql = format!("SELECT * FROM \"{}\"", table.replace('"', "\"\""));
    let mut statement = connection.prepare(&sql).unwrap();
    let columns = statement.column_count();
    let mut rows = statement.query([]).unwrap();
    let mut all = Vec::new();
    while let Some(row) = rows.next().unwrap() {
        let value = |place| ValueRef::from(row.get_ref(place).unwrap()).to_owned();
        all.push((0..columns).map(value).collect());
    }
    all
}

/// The rows of all tables, shadow tables and SQLite's own included.
pub(crate) fn all_rows(connection: &Connection) -> BTreeMap<String, Rows> {
    let schema = Schema::read(connection, "main").unwrap();
    let readable = schema.tables.iter().filter(|table| table.unreadable.is_none());
    readable.map(|table| (table.name.clone(), rows(connection, &table.name))).collect()
}

/// Every statement of the schema, in an order that does not depend on when it was made.
pub(crate) fn statements(connection: &Connection) -> Vec<String> {
    let schema = Schema::read(connection, "main").unwrap();
    // `.dump` makes tables with quoted names only if they are missing.
    let plain = |sql: &str| sql.trim_end().replace("CREATE TABLE IF NOT EXISTS ", "CREATE TABLE ");
    let tables =
        schema.tables.iter().filter(|table| !table.is_internal()).map(|table| plain(&table.sql));
    let mut all: Vec<String> =
        tables.chain(schema.objects.iter().map(|object| plain(&object.sql))).collect();
    all.sort();
    all
}

/// The tables that an application has made and that have rows of their own.
pub(crate) fn ordinary(connection: &Connection) -> Vec<String> {
    let schema = Schema::read(connection, "main").unwrap();
    let ordinary = schema
        .tables
        .iter()
        .filter(|table| table.kind == TableKind::Ordinary && !table.is_internal());
    ordinary.map(|table| table.name.clone()).collect()
}
