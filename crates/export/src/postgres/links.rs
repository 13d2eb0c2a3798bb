//! What foreign keys connect, and which columns must keep values apart.

use std::collections::BTreeSet;

use ebbtide_rows::{ForeignKey, Table};

/// A foreign key of a table, with the columns at both ends by their places.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    /// The place of the table that has it, among those that are exported.
    pub(crate) child: usize,
    /// Its place among the foreign keys of that table.
    pub(crate) key: usize,
    pub(crate) parent: usize,
    pub(crate) from: Vec<usize>,
    pub(crate) to: Vec<usize>,
}

/// Why a foreign key connects nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unlinked {
    /// The table that it refers to is not there.
    NoTable,
    /// It is there, and is not exported.
    NotExported,
    /// It has no such columns.
    NoColumns,
}

/// The ends of a foreign key.
pub(crate) fn link(
    tables: &[&Table],
    child: usize,
    key: usize,
    is_there: impl Fn(&str) -> bool,
) -> Result<Link, Unlinked> {
    let table = tables[child];
    let foreign_key: &ForeignKey = &table.foreign_keys[key];
    let named = |table: &&Table| table.name.eq_ignore_ascii_case(&foreign_key.table);
    let Some(parent) = tables.iter().position(named) else {
        let why =
            if is_there(&foreign_key.table) { Unlinked::NotExported } else { Unlinked::NoTable };
        return Err(why);
    };
    let places = |table: &Table, names: &[String]| -> Option<Vec<usize>> {
        names.iter().map(|name| table.column(name)).collect()
    };
    let from = places(table, &foreign_key.from).ok_or(Unlinked::NoColumns)?;
    let to = match foreign_key.to.is_empty() {
        true => tables[parent].primary_key.iter().map(|part| part.column).collect(),
        false => places(tables[parent], &foreign_key.to),
    };
    let to = to.filter(|to: &Vec<usize>| to.len() == from.len()).ok_or(Unlinked::NoColumns)?;
    Ok(Link { child, key, parent, from, to })
}

/// All links of the tables.
pub(crate) fn links(tables: &[&Table]) -> Vec<Link> {
    let all = tables.iter().enumerate();
    let all =
        all.flat_map(|(child, table)| (0..table.foreign_keys.len()).map(move |key| (child, key)));
    all.filter_map(|(child, key)| link(tables, child, key, |_| true).ok()).collect()
}

/// For each table the columns whose values must stay different, or equal to those of other tables.
pub(crate) fn key_columns(tables: &[&Table], links: &[Link]) -> Vec<BTreeSet<usize>> {
    let of_table = |table: &&Table| {
        let unique = table.indexes.iter().filter(|index| index.is_unique && !index.is_partial);
        let parts = unique.flat_map(|index| &index.columns).chain(&table.primary_key);
        parts.filter_map(|part| part.column).collect::<BTreeSet<usize>>()
    };
    let mut columns: Vec<BTreeSet<usize>> = tables.iter().map(of_table).collect();
    for link in links {
        columns[link.child].extend(&link.from);
        columns[link.parent].extend(&link.to);
    }
    columns
}
