//! A table as JSON: an object a line, with the columns in their order.

use std::io::Write;

use ebbtide_rows::{Qualified, ValueRef, json};
use rusqlite::Connection;

use crate::buffer::{buffer, spill};
use crate::error::{ExportError, Result};

/// Writes a table or a view; how many rows it has.
///
/// # Errors
/// When it cannot be read or written.
pub fn write_json(
    connection: &Connection,
    schema: &str,
    table: &str,
    out: &mut dyn Write,
) -> Result<u64> {
    let doing = || ExportError::doing(format!("read table {table}"));
    let sql = format!("SELECT * FROM {}", Qualified(schema, table));
    let mut statement = connection.prepare(&sql).map_err(doing())?;
    let name = |name: &str| json(ValueRef::Text(name.as_bytes())).to_string();
    let names: Vec<String> = statement.column_names().map(name).collect();
    let mut rows = statement.query([]).map_err(doing())?;
    let mut buffer = buffer();
    let mut count = 0;
    while let Some(row) = rows.next().map_err(doing())? {
        count += 1;
        for (place, name) in names.iter().enumerate() {
            let value = ValueRef::from(row.get_ref(place).map_err(doing())?);
            let before = if place == 0 { '{' } else { ',' };
            write!(buffer, "{before}{name}:{}", json(value))?;
        }
        buffer.extend_from_slice(b"}\n");
        spill(&mut buffer, out)?;
    }
    out.write_all(&buffer)?;
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_an_object_with_its_columns_in_order() {
        let connection = Connection::open_in_memory().unwrap();
        let sql = "CREATE TABLE t (z, a, \"q\"\"\"); INSERT INTO t VALUES (1, 1.0, 'é'), (NULL, x'00', char(0))";
        connection.execute_batch(sql).unwrap();
        let mut out = Vec::new();
        assert_eq!(write_json(&connection, "main", "t", &mut out).unwrap(), 2);
        let expected = "{\"z\":1,\"a\":1.0,\"q\\\"\":\"é\"}\n{\"z\":null,\"a\":{\"blob\":\"00\"},\"q\\\"\":{\"text\":\"00\"}}\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
