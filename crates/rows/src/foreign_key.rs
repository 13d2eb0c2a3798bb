//! A foreign key of a table.

/// A foreign key, as `PRAGMA foreign_key_list` has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignKey {
    /// The table that it refers to, which need not exist.
    pub table: String,
    /// The columns of this table.
    pub from: Vec<String>,
    /// The columns there; empty where they are its primary key.
    pub to: Vec<String>,
    /// What an update there does here: `NO ACTION`, `CASCADE` and so on.
    pub on_update: String,
    /// What a deletion there does here.
    pub on_delete: String,
}
