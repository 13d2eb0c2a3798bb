//! An index of a table.

use super::collation::Collation;

/// What an index was made by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IndexOrigin {
    /// `CREATE INDEX`.
    Created,
    /// A UNIQUE constraint.
    Unique,
    /// A PRIMARY KEY constraint.
    PrimaryKey,
}

/// One part of the key of an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexColumn {
    /// Which of the table's columns it is; `None` for an expression or the rowid.
    pub column: Option<usize>,
    /// The order of its texts.
    pub collation: Collation,
    /// Whether the greatest comes first.
    pub is_descending: bool,
}

/// An index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    /// Its name.
    pub name: String,
    /// What it was made by.
    pub origin: IndexOrigin,
    /// Whether no two rows may have the same key.
    pub is_unique: bool,
    /// Whether it has only the rows for which a condition holds.
    pub is_partial: bool,
    /// Its key.
    pub columns: Vec<IndexColumn>,
}
