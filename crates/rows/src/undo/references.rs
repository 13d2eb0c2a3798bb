//! The references between tables that can be checked, and the statements that do.

use super::super::foreign_key::ForeignKey;
use super::super::index::{Index, IndexColumn};
use super::super::literal::Literal;
use super::super::schema::Schema;
use super::super::table::Table;
use super::super::value::ValueRef;
use super::check::CONFLICTS;

/// What keeps references before the changes, to see which are new.
const VIOLATIONS: &str = "temp.ebbtide_violation";

/// The tables whose references SQLite can follow. It refuses to check one that has a mistake in any of its foreign keys,
/// which nobody notices as long as they are not enforced.
pub(super) fn checkable(schema: &Schema) -> Vec<String> {
    let has_sound_keys = |table: &&Table| {
        let keys = &table.foreign_keys;
        !keys.is_empty() && keys.iter().all(|key| is_sound(key, schema))
    };
    schema.tables.iter().filter(has_sound_keys).map(|table| table.name.clone()).collect()
}

/// Whether the columns that a key refers to are the primary key, or have an index that says by their own collations that
/// they are unique (SQLite, *Foreign Key Support*, 3). A table that is not there is no mistake.
fn is_sound(key: &ForeignKey, schema: &Schema) -> bool {
    let Some(parent) = schema.table(&key.table) else { return true };
    if key.to.is_empty() {
        return parent.primary_key.len() == key.from.len();
    }
    let to: Option<Vec<usize>> = key.to.iter().map(|name| parent.column(name)).collect();
    let Some(mut to) = to.filter(|to| to.len() == key.from.len()) else { return false };
    to.sort_unstable();
    matches!(to[..], [column] if parent.integer_primary_key == Some(column))
        || parent.indexes.iter().any(|index| is_unique_over(index, parent, &to))
}

fn is_unique_over(index: &Index, parent: &Table, to: &[usize]) -> bool {
    let own = |part: &IndexColumn| {
        let column = part.column?;
        (part.collation == parent.columns[column].collation).then_some(column)
    };
    let columns: Option<Vec<usize>> = index.columns.iter().map(own).collect();
    let Some(mut columns) = columns else { return false };
    columns.sort_unstable();
    index.is_unique && !index.is_partial && columns == to
}

fn check(table: &str) -> String {
    let table = Literal::new(ValueRef::Text(table.as_bytes()));
    format!("SELECT * FROM pragma_foreign_key_check({table}, 'main')")
}

/// Notes the references to rows that are not there, of tables that are looked at before and after.
pub(super) fn note_violations([tables, after]: &[Vec<String>; 2]) -> Vec<String> {
    if tables.is_empty() && after.is_empty() {
        return Vec::new();
    }
    let columns = "\"table\", \"rowid\", parent, fkid";
    let begin = [
        format!("DROP TABLE IF EXISTS {VIOLATIONS}"),
        format!("CREATE TEMP TABLE ebbtide_violation ({columns})"),
    ];
    let each = tables.iter().map(|table| format!("INSERT INTO {VIOLATIONS} {}", check(table)));
    begin.into_iter().chain(each).collect()
}

/// Notes as conflicts the references of these tables to rows that are not there, and were before.
pub(super) fn new_violations(tables: &[String]) -> Vec<String> {
    let each = tables.iter().map(|table| {
        format!(
            "INSERT INTO {CONFLICTS} SELECT \"table\", 'rowid = ' || rowid, 'would refer to no row of ' || parent, NULL, NULL, 1, NULL \
             FROM ({} EXCEPT SELECT * FROM {VIOLATIONS})",
            check(table)
        )
    });
    each.collect()
}
