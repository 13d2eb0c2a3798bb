//! The rows of one side in the order of their key.

use rusqlite::Connection;

use super::super::error::RowsError;
use super::super::ident::{Ident, Qualified};
use super::super::literal::Literal;
use super::super::table::Table;
use super::pair::{On, Pairing, TablePair};
use super::side::Side;

/// Which side a cursor reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    Old,
    New,
}

/// The statement that reads a side's rows, or those from rowid `?1` to `?2`; `None` if the side does not have the table.
pub(super) fn select(
    pair: &TablePair<'_>,
    which: Which,
    schema: &str,
    is_ranged: bool,
) -> Option<String> {
    let table = match which {
        Which::Old => pair.old,
        Which::New => pair.new,
    }?;
    let fields: Vec<String> =
        (0..pair.fields.len()).map(|field| expression(pair, which, table, field)).collect();
    let mut sql = format!("SELECT {} FROM {}", fields.join(", "), Qualified(schema, &table.name));
    if let (true, [part]) = (is_ranged, &pair.key[..]) {
        sql.push_str(&format!(" WHERE {} BETWEEN ?1 AND ?2", fields[part.field]));
    }
    let terms = match pair.pairing {
        Pairing::Rowid | Pairing::Key => pair
            .key
            .iter()
            .map(|part| {
                let by = format!("{} COLLATE {}", fields[part.field], Ident(part.collation.name()));
                if part.is_descending { by + " DESC" } else { by }
            })
            .collect::<Vec<String>>(),
        // By number, because a default that is an integer would be taken for one.
        Pairing::WholeRow => pair
            .compared()
            .into_iter()
            .map(|field| format!("{} COLLATE BINARY", field + 1))
            .collect(),
    };
    if pair.pairing == Pairing::Rowid {
        // A collation would keep SQLite from reading the table in its own order.
        let terms: Vec<&str> = pair.key.iter().map(|part| fields[part.field].as_str()).collect();
        return Some(format!("{sql} ORDER BY {}", terms.join(", ")));
    }
    Some(if terms.is_empty() { sql } else { format!("{sql} ORDER BY {}", terms.join(", ")) })
}

/// What a side has for a field.
fn expression(pair: &TablePair<'_>, which: Which, table: &Table, field: usize) -> String {
    let field = &pair.fields[field];
    let default = || Literal::in_encoding(field.default.as_ref(), pair.encoding).to_string();
    match (field.on, which) {
        (On::Old, Which::New) => "NULL".to_owned(),
        (On::New, Which::Old) => default(),
        // Each side names its rowid as its own columns allow.
        (On::Rowid, _) => table.rowid_name().unwrap_or("rowid").to_owned(),
        _ => Ident(&field.name).to_string(),
    }
}

/// Prepares it; `Err` with SQLite's words if this SQLite lacks what the table needs.
pub(super) fn prepare<'c>(
    side: &Side<'c>,
    sql: &str,
) -> Result<Result<rusqlite::Statement<'c>, String>, RowsError> {
    let connection: &'c Connection = side.connection;
    match connection.prepare(sql) {
        Ok(statement) => Ok(Ok(statement)),
        Err(error) => match RowsError::lack(&error) {
            Some(why) => Ok(Err(why)),
            None => Err(RowsError::doing(format!("read {}", side.schema))(error)),
        },
    }
}
