//! A table as CSV, as RFC 4180 has it.
//!
//! NULL is what was said to stand for it, nothing by default, and then a text that is empty stands in quotes, as any text
//! that looks like NULL. Blobs are hexadecimal digits. A field has any byte but NUL, and any text must be UTF-8.

use std::io::Write;

use ebbtide_rows::{Qualified, ValueRef};
use rusqlite::Connection;

use crate::buffer::{buffer, spill};
use crate::error::{ExportError, Result};
use crate::hex::push_hex;
use crate::nul::NulPolicy;

/// How values are written.
#[derive(Debug, Clone)]
pub struct CsvOptions {
    /// What stands for NULL.
    pub null: String,
    /// What becomes of text with NUL.
    pub nul: NulPolicy,
}

/// Writes a table or a view with a line of names at its top; how many rows it has.
///
/// # Errors
/// When it cannot be read or written.
pub fn write_csv(
    connection: &Connection,
    schema: &str,
    table: &str,
    options: &CsvOptions,
    out: &mut dyn Write,
) -> Result<u64> {
    let doing = || ExportError::doing(format!("read table {table}"));
    let sql = format!("SELECT * FROM {}", Qualified(schema, table));
    let mut statement = connection.prepare(&sql).map_err(doing())?;
    let mut buffer = buffer();
    for (place, name) in statement.column_names().enumerate() {
        separate(place, &mut buffer);
        push_text(name.as_bytes(), &options.null, &mut buffer);
    }
    buffer.extend_from_slice(b"\r\n");
    let columns = statement.column_count();
    let mut rows = statement.query([]).map_err(doing())?;
    let mut count = 0;
    while let Some(row) = rows.next().map_err(doing())? {
        count += 1;
        for place in 0..columns {
            separate(place, &mut buffer);
            push(row.get_ref(place).map_err(doing())?.into(), options, &mut buffer)?;
        }
        buffer.extend_from_slice(b"\r\n");
        spill(&mut buffer, out)?;
    }
    out.write_all(&buffer)?;
    Ok(count)
}

fn separate(place: usize, out: &mut Vec<u8>) {
    if place > 0 {
        out.push(b',');
    }
}

fn push(value: ValueRef<'_>, options: &CsvOptions, out: &mut Vec<u8>) -> std::io::Result<()> {
    match value {
        ValueRef::Null => out.extend_from_slice(options.null.as_bytes()),
        ValueRef::Integer(integer) => write!(out, "{integer}")?,
        ValueRef::Real(real) if real.is_infinite() => {
            out.extend_from_slice(if real > 0.0 { b"Infinity" } else { b"-Infinity" });
        }
        ValueRef::Real(real) => write!(out, "{real:?}")?,
        ValueRef::Text(text) if options.nul == NulPolicy::Strip && text.contains(&0) => {
            let rest: Vec<u8> = text.iter().copied().filter(|byte| *byte != 0).collect();
            push_text(&rest, &options.null, out);
        }
        ValueRef::Text(text) if value.plain_text().is_some() => push_text(text, &options.null, out),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
            push_hex(out, bytes);
        }
    }
    Ok(())
}

/// A field, in quotes if it needs them.
fn push_text(text: &[u8], null: &str, out: &mut Vec<u8>) {
    let is_special = |byte: &u8| matches!(byte, b',' | b'"' | b'\r' | b'\n');
    if !text.iter().any(is_special) && text != null.as_bytes() {
        out.extend_from_slice(text);
        return;
    }
    out.push(b'"');
    for part in text.split_inclusive(|byte| *byte == b'"') {
        out.extend_from_slice(part);
        if part.ends_with(b"\"") {
            out.push(b'"');
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(sql: &str, null: &str, nul: NulPolicy) -> String {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(sql).unwrap();
        let options = CsvOptions { null: null.to_owned(), nul };
        let mut out = Vec::new();
        write_csv(&connection, "main", "t", &options, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn null_is_no_empty_text() {
        let sql = "CREATE TABLE t (a, \"b, c\"); INSERT INTO t VALUES (NULL, ''), ('x', 'say \"hi\"'), ('NULL', 'a\r\nb')";
        let plain = written(sql, "", NulPolicy::Refuse);
        assert_eq!(plain, "a,\"b, c\"\r\n,\"\"\r\nx,\"say \"\"hi\"\"\"\r\nNULL,\"a\r\nb\"\r\n");
        let named = written(sql, "NULL", NulPolicy::Refuse);
        assert_eq!(named, "a,\"b, c\"\r\nNULL,\r\nx,\"say \"\"hi\"\"\"\r\n\"NULL\",\"a\r\nb\"\r\n");
    }

    #[test]
    fn numbers_read_back_and_bytes_are_hexadecimal() {
        let sql = "CREATE TABLE t (a, b); INSERT INTO t VALUES (1, 1.0), (0.1 + 0.2, 9e999), (x'00ff', x'')";
        let expected = "a,b\r\n1,1.0\r\n0.30000000000000004,Infinity\r\n00ff,\r\n";
        assert_eq!(written(sql, "-", NulPolicy::Refuse), expected);
    }

    #[test]
    fn t31_text_with_nul_is_written_as_was_said() {
        let sql = "CREATE TABLE t (a); INSERT INTO t VALUES ('a' || char(0) || 'b')";
        assert_eq!(written(sql, "", NulPolicy::Strip), "a\r\nab\r\n");
        assert_eq!(written(sql, "", NulPolicy::Bytea), "a\r\n610062\r\n");
    }
}
