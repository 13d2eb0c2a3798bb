//! Orders that only an application knows, as Anki's `unicase`.
//!
//! SQLite reads no table that has one in a key or an index, not even from its beginning to its end, which compares nothing.

use std::collections::BTreeSet;

use ebbtide_rows::{Schema, Table};
use rusqlite::Connection;

use crate::error::{ExportError, Result};

/// Has tables read whose orders only their application knows: an export reads them as they are stored. No question that
/// compares may be asked then.
///
/// # Errors
/// When SQLite has no memory left.
pub fn read_past_orders(connection: &Connection, schema: &Schema) -> Result<()> {
    let names: BTreeSet<&str> = schema.tables.iter().flat_map(Table::unknown_orders).collect();
    for name in names {
        let by_bytes = connection.create_collation(name, str::cmp);
        by_bytes.map_err(ExportError::doing(format!("read past the order {name}")))?;
    }
    Ok(())
}

/// A table in such an order cannot be made: its rows would not be where its application looks for them.
pub(crate) fn refuse_orders(table: &Table) -> Result<()> {
    let Some(name) = table.unknown_orders().into_iter().next() else { return Ok(()) };
    let why = format!(
        "table {} is in the order {name}, which only the application knows, so it cannot be made: choose others with --table",
        table.name
    );
    Err(ExportError::Usage(why))
}
