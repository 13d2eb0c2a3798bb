//! Which rows of each table can differ.

use std::collections::BTreeMap;

/// Which rows of a table can differ.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Extent {
    /// None.
    Nothing,
    /// Those with these rowids, which mean the same on both sides; the ranges ascend and include both ends.
    Rowids(Vec<(i64, i64)>),
    /// Any.
    #[default]
    All,
}

/// Which rows of each table can differ, by the table's name: any of one that is not named.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Extents {
    tables: BTreeMap<String, Extent>,
}

impl Extents {
    /// Of this table's rows only these can differ.
    pub fn set(&mut self, table: &str, extent: Extent) {
        self.tables.insert(table.to_ascii_lowercase(), extent);
    }

    /// Which rows of this table can differ.
    #[must_use]
    pub fn of(&self, table: &str) -> &Extent {
        self.tables.get(&table.to_ascii_lowercase()).unwrap_or(&Extent::All)
    }
}
