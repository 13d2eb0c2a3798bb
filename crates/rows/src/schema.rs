//! The schema of a database: its tables and what belongs to them.

use rusqlite::{Connection, Row};

use super::encoding::Encoding;
use super::error::RowsError;
use super::ident::Ident;
use super::object::{Object, ObjectKind};
use super::table::{self, Listed, Table};

/// The schema of one database of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schema {
    /// The name that the connection has for the database.
    pub name: String,
    /// The encoding of its texts.
    pub encoding: Encoding,
    /// The number that each change of the schema raises, and VACUUM, too.
    pub cookie: i64,
    /// The number that the application gives its schema…
    pub user_version: i64,
    /// …and its files.
    pub application_id: i64,
    /// Its tables, in the order in which they were created. The schema's own table is not among them.
    pub tables: Vec<Table>,
    /// Its indexes, triggers and views, in the order in which they were created.
    pub objects: Vec<Object>,
}

impl Schema {
    /// Reads the schema of the database that `connection` calls `name`.
    ///
    /// # Errors
    /// When SQLite cannot read it. A table that alone is not readable says so itself.
    pub fn read(connection: &Connection, name: &str) -> Result<Schema, RowsError> {
        let doing = || RowsError::doing(format!("read the schema of {name}"));
        let pragma = |pragma: &str| format!("PRAGMA {}.{pragma}", Ident(name));
        // The encoding is that of all databases of a connection.
        let encoding = connection
            .query_row("PRAGMA encoding", [], |row| row.get::<_, String>(0))
            .map_err(doing())?;
        let number = |name: &str| {
            let number = connection.query_row(&pragma(name), [], |row| row.get::<_, i64>(0));
            number.map_err(doing())
        };
        let mut listed = list(connection, name).map_err(doing())?;
        let mut tables = Vec::new();
        let mut objects = Vec::new();
        for entry in entries(connection, name).map_err(doing())? {
            if entry.kind != ObjectKind::Table {
                objects.push(entry);
                continue;
            }
            let of = listed.iter().position(|listed| listed.name == entry.name);
            if let Some(at) = of {
                let listed = listed.swap_remove(at);
                tables.push(table::read(connection, name, listed, entry.sql)?);
            }
        }
        Ok(Schema {
            name: name.to_owned(),
            encoding: Encoding::named(&encoding).unwrap_or(Encoding::Utf8),
            cookie: number("schema_version")?,
            user_version: number("user_version")?,
            application_id: number("application_id")?,
            tables,
            objects,
        })
    }

    /// The table of this name.
    #[must_use]
    pub fn table(&self, name: &str) -> Option<&Table> {
        self.tables.iter().find(|table| table.name.eq_ignore_ascii_case(name))
    }

    /// The indexes and triggers of a table, in the order in which they were created.
    pub fn objects_of(&self, table: &str) -> impl Iterator<Item = &Object> {
        let is_of = move |object: &&Object| {
            object.kind != ObjectKind::View && object.table.eq_ignore_ascii_case(table)
        };
        self.objects.iter().filter(is_of)
    }
}

fn list(connection: &Connection, schema: &str) -> rusqlite::Result<Vec<Listed>> {
    let sql = format!("PRAGMA {}.table_list", Ident(schema));
    let mut statement = connection.prepare(&sql)?;
    let listed = |row: &Row<'_>| {
        Ok(Listed {
            name: row.get(1)?,
            kind: row.get(2)?,
            is_without_rowid: row.get(4)?,
            is_strict: row.get(5)?,
        })
    };
    statement.query_map([], listed)?.collect()
}

/// All that was created by a statement. Indexes of constraints have none.
fn entries(connection: &Connection, schema: &str) -> rusqlite::Result<Vec<Object>> {
    let sql = format!(
        "SELECT type, name, tbl_name, sql FROM {}.sqlite_schema WHERE sql IS NOT NULL ORDER BY rowid",
        Ident(schema)
    );
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query([])?;
    let mut entries = Vec::new();
    while let Some(row) = rows.next()? {
        let Some(kind) = ObjectKind::named(row.get_ref(0)?.as_str()?) else { continue };
        entries.push(Object { kind, name: row.get(1)?, table: row.get(2)?, sql: row.get(3)? });
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::super::affinity::Affinity;
    use super::super::collation::Collation;
    use super::super::column::ColumnKind;
    use super::super::table::TableKind;
    use super::super::virtual_table::Content;
    use super::*;

    /// As Anki's collections are to whoever is not Anki.
    #[test]
    fn orders_that_only_an_application_knows_are_named() {
        let connection = Connection::open_in_memory().unwrap();
        connection
            .execute_batch(
                "CREATE TABLE tags (tag TEXT PRIMARY KEY COLLATE NOCASE, n) WITHOUT ROWID;
                 CREATE TABLE decks (id INTEGER PRIMARY KEY, name TEXT COLLATE NOCASE);
                 PRAGMA writable_schema = 1; UPDATE sqlite_schema SET sql = replace(sql, 'NOCASE', 'unicase');
                 PRAGMA writable_schema = RESET;",
            )
            .unwrap();
        let schema = Schema::read(&connection, "main").unwrap();
        let [tags, decks] = ["tags", "decks"].map(|name| schema.table(name).unwrap());
        assert_eq!((tags.unknown_order(), decks.unknown_order()), (Some("unicase"), None));
        assert_eq!([tags, decks].map(|table| table.unknown_orders().len()), [1, 1]);
    }

    fn schema(sql: &str) -> Schema {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(sql).unwrap();
        Schema::read(&connection, "main").unwrap()
    }

    #[test]
    fn keys_are_what_sqlite_finds_rows_by() {
        let schema = schema(
            "CREATE TABLE a (id INTEGER PRIMARY KEY, b TEXT);
             CREATE TABLE b (id INT PRIMARY KEY, b);
             CREATE TABLE c (id INTEGER PRIMARY KEY DESC);
             CREATE TABLE d (x TEXT COLLATE NOCASE, y INT, PRIMARY KEY (y DESC, x)) WITHOUT ROWID, STRICT;
             CREATE TABLE e (rowid, oid, _rowid_);
             CREATE TABLE f (rowid TEXT, n INTEGER PRIMARY KEY);",
        );
        let of = |name: &str| {
            let table = schema.table(name).unwrap();
            (table.integer_primary_key, table.rowid_name(), table.primary_key.len())
        };
        assert_eq!(of("a"), (Some(0), Some("rowid"), 1));
        assert_eq!(of("b"), (None, Some("rowid"), 1));
        assert_eq!(of("c"), (None, Some("rowid"), 1), "a quirk that SQLite keeps");
        assert_eq!(of("d"), (None, None, 2));
        assert_eq!(of("e"), (None, None, 0));
        assert_eq!(of("f"), (Some(1), Some("_rowid_"), 1));
        let d = schema.table("D").unwrap();
        assert!(d.is_strict && d.is_without_rowid);
        assert!(d.primary_key[0].is_descending && d.primary_key[0].column == Some(1));
        assert_eq!(d.primary_key[1].collation, Collation::NoCase);
        assert_eq!(d.columns[0].collation, Collation::NoCase);
    }

    #[test]
    fn columns_say_where_their_values_come_from() {
        let schema = schema(
            "CREATE TABLE p (id INTEGER PRIMARY KEY);
             CREATE TABLE t (a DECIMAL(10,2) NOT NULL DEFAULT 5, b AS (a + 1), c AS (a) STORED,
                             p REFERENCES p ON DELETE CASCADE, any ANY);
             CREATE UNIQUE INDEX i ON t (a, abs(p)) WHERE a > 0;
             CREATE TRIGGER g AFTER INSERT ON t BEGIN SELECT 1; END;
             CREATE VIEW v AS SELECT * FROM t;",
        );
        let t = schema.table("t").unwrap();
        let kinds: Vec<ColumnKind> = t.columns.iter().map(|column| column.kind).collect();
        let (stored, generated) = (ColumnKind::Stored, ColumnKind::Generated);
        assert_eq!(kinds, [stored, generated, generated, stored, stored]);
        assert_eq!(t.stored_columns().count(), 3);
        let a = &t.columns[0];
        assert!(a.not_null && a.default.as_deref() == Some("5"));
        assert_eq!(a.affinity, Affinity::Numeric);
        assert_eq!((t.foreign_keys[0].table.as_str(), t.foreign_keys[0].to.len()), ("p", 0));
        assert_eq!(t.foreign_keys[0].on_delete, "CASCADE");
        let index = &t.indexes[0];
        assert!(index.is_unique && index.is_partial && index.columns[1].column.is_none());
        let names: Vec<&str> = schema.objects_of("t").map(|object| object.name.as_str()).collect();
        assert_eq!(names, ["i", "g"]);
        assert_eq!(schema.objects.len(), 3);
    }

    /// The shadow tables of a virtual table are known by it, and one that cannot be read does not stop the others.
    #[test]
    fn t18_virtual_tables_and_their_shadows_are_told_apart() {
        let connection = Connection::open_in_memory().unwrap();
        connection
            .execute_batch(
                "CREATE TABLE docs (id INTEGER PRIMARY KEY, body);
                 CREATE VIRTUAL TABLE own USING fts5 (body);
                 CREATE VIRTUAL TABLE of USING fts5 (body, content = 'docs');
                 CREATE VIRTUAL TABLE box USING rtree (id, x0, x1);
                 CREATE VIRTUAL TABLE odd USING fts5 (body);
                 PRAGMA writable_schema = 1;
                 UPDATE sqlite_schema SET sql = replace(sql, 'fts5', 'vec0') WHERE name = 'odd';
                 PRAGMA writable_schema = RESET;",
            )
            .unwrap();
        let schema = Schema::read(&connection, "main").unwrap();
        let kind = |name: &str| schema.table(name).unwrap().kind.clone();
        assert_eq!(kind("docs"), TableKind::Ordinary);
        let full_text = |content| TableKind::Virtual { module: "fts5".to_owned(), content };
        assert_eq!(kind("own"), full_text(Content::Own));
        assert_eq!(kind("of"), full_text(Content::Of("docs".to_owned())));
        assert_eq!(kind("own_data"), TableKind::Shadow);
        assert_eq!(schema.table("box").unwrap().integer_primary_key, Some(0));
        let hidden = schema.table("own").unwrap();
        assert_eq!(hidden.stored_columns().count(), 1);
        let odd = schema.table("odd").unwrap();
        assert_eq!(odd.unreadable.as_deref(), Some("no such module: vec0"));
        assert_eq!(odd.rowid_name(), None);
    }
}
