//! How a table becomes another one: by adding and dropping columns, where that gives exactly the other statement.

use rusqlite::Connection;

use super::super::ident::Ident;

/// The statements that turn a table into another one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Alter {
    /// Definitions of columns, in order, each for `ALTER TABLE … ADD COLUMN`.
    pub(super) added: Vec<String>,
    /// Columns to be dropped, in order.
    pub(super) dropped: Vec<String>,
}

/// The way from one statement to the other, if there is one that SQLite takes and that leads to the very text; else the
/// table has to be made again.
pub(super) fn alter(
    table: &str,
    (old_sql, new_sql): (&str, &str),
    columns_added: &[String],
    columns_dropped: &[String],
) -> Option<Alter> {
    let scratch = Connection::open_in_memory().ok()?;
    scratch.execute_batch(old_sql).ok()?;
    for column in columns_dropped {
        let drop = format!("ALTER TABLE {} DROP COLUMN {}", Ident(table), Ident(column));
        scratch.execute_batch(&drop).ok()?;
    }
    let there = sql_of(&scratch, table)?;
    let added = match columns_added {
        [] => Vec::new(),
        _ => definitions(&there, new_sql, columns_added.len())?,
    };
    for definition in &added {
        scratch.execute_batch(&add(table, definition)).ok()?;
    }
    let is_it = sql_of(&scratch, table)? == new_sql;
    is_it.then(|| Alter { added, dropped: columns_dropped.to_vec() })
}

pub(super) fn add(table: &str, definition: &str) -> String {
    format!("ALTER TABLE {} ADD COLUMN {definition}", Ident(table))
}

fn sql_of(connection: &Connection, table: &str) -> Option<String> {
    let sql = "SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = ?1 COLLATE NOCASE";
    connection.query_row(sql, [table], |row| row.get(0)).ok()
}

/// What stands in the new statement and not in the old one, taken apart at the commas between definitions. SQLite adds a
/// column's definition behind a comma, after the last column.
fn definitions(old: &str, new: &str, count: usize) -> Option<Vec<String>> {
    let longer = new.len().checked_sub(old.len())?;
    let before = old.bytes().zip(new.bytes()).take_while(|(a, b)| a == b).count();
    // The same text may stand at several places; the one that begins with the comma is SQLite's.
    (0..=before).rev().find_map(|start| {
        let inserted = new.get(start..start + longer)?;
        let is_whole = new.get(start + longer..)? == old.get(start..)?;
        let inserted = inserted.strip_prefix(',').filter(|_| is_whole)?;
        let parts = apart(inserted);
        (parts.len() == count).then_some(parts)
    })
}

fn apart(text: &str) -> Vec<String> {
    let (mut depth, mut quote, mut start) = (0_u32, None, 0);
    let mut parts = Vec::new();
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(close), c) if c == close => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"' | '`') => quote = Some(c),
            (None, '[') => quote = Some(']'),
            (None, '(') => depth += 1,
            (None, ')') => depth = depth.saturating_sub(1),
            (None, ',') if depth == 0 => {
                parts.push(text[start..at].trim().to_owned());
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(text[start..].trim().to_owned());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way(old: &str, by: &str, added: &[&str], dropped: &[&str]) -> Option<Alter> {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(old).unwrap();
        connection.execute_batch(by).unwrap();
        let new = sql_of(&connection, "t").unwrap();
        let names =
            |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        alter("t", (old, &new), &names(added), &names(dropped))
    }

    #[test]
    fn t13_added_and_dropped_columns_are_found_in_the_text() {
        let plain = "CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT)";
        let by = "ALTER TABLE t ADD COLUMN c DECIMAL(10, 2) DEFAULT (1 + 2) CHECK (c <> ','); \
                  ALTER TABLE t ADD COLUMN \"d, e\" TEXT COLLATE NOCASE";
        let found = way(plain, by, &["c", "d, e"], &[]).unwrap();
        assert_eq!(found.added[0], "c DECIMAL(10, 2) DEFAULT (1 + 2) CHECK (c <> ',')");
        assert_eq!(found.added[1], "\"d, e\" TEXT COLLATE NOCASE");
        let found = way(plain, "ALTER TABLE t DROP COLUMN b", &[], &["b"]).unwrap();
        assert_eq!(found.dropped, ["b"]);
        let constrained = "CREATE TABLE t (a, b, UNIQUE (a, b)) ";
        let found = way(constrained, "ALTER TABLE t ADD COLUMN c", &["c"], &[]).unwrap();
        assert_eq!(found.added, ["c"]);
        // The rows have its values then, which differ from the default.
        let found = way(plain, "ALTER TABLE t RENAME COLUMN b TO c", &["c"], &["b"]).unwrap();
        assert_eq!(
            (&found.added[..], &found.dropped[..]),
            (&["c TEXT".to_owned()][..], &["b".to_owned()][..])
        );
        let again = "DROP TABLE t; CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT CHECK (b > ''))";
        assert_eq!(way(plain, again, &[], &[]), None);
    }
}
