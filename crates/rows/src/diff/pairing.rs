//! By what the rows of a table are paired.

use super::super::collation::Collation;
use super::super::column::ColumnKind;
use super::super::encoding::Encoding;
use super::super::index::IndexColumn;
use super::super::table::{Table, TableKind};
use super::super::value::Value;
use super::defaults;
use super::pair::{Field, KeyPart, On, Pairing, TablePair};

/// What the caller says about keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    /// The rowid, where there is one.
    Rowid,
    /// The declared key, where there is one.
    Key,
    /// Nothing but the values.
    WholeRow,
}

/// A pair of the tables that there are, of which at least one is.
pub(super) fn pair<'a>(
    old: Option<&'a Table>,
    new: Option<&'a Table>,
    encoding: Encoding,
    by: By,
) -> TablePair<'a> {
    let table = new.or(old).expect("one side has the table");
    let mut pair = TablePair {
        name: &table.name,
        old,
        new,
        fields: fields(old, new),
        pairing: Pairing::WholeRow,
        key: Vec::new(),
        encoding,
        splits_strangers: false,
    };
    let (left, right) = (old.unwrap_or(table), new.unwrap_or(table));
    let by_key = || declared(&pair, left, right);
    let chosen = match by {
        By::WholeRow => None,
        By::Key => by_key().or_else(|| rowid(&pair, left, right)),
        By::Rowid => rowid(&pair, left, right).or_else(by_key),
    };
    match chosen {
        Some(Chosen::Column(field)) => {
            pair.pairing = Pairing::Rowid;
            pair.key = vec![KeyPart { field, collation: Collation::Binary, is_descending: false }];
        }
        Some(Chosen::Rowid(name)) => {
            pair.pairing = Pairing::Rowid;
            let field = Field { name: name.to_owned(), on: On::Rowid, default: Value::Null };
            pair.fields.insert(0, field);
            pair.key =
                vec![KeyPart { field: 0, collation: Collation::Binary, is_descending: false }];
        }
        Some(Chosen::Key(key)) => {
            pair.pairing = Pairing::Key;
            pair.key = key;
        }
        None => {}
    }
    pair
}

enum Chosen {
    /// A field that is the rowid on both sides.
    Column(usize),
    /// The rowid, which no column shows.
    Rowid(&'static str),
    Key(Vec<KeyPart>),
}

fn fields(old: Option<&Table>, new: Option<&Table>) -> Vec<Field> {
    let has = |table: Option<&Table>, name: &str| {
        let column = table.and_then(|table| Some(&table.columns[table.column(name)?]));
        column.is_some_and(|column| column.kind == ColumnKind::Stored)
    };
    let mut fields = Vec::new();
    for (_, column) in new.into_iter().flat_map(Table::stored_columns) {
        let on = if old.is_none() || has(old, &column.name) { On::Both } else { On::New };
        let default = if on == On::New { defaults::value(column) } else { Value::Null };
        fields.push(Field { name: column.name.clone(), on, default });
    }
    for (_, column) in old.into_iter().flat_map(Table::stored_columns) {
        if new.is_none() || !has(new, &column.name) {
            let on = if new.is_none() { On::Both } else { On::Old };
            fields.push(Field { name: column.name.clone(), on, default: Value::Null });
        }
    }
    fields
}

fn field_of(pair: &TablePair<'_>, name: &str) -> Option<usize> {
    let is_it = |field: &Field| field.on == On::Both && field.name.eq_ignore_ascii_case(name);
    pair.fields.iter().position(is_it)
}

/// The rowid of both sides, if both have one and mean the same by it.
fn rowid(pair: &TablePair<'_>, old: &Table, new: &Table) -> Option<Chosen> {
    let alias = |table: &Table| {
        table.integer_primary_key.map(|column| table.columns[column].name.to_ascii_lowercase())
    };
    match (alias(old), alias(new)) {
        (Some(old), Some(new)) if old == new => field_of(pair, &new).map(Chosen::Column),
        (None, None) => {
            let both = old.rowid_name().zip(new.rowid_name());
            both.map(|(_, name)| Chosen::Rowid(name))
        }
        _ => None,
    }
}

/// The key of WITHOUT ROWID, or another primary key, if both sides have it over the same columns.
fn declared(pair: &TablePair<'_>, old: &Table, new: &Table) -> Option<Chosen> {
    if matches!(new.kind, TableKind::Virtual { .. }) || new.primary_key.is_empty() {
        return None;
    }
    let name = |table: &Table, part: &IndexColumn| {
        Some(table.columns.get(part.column?)?.name.to_ascii_lowercase())
    };
    let names = |table: &Table| -> Option<Vec<String>> {
        table.primary_key.iter().map(|part| name(table, part)).collect()
    };
    let (before, after) = (names(old)?, names(new)?);
    let mut sorted = (before.clone(), after.clone());
    sorted.0.sort();
    sorted.1.sort();
    if sorted.0 != sorted.1 {
        return None;
    }
    let is_same = before == after
        && old.primary_key.iter().zip(&new.primary_key).all(|(old, new)| {
            (&old.collation, old.is_descending) == (&new.collation, new.is_descending)
        });
    let key = new.primary_key.iter().zip(&after).map(|(part, name)| {
        // What is unique by another order is unique by bytes, too.
        let is_ours = is_same && !matches!(part.collation, Collation::Other(_));
        let collation = if is_ours { part.collation.clone() } else { Collation::Binary };
        let is_descending = is_ours && part.is_descending;
        Some(KeyPart { field: field_of(pair, name)?, collation, is_descending })
    });
    key.collect::<Option<Vec<_>>>().map(Chosen::Key)
}
