//! Single statements about rows.

use super::super::balanced::balanced;
use super::super::collation::Collation;
use super::super::column::ColumnKind;
use super::super::diff::{KeyPart, On, Pairing, TablePair};
use super::super::error::RowsError;
use super::super::ident::Ident;
use super::super::literal::Literal;
use super::super::value::ValueRef;

/// A value as the pair's databases read it.
pub(crate) fn literal(pair: &TablePair<'_>, value: ValueRef<'_>) -> String {
    Literal::in_encoding(value, pair.encoding).to_string()
}

/// The fields that a row of the new side has.
pub(crate) fn fields_of_new(pair: &TablePair<'_>) -> impl Iterator<Item = usize> {
    (0..pair.fields.len()).filter(|&field| pair.fields[field].on != On::Old)
}

/// `"t" ("a", "b")`, and the values for it.
pub(crate) fn columns_and_values(pair: &TablePair<'_>, row: &[ValueRef<'_>]) -> (String, String) {
    let names: Vec<String> = fields_of_new(pair).map(|field| name(pair, field)).collect();
    let values: Vec<String> = fields_of_new(pair).map(|field| literal(pair, row[field])).collect();
    (format!("{} ({})", Ident(pair.name), names.join(", ")), values.join(", "))
}

/// `"a" = 1, "b" = 2` for the fields that changed.
pub(crate) fn assignments(pair: &TablePair<'_>, new: &[ValueRef<'_>], changed: &[usize]) -> String {
    let set = |&field: &usize| format!("{} = {}", name(pair, field), literal(pair, new[field]));
    changed.iter().map(set).collect::<Vec<_>>().join(", ")
}

/// The condition that holds for one row alone: the one that `row` describes.
///
/// # Errors
/// When no condition of SQL does: equal rows in a table whose rowid has no name.
pub(crate) fn locate(pair: &TablePair<'_>, row: &[ValueRef<'_>]) -> Result<String, RowsError> {
    match pair.pairing {
        Pairing::Rowid | Pairing::Key => {
            let parts = pair.key.iter().map(|part| key_equals(pair, part, row[part.field]));
            Ok(parts.collect::<Vec<_>>().join(" AND "))
        }
        Pairing::WholeRow => {
            let table = pair.old.unwrap_or(pair.table());
            let fields = (0..pair.fields.len()).filter(|&field| pair.fields[field].on != On::New);
            let all: Vec<String> = fields.map(|field| exactly(pair, field, row[field])).collect();
            let all = balanced(&all, " AND ");
            if table.is_without_rowid {
                return Ok(all);
            }
            let alias = table.integer_primary_key.map(|column| &table.columns[column].name);
            let rowid = alias.map(|name| Ident(name).to_string());
            let rowid = rowid.or_else(|| table.rowid_name().map(str::to_owned));
            let Some(rowid) = rowid else {
                return Err(RowsError::Nameless { table: table.name.clone() });
            };
            let name = Ident(&table.name);
            Ok(format!("{rowid} = (SELECT {rowid} FROM {name} WHERE {all} LIMIT 1)"))
        }
    }
}

fn key_equals(pair: &TablePair<'_>, part: &KeyPart, value: ValueRef<'_>) -> String {
    let equals = format!("{} = {}", name(pair, part.field), literal(pair, value));
    let table = pair.table();
    let column = table.column(&pair.fields[part.field].name).map(|at| &table.columns[at].collation);
    // Without a word SQLite takes the column's own order, for which it has the index.
    match column {
        Some(own) if *own != part.collation => {
            format!("{equals} COLLATE {}", part.collation.name())
        }
        None if part.collation != Collation::Binary => {
            format!("{equals} COLLATE {}", part.collation.name())
        }
        _ => equals,
    }
}

/// The condition that a field has this value, by class and bytes.
pub(crate) fn exactly(pair: &TablePair<'_>, field: usize, value: ValueRef<'_>) -> String {
    let name = name(pair, field);
    let class = value.class().name();
    let literal = literal(pair, value);
    // The plus takes the column's affinity away, which would be applied to the literal.
    match value {
        ValueRef::Null => format!("{name} IS NULL"),
        ValueRef::Text(_) => {
            format!("(typeof({name}) = '{class}' AND +{name} = {literal} COLLATE BINARY)")
        }
        _ => format!("(typeof({name}) = '{class}' AND +{name} = {literal})"),
    }
}

/// A field's name as SQL.
pub(crate) fn name(pair: &TablePair<'_>, field: usize) -> String {
    match pair.fields[field].on {
        On::Rowid => pair.fields[field].name.clone(),
        _ => Ident(&pair.fields[field].name).to_string(),
    }
}

/// Whether a change of these fields may change the key of a unique index, so that rows written one after the other could
/// collide on the way though neither state has a collision.
pub(crate) fn touches_unique(pair: &TablePair<'_>, changed: &[usize]) -> bool {
    let tables = [pair.old, pair.new].into_iter().flatten();
    let mut indexes =
        tables.flat_map(|table| table.indexes.iter().map(move |index| (table, index)));
    indexes.any(|(table, index)| {
        let may_use_any =
            index.is_partial || index.columns.iter().any(|part| part.column.is_none());
        let has = |field: &usize| {
            let at = table.column(&pair.fields[*field].name);
            may_use_any
                || at.is_none()
                || index.columns.iter().any(|part| part.column == at)
                || table.columns.iter().any(|column| column.kind == ColumnKind::Generated)
        };
        index.is_unique && changed.iter().any(has)
    })
}
