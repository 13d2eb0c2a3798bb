//! Which tables are taken elsewhere: those that were named, or all that an application has made.

use ebbtide_rows::{Content, ObjectKind, Schema, Table, TableKind};

use crate::error::{ExportError, Result};
use crate::report::Finding;

/// Tables, and what of the schema is not among them.
#[derive(Debug)]
pub(crate) struct Selection<'a> {
    pub(crate) tables: Vec<&'a Table>,
    pub(crate) findings: Vec<Finding>,
}

/// Chooses. `takes_virtual` says whether the rows of virtual tables can be taken through them.
pub(crate) fn select<'a>(
    schema: &'a Schema,
    names: &[String],
    takes_virtual: bool,
) -> Result<Selection<'a>> {
    if names.is_empty() {
        return Ok(all(schema, takes_virtual));
    }
    let mut tables: Vec<&Table> = Vec::new();
    for name in names {
        let table = schema.table(name).filter(|table| !table.is_internal());
        let Some(table) = table else { return Err(unknown(schema, name)) };
        if tables.iter().all(|known| known.name != table.name) {
            tables.push(table);
        }
    }
    let mut findings = Vec::new();
    for table in &tables {
        if let Some(why) = &table.unreadable {
            findings.push(Finding::refused(format!("table {} cannot be read: {why}", table.name)));
        } else if !takes_virtual && matches!(table.kind, TableKind::Virtual { .. }) {
            findings.push(Finding::refused(format!(
                "{} is a virtual table, whose rows are not a table's",
                table.name
            )));
        }
    }
    Ok(Selection { tables, findings })
}

fn unknown(schema: &Schema, name: &str) -> ExportError {
    let known: Vec<&str> = schema
        .tables
        .iter()
        .filter(|table| table.kind == TableKind::Ordinary && !table.is_internal())
        .map(|table| table.name.as_str())
        .take(NAMED_MAX)
        .collect();
    ExportError::Usage(format!("there is no table {name}; there are {}", known.join(", ")))
}

/// Tables that are named where one is not found.
const NAMED_MAX: usize = 20;

fn all(schema: &Schema, takes_virtual: bool) -> Selection<'_> {
    let (mut tables, mut findings) = (Vec::new(), Vec::new());
    for table in schema.tables.iter().filter(|table| !table.is_internal()) {
        if let Some(why) = &table.unreadable {
            findings.push(Finding::left_out(format!("table {} cannot be read: {why}", table.name)));
            continue;
        }
        match &table.kind {
            _ if table.name.starts_with("_litestream_") => {
                findings.push(Finding::left_out(format!(
                    "table {}, which is Litestream's",
                    table.name
                )));
            }
            TableKind::Ordinary => tables.push(table),
            TableKind::Virtual { content: Content::Own, .. } if takes_virtual => tables.push(table),
            TableKind::Virtual { module, .. } => {
                findings
                    .push(Finding::left_out(format!("virtual table {} ({module})", table.name)));
            }
            // They belong to a virtual table, which was named.
            TableKind::Shadow => {}
        }
    }
    for object in &schema.objects {
        match object.kind {
            ObjectKind::View | ObjectKind::Trigger => {
                findings.push(Finding::left_out(format!("{} {}", object.kind.name(), object.name)));
            }
            ObjectKind::Table | ObjectKind::Index => {}
        }
    }
    Selection { tables, findings }
}
