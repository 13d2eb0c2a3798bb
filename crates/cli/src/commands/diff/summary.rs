//! How many rows differ, table by table.

use ebbtide_rows::{
    Change, Compared, Counts, NumberChange, ObjectKind, Pairing, RowsError, Schema, SchemaChange,
    Sink, Summary, TablePair, Want,
};
use serde_json::{Value as Json, json};

use crate::output;

/// Hears of the differences and says nothing: they are counted anyway.
pub(in crate::commands) struct Quiet;

impl Sink for Quiet {
    fn begin(&mut self, _: &Schema, _: &Schema, _: &[SchemaChange]) -> Result<(), RowsError> {
        Ok(())
    }

    fn number(&mut self, _: NumberChange) -> Result<(), RowsError> {
        Ok(())
    }

    fn table(&mut self, _: &TablePair<'_>) -> Result<Want, RowsError> {
        Ok(Want::Changes)
    }

    fn row(&mut self, _: &TablePair<'_>, _: Change<'_>) -> Result<(), RowsError> {
        Ok(())
    }

    fn table_end(&mut self, _: &TablePair<'_>, _: Counts) -> Result<(), RowsError> {
        Ok(())
    }

    fn not_compared(&mut self, _: &str, _: &str) -> Result<(), RowsError> {
        Ok(())
    }

    fn end(&mut self) -> Result<(), RowsError> {
        Ok(())
    }
}

/// Prints it.
pub(super) fn print(summary: &Summary) {
    for change in &summary.schema {
        output::line(schema_line(change));
    }
    summary.numbers.iter().map(number_line).for_each(output::line);
    let differing = || summary.tables.iter().filter(|table| !table.counts.is_empty());
    let width = differing().map(|table| table.table.chars().count()).max().unwrap_or(0);
    for table in differing() {
        output::line(format_args!("{:width$}  {}", table.table, counts(table)));
    }
    if summary.is_equal() {
        output::line("no differences");
    }
    print_left_out(summary);
}

/// Names what was not compared.
pub(super) fn print_left_out(summary: &Summary) {
    for left in &summary.not_compared {
        output::line(format_args!("not compared: {}: {}", left.table, left.why));
    }
}

/// A change of the schema in a line.
pub(super) fn schema_line(change: &SchemaChange) -> String {
    let object = change.object();
    let mut line = format!("schema: {} {} {}", object.kind.name(), object.name, change.name());
    if let SchemaChange::Changed { columns_added, columns_dropped, .. } = change {
        let columns = |names: &[String], what: &str| match names {
            [] => String::new(),
            names => format!("; {what} {}", names.join(", ")),
        };
        line += &columns(columns_added, "with");
        line += &columns(columns_dropped, "without");
    } else if matches!(object.kind, ObjectKind::Index | ObjectKind::Trigger) {
        line += &format!(" (on {})", object.table);
    }
    line
}

/// A number of the database in a line.
pub(super) fn number_line(change: &NumberChange) -> String {
    let NumberChange { pragma, old, new } = change;
    format!("{pragma} {old} → {new}")
}

fn counts(table: &Compared) -> String {
    let Counts { inserted, deleted, updated } = table.counts;
    let part = |sign: char, count: u64| (count > 0).then(|| format!("{sign}{count}"));
    let parts = [part('+', inserted), part('-', deleted), part('~', updated)];
    let mut line = parts.into_iter().flatten().collect::<Vec<_>>().join("  ");
    if table.pairing == Pairing::WholeRow {
        line += "  (by whole rows)";
    }
    line
}

/// The last object of `--json`.
pub(super) fn as_json(summary: &Summary) -> Json {
    let sum =
        |of: fn(&Counts) -> u64| summary.tables.iter().map(|table| of(&table.counts)).sum::<u64>();
    json!({
        "what": "summary",
        "equal": summary.is_equal(),
        "tables_compared": summary.tables.len(),
        "tables_not_compared": summary.not_compared.len(),
        "schema_changes": summary.schema.len(),
        "pragma_changes": summary.numbers.len(),
        "inserted": sum(|counts| counts.inserted),
        "deleted": sum(|counts| counts.deleted),
        "updated": sum(|counts| counts.updated),
    })
}
