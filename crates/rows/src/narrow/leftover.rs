//! Reads the rows that can differ, so that whoever watches which pages are read sees their overflow pages.

use super::super::diff::Side;
use super::super::error::RowsError;
use super::super::extent::{Extent, Extents};
use super::super::ident::Ident;
use super::super::schema::Schema;
use super::super::table::{Table, TableKind};

/// Reads all values of all rows that can differ on a side, and asks after each table whether that is enough.
///
/// # Errors
/// When SQLite fails.
pub fn leftover(
    side: Side<'_>,
    extents: &Extents,
    is_enough: &mut dyn FnMut() -> bool,
) -> Result<(), RowsError> {
    let schema = Schema::read(side.connection, side.schema)?;
    // Few rows first.
    let is_part = |table: &&Table| matches!(extents.of(&table.name), Extent::Rowids(_));
    let (parts, whole): (Vec<&Table>, Vec<&Table>) = schema.tables.iter().partition(is_part);
    for table in parts.into_iter().chain(whole) {
        let is_virtual = matches!(table.kind, TableKind::Virtual { .. });
        if is_virtual || table.unreadable.is_some() || *extents.of(&table.name) == Extent::Nothing {
            continue;
        }
        read(side, table, extents.of(&table.name))?;
        if is_enough() {
            return Ok(());
        }
    }
    Ok(())
}

fn read(side: Side<'_>, table: &Table, extent: &Extent) -> Result<(), RowsError> {
    let doing = || RowsError::doing(format!("read the rows of {}", table.name));
    let mut sql = format!("SELECT * FROM {} NOT INDEXED", table.qualified(side.schema));
    let everything = vec![(i64::MIN, i64::MAX)];
    let ranges = match (extent, rowid(table)) {
        (Extent::Rowids(ranges), Some(rowid)) => {
            sql.push_str(&format!(" WHERE {rowid} BETWEEN ?1 AND ?2"));
            ranges
        }
        _ => &everything,
    };
    let mut statement = match side.connection.prepare(&sql) {
        Ok(statement) => statement,
        // What is not read remains in doubt.
        Err(error) if RowsError::lack(&error).is_some() => return Ok(()),
        Err(error) => return Err(doing()(error)),
    };
    let count = statement.column_count();
    for (first, last) in ranges {
        let mut rows = match statement.parameter_count() {
            0 => statement.query([]),
            _ => statement.query([first, last]),
        }
        .map_err(doing())?;
        while let Some(row) = rows.next().map_err(doing())? {
            for at in 0..count {
                row.get_ref(at).map_err(doing())?;
            }
        }
    }
    Ok(())
}

fn rowid(table: &Table) -> Option<String> {
    let named = table.rowid_name().map(str::to_owned);
    let alias = table.integer_primary_key.map(|at| Ident(&table.columns[at].name).to_string());
    alias.or(named)
}
