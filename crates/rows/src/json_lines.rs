//! Differences as JSON, an object a line.

use serde_json::{Map, Value as Json, json as object};

use super::diff::{Change, Counts, NumberChange, On, SchemaChange, Sink, TablePair, Want};
use super::error::RowsError;
use super::json::json;
use super::schema::Schema;
use super::value::ValueRef;

/// Hands each object to a function: `schema`, `row`, `table` and `not-compared`, by their member `what`.
pub struct JsonLines<F> {
    line: F,
}

impl<F: FnMut(Json) -> Result<(), RowsError>> JsonLines<F> {
    /// Each object is given to `line`.
    pub fn new(line: F) -> JsonLines<F> {
        JsonLines { line }
    }
}

fn members(
    pair: &TablePair<'_>,
    row: &[ValueRef<'_>],
    which: impl Fn(usize) -> bool,
) -> Map<String, Json> {
    let fields = (0..pair.fields.len()).filter(|&field| which(field));
    fields.map(|field| (pair.fields[field].name.clone(), json(row[field]))).collect()
}

/// A change as an object.
fn row(pair: &TablePair<'_>, change: Change<'_>) -> Json {
    let key = |row| members(pair, row, |field| pair.is_key(field));
    let without = |on: On| move |field: usize| pair.fields[field].on != on;
    let (name, key, old, new) = match change {
        Change::Inserted(row) => {
            ("inserted", key(row), None, Some(members(pair, row, without(On::Old))))
        }
        Change::Deleted(row) => {
            ("deleted", key(row), Some(members(pair, row, without(On::New))), None)
        }
        Change::Updated { old, new, changed } => {
            let is_changed = |field: usize| changed.contains(&field);
            let (before, after) = (members(pair, old, is_changed), members(pair, new, is_changed));
            ("updated", key(new), Some(before), Some(after))
        }
    };
    let mut line = object!({ "what": "row", "table": pair.name, "change": name });
    if !key.is_empty() {
        line["key"] = key.into();
    }
    for (name, values) in [("old", old), ("new", new)] {
        if let Some(values) = values {
            line[name] = values.into();
        }
    }
    line
}

impl<F: FnMut(Json) -> Result<(), RowsError>> Sink for JsonLines<F> {
    fn begin(
        &mut self,
        _old: &Schema,
        _new: &Schema,
        changes: &[SchemaChange],
    ) -> Result<(), RowsError> {
        for change in changes {
            let is = change.object();
            let mut line = object!({
                "what": "schema", "change": change.name(), "type": is.kind.name(), "name": is.name,
                "table": is.table,
            });
            match change {
                SchemaChange::Created(new) => line["new"] = new.sql.as_str().into(),
                SchemaChange::Dropped(old) => line["old"] = old.sql.as_str().into(),
                SchemaChange::Changed { old, new, columns_added, columns_dropped } => {
                    line["old"] = old.sql.as_str().into();
                    line["new"] = new.sql.as_str().into();
                    line["columns_added"] = columns_added.clone().into();
                    line["columns_dropped"] = columns_dropped.clone().into();
                }
            }
            (self.line)(line)?;
        }
        Ok(())
    }

    fn number(&mut self, change: NumberChange) -> Result<(), RowsError> {
        let NumberChange { pragma, old, new } = change;
        (self.line)(object!({ "what": "pragma", "name": pragma, "old": old, "new": new }))
    }

    fn table(&mut self, _pair: &TablePair<'_>) -> Result<Want, RowsError> {
        Ok(Want::Changes)
    }

    fn row(&mut self, pair: &TablePair<'_>, change: Change<'_>) -> Result<(), RowsError> {
        (self.line)(row(pair, change))
    }

    fn table_end(&mut self, pair: &TablePair<'_>, counts: Counts) -> Result<(), RowsError> {
        if counts.is_empty() {
            return Ok(());
        }
        (self.line)(object!({
            "what": "table", "table": pair.name, "paired_by": pair.pairing.name(),
            "inserted": counts.inserted, "deleted": counts.deleted, "updated": counts.updated,
        }))
    }

    fn not_compared(&mut self, table: &str, why: &str) -> Result<(), RowsError> {
        (self.line)(object!({ "what": "not-compared", "table": table, "why": why }))
    }

    fn end(&mut self) -> Result<(), RowsError> {
        Ok(())
    }
}
