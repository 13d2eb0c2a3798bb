//! SQL that makes the database again, as the `.dump` of SQLite's own shell writes it.
//!
//! Where `.dump` loses something, this does not: text with NUL or bad UTF-8, reals that SQLite's reader would miss by a
//! bit, the encoding, `user_version` and `application_id`. What is no row and no schema is left behind as there: page
//! size, auto-vacuum, journal mode, and rowids that no column names.

use std::borrow::Cow;
use std::io::Write;

use ebbtide_rows::{ColumnKind, Encoding, Ident, Literal, Schema, Table, TableKind, ValueRef};
use rusqlite::Connection;

use crate::buffer::{buffer, spill};
use crate::error::{ExportError, Result};
use crate::hex::push_hex;
use crate::report::Finding;
use crate::words;

/// What is wanted of a dump.
#[derive(Debug, Clone, Copy, Default)]
pub struct DumpOptions<'a> {
    /// The tables, with their indexes and triggers; all, and the views, if none is named.
    pub tables: &'a [String],
    /// Whether rowids that no column names are written, too.
    pub keeps_rowids: bool,
}

/// The first byte of SQL that shells read a line end of their own into.
const LINE_ENDS: [char; 2] = ['\n', '\r'];

/// Writes the script; what is to be said about it. Give a connection within a read transaction. Nothing that was written
/// is kept by whoever reads it if `before_end` fails.
///
/// # Errors
/// When the database cannot be read or the script cannot be written, or there is no table of a name.
pub fn dump(
    connection: &Connection,
    schema: &Schema,
    options: DumpOptions<'_>,
    before_end: &dyn Fn() -> Result<()>,
    out: &mut dyn Write,
) -> Result<Vec<Finding>> {
    let tables = chosen(schema, options.tables)?;
    let mut dump =
        Dump { connection, schema, options, out, writes_schema: false, findings: Vec::new() };
    dump.begin(&tables)?;
    for table in &tables {
        dump.table(table)?;
    }
    dump.objects(&tables)?;
    before_end()?;
    dump.end()?;
    Ok(dump.findings)
}

/// The tables in the order of `.dump`: as they were created, and sqlite_sequence last.
fn chosen<'a>(schema: &'a Schema, names: &[String]) -> Result<Vec<&'a Table>> {
    for name in names {
        if schema.table(name).is_none() {
            return Err(ExportError::Usage(format!("there is no table {name}")));
        }
    }
    let is_chosen = |table: &&Table| {
        let is_named = |name: &String| {
            let belongs = || {
                let shadow = table
                    .name
                    .get(..name.len())
                    .is_some_and(|start| start.eq_ignore_ascii_case(name));
                shadow
                    && table.kind == TableKind::Shadow
                    && table.name[name.len()..].starts_with('_')
            };
            table.name.eq_ignore_ascii_case(name) || belongs()
        };
        names.is_empty() || names.iter().any(is_named)
    };
    let mut tables: Vec<&Table> = schema.tables.iter().filter(is_chosen).collect();
    tables.sort_by_key(|table| table.name == "sqlite_sequence");
    Ok(tables)
}

struct Dump<'a> {
    connection: &'a Connection,
    schema: &'a Schema,
    options: DumpOptions<'a>,
    out: &'a mut dyn Write,
    /// Whether `writable_schema` is on by now.
    writes_schema: bool,
    findings: Vec<Finding>,
}

impl Dump<'_> {
    fn begin(&mut self, tables: &[&Table]) -> Result<()> {
        let has_virtual =
            tables.iter().any(|table| matches!(table.kind, TableKind::Virtual { .. }));
        if has_virtual {
            // A comment of `.dump`'s own, since shells forbid what follows unless they are told.
            writeln!(
                self.out,
                "/* WARNING: Script requires that SQLITE_DBCONFIG_DEFENSIVE be disabled */"
            )?;
        }
        if self.schema.encoding != Encoding::Utf8 {
            writeln!(self.out, "PRAGMA encoding='{}';", self.schema.encoding.name())?;
        }
        writeln!(self.out, "PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;")?;
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        if self.writes_schema {
            writeln!(self.out, "PRAGMA writable_schema=OFF;")?;
        }
        for pragma in ["user_version", "application_id"] {
            let sql = format!("PRAGMA {}.{pragma}", Ident(&self.schema.name));
            let value = self.connection.query_row(&sql, [], |row| row.get::<_, i64>(0));
            let value = value.map_err(ExportError::doing(format!("read {pragma}")))?;
            if value != 0 && self.options.tables.is_empty() {
                writeln!(self.out, "PRAGMA {pragma}={value};")?;
            }
        }
        writeln!(self.out, "COMMIT;")?;
        Ok(())
    }

    fn table(&mut self, table: &Table) -> Result<()> {
        match table.name.to_ascii_lowercase().as_str() {
            "sqlite_sequence" if self.options.tables.is_empty() => {
                writeln!(self.out, "DELETE FROM sqlite_sequence;")?;
            }
            "sqlite_stat1" => writeln!(self.out, "ANALYZE sqlite_schema;")?,
            "sqlite_stat4" => {
                // Where SQLite has it, ANALYZE makes it, and elsewhere there is no such table.
                self.findings.push(Finding::left_out("sqlite_stat4, which ANALYZE makes again"));
                return Ok(());
            }
            name if name.starts_with("sqlite_") => return Ok(()),
            _ => {
                if let TableKind::Virtual { .. } = table.kind {
                    return self.virtual_table(table);
                }
                if let Some(why) = &table.unreadable {
                    let what = format!("table {} cannot be read: {why}", table.name);
                    self.findings.push(Finding::refused(what));
                    return Ok(());
                }
                writeln!(self.out, "{}", ended(&created(&table.sql)))?;
            }
        }
        self.rows(table)
    }

    /// Its shadow tables have its rows, so only the schema has to know it.
    fn virtual_table(&mut self, table: &Table) -> Result<()> {
        if !self.writes_schema {
            writeln!(self.out, "PRAGMA writable_schema=ON;")?;
            self.writes_schema = true;
        }
        let (name, sql) = (text(&table.name), text(&table.sql));
        writeln!(
            self.out,
            "INSERT INTO sqlite_schema(type,name,tbl_name,rootpage,sql)VALUES('table',{name},{name},0,{sql});"
        )?;
        Ok(())
    }

    fn rows(&mut self, table: &Table) -> Result<()> {
        let stored = table.columns.iter().filter(|column| column.kind == ColumnKind::Stored);
        let mut names: Vec<String> = stored.map(|column| Ident(&column.name).to_string()).collect();
        let into = match table.rowid_name() {
            Some(rowid) if self.options.keeps_rowids && table.integer_primary_key.is_none() => {
                names.insert(0, rowid.to_owned());
                format!("{}({})", word(&table.name), names.join(","))
            }
            _ => word(&table.name).into_owned(),
        };
        let sql = format!("SELECT {} FROM {}", names.join(","), table.qualified(&self.schema.name));
        let doing = || ExportError::doing(format!("read table {}", table.name));
        let mut statement = self.connection.prepare(&sql).map_err(doing())?;
        let mut rows = statement.query([]).map_err(doing())?;
        let mut buffer = buffer();
        while let Some(row) = rows.next().map_err(doing())? {
            write!(buffer, "INSERT INTO {into} VALUES(")?;
            for place in 0..names.len() {
                if place > 0 {
                    buffer.push(b',');
                }
                let value = ValueRef::from(row.get_ref(place).map_err(doing())?);
                literal(value, self.schema.encoding, &mut buffer)?;
            }
            buffer.extend_from_slice(b");\n");
            spill(&mut buffer, self.out)?;
        }
        self.out.write_all(&buffer)?;
        Ok(())
    }

    /// Indexes, views and triggers, as they were created.
    fn objects(&mut self, tables: &[&Table]) -> Result<()> {
        for object in &self.schema.objects {
            let is_of = |table: &&Table| table.name.eq_ignore_ascii_case(&object.table);
            if self.options.tables.is_empty() || tables.iter().any(is_of) {
                writeln!(self.out, "{}", ended(&object.sql))?;
            }
        }
        Ok(())
    }
}

/// The statement with its end, which a comment must not swallow.
fn ended(sql: &str) -> String {
    let after = words::tokens(sql).last().map_or(0, |last| last.at + last.text.len());
    let comment = &sql[after..];
    let is_open = comment.contains("/*") && !comment.contains("*/");
    let end = match () {
        () if is_open => "*/;",
        () if comment.contains("--") => "\n;",
        () => ";",
    };
    format!("{sql}{end}")
}

/// `.dump` makes tables with quoted names only if they are missing, because a virtual table may have made its shadows.
fn created(sql: &str) -> Cow<'_, str> {
    match sql.strip_prefix("CREATE TABLE ") {
        Some(rest) if rest.starts_with(['"', '\'']) => {
            Cow::Owned(format!("CREATE TABLE IF NOT EXISTS {rest}"))
        }
        _ => Cow::Borrowed(sql),
    }
}

/// A name as `.dump` writes it: in quotes if it needs them.
fn word(name: &str) -> Cow<'_, str> {
    let mut bytes = name.bytes();
    let is_plain = bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !is_keyword(name);
    if is_plain { Cow::Borrowed(name) } else { Cow::Owned(Ident(name).to_string()) }
}

/// Words that are not taken for names where a table is named.
fn is_keyword(name: &str) -> bool {
    const KEYWORDS: &str = " ADD ALL ALTER AND AS AUTOINCREMENT BETWEEN CASE CHECK COLLATE COMMIT CONSTRAINT CREATE DEFAULT \
        DEFERRABLE DELETE DISTINCT DROP ELSE ESCAPE EXISTS FOREIGN FROM GROUP HAVING IN INDEX INSERT INTO IS ISNULL JOIN \
        LIMIT NOT NOTNULL NULL ON OR ORDER PRIMARY REFERENCES RETURNING SELECT SET TABLE THEN TO TRANSACTION UNION UNIQUE \
        UPDATE USING VALUES WHEN WHERE ABORT ACTION AFTER ALWAYS ANALYZE ASC ATTACH BEFORE BEGIN BY CASCADE CAST COLUMN \
        CONFLICT CROSS CURRENT CURRENT_DATE CURRENT_TIME CURRENT_TIMESTAMP DATABASE DEFERRED DESC DETACH DO EACH END \
        EXCEPT EXCLUDE EXCLUSIVE EXPLAIN FAIL FILTER FIRST FOLLOWING FOR FULL GENERATED GLOB GROUPS IF IGNORE IMMEDIATE \
        INDEXED INITIALLY INNER INSTEAD INTERSECT KEY LAST LEFT LIKE MATCH MATERIALIZED NATURAL NO NOTHING NULLS OF \
        OFFSET OTHERS OUTER OVER PARTITION PLAN PRAGMA PRECEDING QUERY RAISE RANGE RECURSIVE REGEXP REINDEX RELEASE \
        RENAME REPLACE RESTRICT RIGHT ROLLBACK ROW ROWS SAVEPOINT TEMP TEMPORARY TIES TRIGGER UNBOUNDED VACUUM VIEW \
        VIRTUAL WINDOW WITH WITHOUT ";
    KEYWORDS.contains(&format!(" {} ", name.to_ascii_uppercase()))
}

fn text(text: &str) -> String {
    Literal::new(ValueRef::Text(text.as_bytes())).to_string()
}

/// A literal. Shells take the end of a line that is `\r\n` for `\n`, so neither stands in a string: as in `.dump`, they
/// are put in by SQLite.
fn literal(value: ValueRef<'_>, encoding: Encoding, out: &mut Vec<u8>) -> std::io::Result<()> {
    if let Some(text) = value.plain_text()
        && text.contains(LINE_ENDS)
    {
        let (newline, carriage) = (unused(text, 'n'), unused(text, 'r'));
        let mut expression = format!(
            "'{}'",
            text.replace('\'', "''").replace('\n', &newline).replace('\r', &carriage)
        );
        if text.contains('\n') {
            expression = format!("replace({expression},'{newline}',char(10))");
        }
        if text.contains('\r') {
            expression = format!("replace({expression},'{carriage}',char(13))");
        }
        return out.write_all(expression.as_bytes());
    }
    if let ValueRef::Blob(blob) = value {
        out.extend_from_slice(b"X'");
        push_hex(out, blob);
        out.push(b'\'');
        return Ok(());
    }
    write!(out, "{}", Literal::in_encoding(value, encoding))
}

/// What stands for a line end and does not stand in the text.
fn unused(text: &str, letter: char) -> String {
    let plain = format!("\\{letter}");
    if !text.contains(&plain) {
        return plain;
    }
    let mut number = 0_u32;
    loop {
        let marked = format!("(\\{letter}{number})");
        if !text.contains(&marked) {
            return marked;
        }
        number += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_ends_are_put_in_by_sqlite() {
        let written = |text: &str| {
            let mut out = Vec::new();
            literal(ValueRef::Text(text.as_bytes()), Encoding::Utf8, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(written("it's"), "'it''s'");
        assert_eq!(written("a\nb"), "replace('a\\nb','\\n',char(10))");
        assert_eq!(
            written("a\r\n'"),
            "replace(replace('a\\r\\n''','\\n',char(10)),'\\r',char(13))"
        );
        let connection = Connection::open_in_memory().unwrap();
        for text in ["\\n\n", "\\n\\r\r(\\n0)\n", "\n", "\r\n\r\n", "(\\n0)(\\n1)\\n\n"] {
            let back =
                connection.query_row(&format!("SELECT {}", written(text)), [], |row| row.get(0));
            assert_eq!(back, Ok(text.to_owned()));
        }
    }

    #[test]
    fn names_are_quoted_where_they_must_be() {
        assert_eq!(word("orders"), "orders");
        assert_eq!(word("order"), "\"order\"");
        assert_eq!(word("Order Details"), "\"Order Details\"");
        assert_eq!(word("1st"), "\"1st\"");
        assert_eq!(ended("CREATE VIEW v AS SELECT 1"), "CREATE VIEW v AS SELECT 1;");
        assert_eq!(
            ended("CREATE VIEW v AS SELECT '--' -- x"),
            "CREATE VIEW v AS SELECT '--' -- x\n;"
        );
        assert_eq!(ended("CREATE VIEW v AS SELECT '/*'"), "CREATE VIEW v AS SELECT '/*';");
        assert_eq!(ended("CREATE VIEW v AS SELECT 1 /* x"), "CREATE VIEW v AS SELECT 1 /* x*/;");
        assert_eq!(created("CREATE TABLE \"a\"(b)"), "CREATE TABLE IF NOT EXISTS \"a\"(b)");
    }
}
