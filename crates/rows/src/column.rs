//! A column of a table.

use super::affinity::Affinity;
use super::collation::Collation;

/// Where the values of a column come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnKind {
    /// They are stored.
    Stored,
    /// They are computed from others, when they are read or when the row is written: `GENERATED ALWAYS AS`.
    Generated,
    /// A virtual table has it, and does not show it.
    Hidden,
}

/// A column, as `PRAGMA table_xinfo` has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type as it was declared; empty if none was.
    pub declared: String,
    /// What SQLite tries to store its values as.
    pub affinity: Affinity,
    /// Where its values come from.
    pub kind: ColumnKind,
    /// The order of its texts, unless something else is said.
    pub collation: Collation,
    /// Whether it was declared NOT NULL.
    pub not_null: bool,
    /// The expression of its default, as it was written.
    pub default: Option<String>,
    /// Its place in the primary key, from 1 on.
    pub primary_key: Option<u32>,
}
