//! What is taken elsewhere as files of one table each, CSV or JSON lines, and what has to be said before.

use ebbtide_rows::{Object, ObjectKind, Qualified, Schema, ValueRef};
use rusqlite::Connection;

use crate::error::{ExportError, Result};
use crate::nul::NulPolicy;
use crate::report::{Finding, Report};
use crate::select::select;

/// Names of tables and views, and what is to be said.
#[derive(Debug)]
pub struct FlatPlan {
    /// In the order in which they were created; views last.
    pub tables: Vec<String>,
    /// What is to be said. If it refuses, nothing must be written.
    pub report: Report,
}

/// Chooses the tables: those that were named, views among them, or all.
///
/// # Errors
/// When there is nothing of a name.
pub fn plan_flat(schema: &Schema, names: &[String]) -> Result<FlatPlan> {
    let view = |name: &String| -> Option<&Object> {
        let mut views = schema.objects.iter().filter(|object| object.kind == ObjectKind::View);
        views.find(|view| view.name.eq_ignore_ascii_case(name))
    };
    let views: Vec<String> = names.iter().filter_map(view).map(|view| view.name.clone()).collect();
    let named: Vec<String> = names.iter().filter(|name| view(name).is_none()).cloned().collect();
    if named.is_empty() && !views.is_empty() {
        return Ok(FlatPlan { tables: views, report: Report::default() });
    }
    let selection = select(schema, &named, true)?;
    let tables = selection.tables.iter().map(|table| table.name.clone()).chain(views).collect();
    Ok(FlatPlan { tables, report: Report { tables: Vec::new(), findings: selection.findings } })
}

/// Adds what is to be said of texts that CSV cannot have as they are.
///
/// # Errors
/// When the database cannot be read.
pub fn look_at_texts(
    connection: &Connection,
    schema: &Schema,
    plan: &mut FlatPlan,
    nul: NulPolicy,
) -> Result<()> {
    for table in &plan.tables {
        let Texts { with_nul, not_utf8 } = texts(connection, schema, table)?;
        let said = |what: &str, count: u64| {
            let what = format!("{table}: {what}");
            match nul {
                NulPolicy::Refuse => Finding::refused(what)
                    .of(count)
                    .word("--nul bytea for hexadecimal digits, or --nul strip"),
                NulPolicy::Bytea => {
                    Finding::coerced(format!("{what}, as hexadecimal digits")).of(count)
                }
                NulPolicy::Strip => Finding::coerced(format!("{what}, taken out")).of(count),
            }
        };
        if with_nul > 0 {
            plan.report.findings.push(said("text with NUL", with_nul));
        }
        if not_utf8 > 0 {
            let what = format!("{table}: text that is not UTF-8");
            let finding = match nul {
                NulPolicy::Bytea => Finding::coerced(format!("{what}, as hexadecimal digits")),
                _ => Finding::refused(what).word("--nul bytea for hexadecimal digits"),
            };
            plan.report.findings.push(finding.of(not_utf8));
        }
    }
    Ok(())
}

/// Texts that are not just text.
#[derive(Default)]
struct Texts {
    with_nul: u64,
    not_utf8: u64,
}

fn texts(connection: &Connection, schema: &Schema, table: &str) -> Result<Texts> {
    let doing = || ExportError::doing(format!("read table {table}"));
    let sql = format!("SELECT * FROM {}", Qualified(&schema.name, table));
    let mut statement = connection.prepare(&sql).map_err(doing())?;
    let columns = statement.column_count();
    let mut rows = statement.query([]).map_err(doing())?;
    let mut found = Texts::default();
    while let Some(row) = rows.next().map_err(doing())? {
        for place in 0..columns {
            let value = ValueRef::from(row.get_ref(place).map_err(doing())?);
            let (ValueRef::Text(text), None) = (value, value.plain_text()) else { continue };
            match std::str::from_utf8(text) {
                Ok(_) => found.with_nul += 1,
                Err(_) => found.not_utf8 += 1,
            }
        }
    }
    Ok(found)
}
