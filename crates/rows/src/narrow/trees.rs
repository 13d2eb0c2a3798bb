//! The trees of one side: what has which root.

use super::super::error::RowsError;
use super::super::ident::Ident;
use super::paged::Paged;

/// The tree of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tree {
    /// The table; nothing for the schema's own.
    pub(super) table: Option<String>,
    pub(super) root: u32,
}

/// The trees of all tables that are not virtual, the schema's own last.
pub(super) fn trees(side: &Paged<'_>) -> Result<Vec<Tree>, RowsError> {
    let doing = || RowsError::doing("look up the roots of the tables");
    let sql = format!(
        "SELECT name, rootpage FROM {}.sqlite_schema WHERE type = 'table' AND rootpage > 0",
        Ident(side.side.schema)
    );
    let mut statement = side.side.connection.prepare(&sql).map_err(doing())?;
    let tree = |row: &rusqlite::Row<'_>| Ok(Tree { table: Some(row.get(0)?), root: row.get(1)? });
    let trees = statement.query_map([], tree).map_err(doing())?;
    let mut trees = trees.collect::<rusqlite::Result<Vec<Tree>>>().map_err(doing())?;
    trees.push(Tree { table: None, root: 1 });
    Ok(trees)
}
