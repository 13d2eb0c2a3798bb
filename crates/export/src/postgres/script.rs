//! The script itself, with the rows in it: the second of two passes.
//!
//! It is loaded whole or not at all, whatever ends early: its first statements break a deferred constraint which only its
//! last ones mend. So a script that was cut off by the end of a pipe fails when `psql -1` commits, and without `-1` the
//! very first insert fails.

use std::io::Write;

use ebbtide_rows::{Schema, Table, ValueRef};
use rusqlite::Connection;

use super::copy_text::NULL;
use super::encode::encode;
use super::names::PgName;
use super::plan::{PostgresPlan, TablePlan};
use super::scan::{columns_read, query};
use super::target::Target;
use crate::buffer::{buffer, spill};
use crate::error::{ExportError, Result};

const BEGIN: &str = r#"\set ON_ERROR_STOP on
SET LOCAL client_min_messages = warning;
SET LOCAL client_encoding = 'UTF8';
SET LOCAL standard_conforming_strings = on;
CREATE TEMPORARY TABLE "ebbtide: end of the script" (number integer PRIMARY KEY);
CREATE TEMPORARY TABLE "ebbtide: begin of the script" (number integer
    CONSTRAINT "load the whole script, with psql -1 -v ON_ERROR_STOP=1"
    REFERENCES "ebbtide: end of the script" DEFERRABLE INITIALLY DEFERRED);
INSERT INTO "ebbtide: begin of the script" VALUES (1);
"#;

const END: &str = r#"INSERT INTO "ebbtide: end of the script" VALUES (1);
SET CONSTRAINTS ALL IMMEDIATE;
DROP TABLE "ebbtide: begin of the script", "ebbtide: end of the script";
"#;

/// Writes the script of a plan that refuses nothing. `about` is what stands at its top.
/// Nothing is loaded of what was written if `before_end` fails.
///
/// # Errors
/// When the database cannot be read or the script cannot be written, and when the database is no longer as it was planned.
pub fn write_script(
    connection: &Connection,
    schema: &Schema,
    plan: &PostgresPlan,
    about: &str,
    before_end: &dyn Fn() -> Result<()>,
    out: &mut dyn Write,
) -> Result<()> {
    for line in about.lines() {
        writeln!(out, "-- {}", line.replace(char::is_control, " "))?;
    }
    out.write_all(BEGIN.as_bytes())?;
    for table in &plan.tables {
        writeln!(out, "{}", table.create)?;
    }
    for planned in &plan.tables {
        let table = schema.table(&planned.table);
        let table = table.ok_or_else(|| ExportError::Changed { table: planned.table.clone() })?;
        copy(connection, schema, planned, table, out)?;
    }
    for statement in plan.tables.iter().flat_map(|table| &table.after) {
        writeln!(out, "{statement}")?;
    }
    for statement in &plan.foreign_keys {
        writeln!(out, "{statement}")?;
    }
    before_end()?;
    out.write_all(END.as_bytes())?;
    Ok(())
}

fn copy(
    connection: &Connection,
    schema: &Schema,
    planned: &TablePlan,
    table: &Table,
    out: &mut dyn Write,
) -> Result<()> {
    if planned.rows == 0 {
        return Ok(());
    }
    let names = columns_read(table).map(|(_, column)| PgName(&column.name).to_string());
    let names = names.collect::<Vec<_>>().join(", ");
    writeln!(out, "COPY {} ({names}) FROM stdin;", PgName(&table.name))?;
    let doing = || ExportError::doing(format!("read table {}", table.name));
    let changed = || ExportError::Changed { table: table.name.clone() };
    let mut statement = connection.prepare(&query(&schema.name, table)).map_err(doing())?;
    let mut rows = statement.query([]).map_err(doing())?;
    let mut buffer = buffer();
    let mut count = 0;
    while let Some(row) = rows.next().map_err(doing())? {
        count += 1;
        for (place, target) in planned.targets.iter().enumerate() {
            let value = ValueRef::from(row.get_ref(place).map_err(doing())?);
            if place > 0 {
                buffer.push(b'\t');
            }
            push(*target, value, &mut buffer).ok_or_else(changed)?;
        }
        buffer.push(b'\n');
        spill(&mut buffer, out)?;
    }
    if count != planned.rows {
        return Err(changed());
    }
    buffer.extend_from_slice(b"\\.\n");
    out.write_all(&buffer)?;
    Ok(())
}

/// What the first pass saw fits, so what does not is another value than then.
fn push(target: Target, value: ValueRef<'_>, out: &mut Vec<u8>) -> Option<()> {
    if let ValueRef::Null = value {
        out.extend_from_slice(NULL);
        return Some(());
    }
    encode(target, value, out).ok().map(|_| ())
}
