//! The first of two passes over a table: every value is looked at, none is kept.

use ebbtide_rows::{ColumnKind, Ident, Table, ValueRef};
use rusqlite::Connection;

use super::encode::{Change, Misfit, encode};
use super::excerpt::excerpt;
use super::facts::Facts;
use super::family::Family;
use super::target::Target;
use crate::error::{ExportError, Result};

/// What was seen of a table.
#[derive(Debug)]
pub(crate) struct Scanned {
    pub(crate) rows: u64,
    /// Of each column that is read.
    pub(crate) facts: Vec<Facts>,
    /// Of each column for which a type was said.
    pub(crate) trials: Vec<Option<Trial>>,
    /// About what the largest row takes in COPY's format.
    pub(crate) row_bytes_max: u64,
}

/// How the values of a column fare in the type that was said.
#[derive(Debug)]
pub(crate) struct Trial {
    pub(crate) target: Target,
    pub(crate) changed: u64,
    pub(crate) lossy: u64,
    pub(crate) misfits: u64,
    pub(crate) first_misfit: Option<(String, Misfit)>,
    scratch: Vec<u8>,
}

/// The columns that are read: all but those that a virtual table does not show.
pub(crate) fn columns_read(table: &Table) -> impl Iterator<Item = (usize, &ebbtide_rows::Column)> {
    table.columns.iter().enumerate().filter(|(_, column)| column.kind != ColumnKind::Hidden)
}

/// The query of both passes, in one order.
pub(crate) fn query(schema: &str, table: &Table) -> String {
    let names = columns_read(table).map(|(_, column)| Ident(&column.name).to_string());
    let names = names.collect::<Vec<_>>().join(", ");
    format!("SELECT {names} FROM {}", table.qualified(schema))
}

/// Looks at all rows. `targets` has the types that were said.
pub(crate) fn scan(
    connection: &Connection,
    schema: &str,
    table: &Table,
    targets: &[Option<Target>],
) -> Result<Scanned> {
    let families = columns_read(table).map(|(_, column)| Family::of(&column.declared));
    let mut scanned = Scanned {
        rows: 0,
        facts: families.map(Facts::new).collect(),
        trials: targets.iter().map(|target| target.map(Trial::new)).collect(),
        row_bytes_max: 0,
    };
    let doing = || ExportError::doing(format!("read table {}", table.name));
    let mut statement = connection.prepare(&query(schema, table)).map_err(doing())?;
    let mut rows = statement.query([]).map_err(doing())?;
    while let Some(row) = rows.next().map_err(doing())? {
        scanned.rows += 1;
        let mut bytes = 0;
        for (index, facts) in scanned.facts.iter_mut().enumerate() {
            let value = ValueRef::from(row.get_ref(index).map_err(doing())?);
            facts.see(value);
            bytes += bytes_of(value);
            if let Some(Some(trial)) = scanned.trials.get_mut(index) {
                trial.see(value);
            }
        }
        scanned.row_bytes_max = scanned.row_bytes_max.max(bytes);
    }
    Ok(scanned)
}

/// About what a value takes in COPY's format.
fn bytes_of(value: ValueRef<'_>) -> u64 {
    let length = |bytes: &[u8]| u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    match value {
        ValueRef::Text(text) => length(text),
        ValueRef::Blob(blob) => length(blob).saturating_mul(2),
        ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => 24,
    }
}

impl Trial {
    fn new(target: Target) -> Trial {
        Trial { target, changed: 0, lossy: 0, misfits: 0, first_misfit: None, scratch: Vec::new() }
    }

    fn see(&mut self, value: ValueRef<'_>) {
        if matches!(value, ValueRef::Null) {
            return;
        }
        self.scratch.clear();
        match encode(self.target, value, &mut self.scratch) {
            Ok(Change::None) => {}
            Ok(Change::Type) => self.changed += 1,
            Ok(Change::Loss) => self.lossy += 1,
            Err(misfit) => {
                self.misfits += 1;
                self.first_misfit.get_or_insert_with(|| (excerpt(value), misfit));
            }
        }
    }
}
