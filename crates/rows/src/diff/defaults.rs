//! The value that rows have in a column which was added after them.

use rusqlite::{Connection, params};

use super::super::column::Column;
use super::super::ident::Ident;
use super::super::value::{Value, ValueRef};

/// The default of a column, with its affinity. SQLite itself is asked, with a table of its own: what it cannot evaluate to
/// one value for all rows (`CURRENT_TIMESTAMP`) cannot be the default of an added column either, and counts as NULL.
pub(super) fn value(column: &Column) -> Value {
    let Some(default) = &column.default else { return Value::Null };
    evaluated(&column.declared, default).unwrap_or(Value::Null)
}

fn evaluated(declared: &str, default: &str) -> rusqlite::Result<Value> {
    if default.to_ascii_uppercase().contains("CURRENT_") {
        return Ok(Value::Null);
    }
    let connection = Connection::open_in_memory()?;
    // A type may have more than one word, each of which may be quoted.
    let words: Vec<String> = declared.split_whitespace().map(as_type).collect();
    let (declared, drop) = (words.join(" "), "DROP TABLE IF EXISTS t");
    let make = |default: &str| {
        format!(
            "{drop}; CREATE TABLE t (a); ALTER TABLE t ADD COLUMN b {declared} DEFAULT {default}"
        )
    };
    // An expression is shown without the parentheses that it needs.
    connection
        .execute_batch(&make(default))
        .or_else(|_| connection.execute_batch(&make(&format!("({default})"))))?;
    connection.execute("INSERT INTO t (a) VALUES (?1)", params![1])?;
    connection.query_row(
        "SELECT b FROM t",
        [],
        |row| Ok(ValueRef::from(row.get_ref(0)?).to_owned()),
    )
}

fn as_type(word: &str) -> String {
    match word.contains(['(', ')', ',']) {
        true => word.to_owned(),
        false => Ident(word).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::schema::Schema;
    use super::*;

    /// What SQLite reads from rows that were there before the column.
    #[test]
    fn t13_an_added_column_has_the_default_that_sqlite_reads() {
        let connection = Connection::open_in_memory().unwrap();
        connection
            .execute_batch(
                "CREATE TABLE t (a); INSERT INTO t VALUES (1);
                 ALTER TABLE t ADD COLUMN b INTEGER DEFAULT '5';
                 ALTER TABLE t ADD COLUMN c TEXT DEFAULT 5;
                 ALTER TABLE t ADD COLUMN d REAL DEFAULT -5;
                 ALTER TABLE t ADD COLUMN e VARCHAR(10) DEFAULT word;
                 ALTER TABLE t ADD COLUMN f;
                 ALTER TABLE t ADD COLUMN h BLOB DEFAULT x'00ff';
                 ALTER TABLE t ADD COLUMN i \"odd type\" DEFAULT 'it''s';",
            )
            .unwrap();
        let schema = Schema::read(&connection, "main").unwrap();
        for column in &schema.table("t").unwrap().columns[1..] {
            let sql = format!("SELECT {} FROM t", Ident(&column.name));
            let there = connection
                .query_row(&sql, [], |row| Ok(ValueRef::from(row.get_ref(0)?).to_owned()));
            assert_eq!(value(column), there.unwrap(), "{}", column.name);
        }
    }
}
