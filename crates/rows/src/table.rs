//! The shape of a table.

use std::collections::BTreeSet;

use rusqlite::{Connection, Row};

use super::affinity::Affinity;
use super::collation::Collation;
use super::column::{Column, ColumnKind};
use super::error::RowsError;
use super::foreign_key::ForeignKey;
use super::ident::{Ident, Qualified};
use super::index::{Index, IndexColumn, IndexOrigin};
use super::virtual_table::{self, Content};

/// The names by which a rowid can be named, unless a column has them.
const ROWID_NAMES: [&str; 3] = ["rowid", "_rowid_", "oid"];

/// What kind of table it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TableKind {
    /// One with rows of its own.
    Ordinary,
    /// A virtual table.
    Virtual {
        /// Its module.
        module: String,
        /// Where its rows are.
        content: Content,
    },
    /// A table in which a virtual table keeps what it needs.
    Shadow,
}

/// A table, and all that SQLite tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// The statement that makes it, without a schema's name.
    pub sql: String,
    /// What kind of table it is.
    pub kind: TableKind,
    /// Whether it was declared WITHOUT ROWID.
    pub is_without_rowid: bool,
    /// Whether it was declared STRICT.
    pub is_strict: bool,
    /// Its columns in order, those included that are generated or hidden. None if it is not readable.
    pub columns: Vec<Column>,
    /// The column that is another name of the rowid.
    pub integer_primary_key: Option<usize>,
    /// The declared primary key, in its order; one part for an INTEGER PRIMARY KEY.
    pub primary_key: Vec<IndexColumn>,
    /// Its indexes, those of constraints included.
    pub indexes: Vec<Index>,
    /// Its foreign keys.
    pub foreign_keys: Vec<ForeignKey>,
    /// Why this SQLite cannot read it: a module or a collation that it does not have.
    pub unreadable: Option<String>,
}

impl Table {
    /// Whether it is the one in which SQLite keeps the greatest rowid of each table with `AUTOINCREMENT`.
    #[must_use]
    pub fn is_sequence(&self) -> bool {
        self.name.eq_ignore_ascii_case("sqlite_sequence")
    }

    /// Whether its rowids may be given out once only. A word of its statement says so, and may stand in a comment.
    #[must_use]
    pub fn may_autoincrement(&self) -> bool {
        self.sql.to_ascii_uppercase().contains("AUTOINCREMENT")
    }

    /// The order that its rows are in, if only an application knows it.
    #[must_use]
    pub fn unknown_order(&self) -> Option<&str> {
        let orders = self.primary_key.iter().map(|part| &part.collation);
        orders.filter(|_| self.is_without_rowid).find_map(Collation::unknown)
    }

    /// All orders of its columns, keys and indexes that only an application knows.
    #[must_use]
    pub fn unknown_orders(&self) -> BTreeSet<&str> {
        let of_columns = self.columns.iter().map(|column| &column.collation);
        let of_indexes = self.indexes.iter().flat_map(|index| &index.columns);
        let of_keys = self.primary_key.iter().chain(of_indexes).map(|part| &part.collation);
        of_columns.chain(of_keys).filter_map(Collation::unknown).collect()
    }

    /// The name by which the rowid can be read and written; `None` where there is no rowid, or all names are columns'.
    #[must_use]
    pub fn rowid_name(&self) -> Option<&'static str> {
        if self.is_without_rowid || self.unreadable.is_some() {
            return None;
        }
        ROWID_NAMES.into_iter().find(|name| self.column(name).is_none())
    }

    /// The place of the column of this name.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name.eq_ignore_ascii_case(name))
    }

    /// The columns whose values are stored, with their places.
    pub fn stored_columns(&self) -> impl Iterator<Item = (usize, &Column)> {
        self.columns.iter().enumerate().filter(|(_, column)| column.kind == ColumnKind::Stored)
    }

    /// The table in a schema of a connection, as SQL.
    #[must_use]
    pub fn qualified<'a>(&'a self, schema: &'a str) -> Qualified<'a> {
        Qualified(schema, &self.name)
    }

    /// Whether SQLite makes it by itself, and a script cannot.
    #[must_use]
    pub fn is_internal(&self) -> bool {
        self.name.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("sqlite_"))
    }
}

/// A row of `PRAGMA table_list`.
pub(crate) struct Listed {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) is_without_rowid: bool,
    pub(crate) is_strict: bool,
}

/// Asks for everything that is known of a table.
pub(crate) fn read(
    connection: &Connection,
    schema: &str,
    listed: Listed,
    sql: String,
) -> Result<Table, RowsError> {
    let kind = match listed.kind.as_str() {
        "virtual" => {
            let module = virtual_table::module(&sql).unwrap_or_default();
            let content = Content::of(&module, &sql);
            TableKind::Virtual { module, content }
        }
        "shadow" => TableKind::Shadow,
        _ => TableKind::Ordinary,
    };
    let mut table = Table {
        name: listed.name,
        sql,
        kind,
        is_without_rowid: listed.is_without_rowid,
        is_strict: listed.is_strict,
        columns: Vec::new(),
        integer_primary_key: None,
        primary_key: Vec::new(),
        indexes: Vec::new(),
        foreign_keys: Vec::new(),
        unreadable: None,
    };
    match columns(connection, schema, &table) {
        Ok(columns) => table.columns = columns,
        Err(error) => match RowsError::lack(&error) {
            Some(why) => {
                table.unreadable = Some(why);
                return Ok(table);
            }
            None => {
                return Err(RowsError::doing(format!("read the columns of {}", table.name))(error));
            }
        },
    }
    let doing = format!("read the keys of {}", table.name);
    let wrap = RowsError::doing(doing.clone());
    table.indexes = indexes(connection, schema, &table.name).map_err(wrap)?;
    let wrap = RowsError::doing(doing);
    table.foreign_keys = foreign_keys(connection, schema, &table.name).map_err(wrap)?;
    name_keys(&mut table);
    Ok(table)
}

fn columns(connection: &Connection, schema: &str, table: &Table) -> rusqlite::Result<Vec<Column>> {
    let sql = format!("PRAGMA {}.table_xinfo({})", Ident(schema), Ident(&table.name));
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query([])?;
    let mut columns = Vec::new();
    while let Some(row) = rows.next()? {
        let (name, declared): (String, String) = (row.get(1)?, row.get(2)?);
        let place: u32 = row.get(5)?;
        let kind = match row.get::<_, i64>(6)? {
            0 => ColumnKind::Stored,
            1 => ColumnKind::Hidden,
            _ => ColumnKind::Generated,
        };
        columns.push(Column {
            affinity: affinity(&declared, table.is_strict),
            collation: collation(connection, schema, &table.name, &name)?,
            name,
            declared,
            kind,
            not_null: row.get(3)?,
            default: row.get(4)?,
            primary_key: (place > 0).then_some(place),
        });
    }
    Ok(columns)
}

/// ANY is NUMERIC by its name, and nothing is converted in a STRICT table's column of that type.
fn affinity(declared: &str, is_strict: bool) -> Affinity {
    match is_strict && declared.eq_ignore_ascii_case("ANY") {
        true => Affinity::Blob,
        false => Affinity::of(declared),
    }
}

fn collation(
    connection: &Connection,
    schema: &str,
    table: &str,
    column: &str,
) -> rusqlite::Result<Collation> {
    let (_, name, ..) = connection.column_metadata(Some(schema), table, column)?;
    let name = name.map(|name| name.to_string_lossy());
    Ok(Collation::named(name.as_deref().unwrap_or("BINARY")))
}

fn indexes(connection: &Connection, schema: &str, table: &str) -> rusqlite::Result<Vec<Index>> {
    let sql = format!("PRAGMA {}.index_list({})", Ident(schema), Ident(table));
    let mut statement = connection.prepare(&sql)?;
    let index = |row: &Row<'_>| {
        let origin = match row.get_ref(3)?.as_str()? {
            "pk" => IndexOrigin::PrimaryKey,
            "u" => IndexOrigin::Unique,
            _ => IndexOrigin::Created,
        };
        let name: String = row.get(1)?;
        let columns = index_columns(connection, schema, &name)?;
        Ok(Index { name, origin, is_unique: row.get(2)?, is_partial: row.get(4)?, columns })
    };
    let mut indexes: Vec<Index> = statement.query_map([], index)?.collect::<Result<_, _>>()?;
    // SQLite has the newest first.
    indexes.reverse();
    Ok(indexes)
}

fn index_columns(
    connection: &Connection,
    schema: &str,
    index: &str,
) -> rusqlite::Result<Vec<IndexColumn>> {
    let sql = format!("PRAGMA {}.index_xinfo({})", Ident(schema), Ident(index));
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query([])?;
    let mut columns = Vec::new();
    while let Some(row) = rows.next()? {
        // The rest is there to find the row.
        if !row.get::<_, bool>(5)? {
            continue;
        }
        let collation: Option<String> = row.get(4)?;
        columns.push(IndexColumn {
            column: usize::try_from(row.get::<_, i64>(1)?).ok(),
            collation: Collation::named(collation.as_deref().unwrap_or("BINARY")),
            is_descending: row.get(3)?,
        });
    }
    Ok(columns)
}

fn foreign_keys(
    connection: &Connection,
    schema: &str,
    table: &str,
) -> rusqlite::Result<Vec<ForeignKey>> {
    let sql = format!("PRAGMA {}.foreign_key_list({})", Ident(schema), Ident(table));
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query([])?;
    let mut keys: Vec<(i64, ForeignKey)> = Vec::new();
    while let Some(row) = rows.next()? {
        let id: i64 = row.get(0)?;
        if keys.last().is_none_or(|(last, _)| *last != id) {
            keys.push((
                id,
                ForeignKey {
                    table: row.get(2)?,
                    from: Vec::new(),
                    to: Vec::new(),
                    on_update: row.get(5)?,
                    on_delete: row.get(6)?,
                },
            ));
        }
        let Some((_, key)) = keys.last_mut() else { continue };
        key.from.push(row.get(3)?);
        key.to.extend(row.get::<_, Option<String>>(4)?);
    }
    // SQLite has the last one first.
    keys.sort_by_key(|(id, _)| std::cmp::Reverse(*id));
    Ok(keys.into_iter().map(|(_, key)| key).collect())
}

/// Which columns are the key, and whether that is the rowid.
fn name_keys(table: &mut Table) {
    let of_constraint = table.indexes.iter().find(|index| index.origin == IndexOrigin::PrimaryKey);
    if let TableKind::Virtual { module, .. } = &table.kind {
        // The first column of an R-Tree is its rowid.
        if module.to_ascii_lowercase().starts_with("rtree") {
            table.integer_primary_key = Some(0);
        }
        return;
    }
    if let Some(index) = of_constraint {
        table.primary_key = index.columns.clone();
        return;
    }
    // A key without an index is the rowid: INTEGER PRIMARY KEY, and not its DESC, which is another column.
    let declared = table.columns.iter().position(|column| column.primary_key.is_some());
    table.integer_primary_key = declared.filter(|_| !table.is_without_rowid);
    table.primary_key = declared
        .map(|column| IndexColumn {
            column: Some(column),
            collation: Collation::Binary,
            is_descending: false,
        })
        .into_iter()
        .collect();
}
