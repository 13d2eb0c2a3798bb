//! Conditions on what is in the database by now, and the statements that note a conflict.

use super::super::balanced::balanced;
use super::super::collation::Collation;
use super::super::column::ColumnKind;
use super::super::diff::TablePair;
use super::super::ident::Ident;
use super::super::index::IndexColumn;
use super::super::literal::Literal;
use super::super::script::{exactly, literal, name};
use super::super::value::ValueRef;
use super::policy::Policy;

/// Where conflicts are noted: which table and row, what is the matter, how the row is now, how it was left, whether nothing
/// can be done at all, and the condition by which the row is found.
pub(super) const CONFLICTS: &str = "temp.ebbtide_conflict";

/// What each statement that changes something ends with.
pub(super) fn guard(policy: Policy) -> String {
    format!("NOT EXISTS (SELECT 1 FROM {CONFLICTS}{})", which(policy))
}

/// The conflicts that stop everything.
pub(super) fn which(policy: Policy) -> &'static str {
    match policy {
        Policy::Strict => "",
        Policy::Skip | Policy::Overwrite => " WHERE is_fatal",
    }
}

fn text(text: &str) -> String {
    Literal::new(ValueRef::Text(text.as_bytes())).to_string()
}

/// Notes that something about a table stands against everything, if `condition` holds.
pub(super) fn fatal(table: &str, what: &str, condition: &str) -> String {
    let (table, what) = (text(table), text(what));
    format!(
        "INSERT INTO {CONFLICTS} SELECT {table}, '', {what}, NULL, NULL, 1, NULL WHERE {condition}"
    )
}

/// Whether the schema has this statement.
pub(super) fn has_object(kind: &str, object: &str, sql: Option<&str>) -> String {
    let sql = sql.map(|sql| format!(" AND sql = {}", text(sql))).unwrap_or_default();
    format!(
        "EXISTS (SELECT 1 FROM main.sqlite_schema WHERE type = '{kind}' AND name = {} COLLATE NOCASE{sql})",
        text(object)
    )
}

/// A row as a conflict names it: `"id" = 42`.
fn row_name(pair: &TablePair<'_>, row: &[ValueRef<'_>]) -> String {
    let parts = pair.key.iter().map(|part| {
        format!("{} = {}", pair.fields[part.field].name, literal(pair, row[part.field]))
    });
    parts.collect::<Vec<_>>().join(", ")
}

/// The expression that shows some of a row's fields as they are.
fn now(pair: &TablePair<'_>, fields: &[usize], found: &str) -> String {
    let parts = fields.iter().map(|&field| {
        let label = text(&format!("{} = ", pair.fields[field].name));
        format!("{label} || quote({})", name(pair, field))
    });
    let parts = balanced(&parts.collect::<Vec<_>>(), " || ', ' || ");
    format!("(SELECT {parts} FROM main.{} WHERE {found})", Ident(pair.name))
}

fn left(pair: &TablePair<'_>, fields: &[usize], row: &[ValueRef<'_>]) -> String {
    let parts = fields
        .iter()
        .map(|&field| format!("{} = {}", pair.fields[field].name, literal(pair, row[field])));
    text(&parts.collect::<Vec<_>>().join(", "))
}

/// The condition that the row is there with these fields as they were left.
pub(super) fn is_as_left(
    pair: &TablePair<'_>,
    found: &str,
    fields: &[usize],
    row: &[ValueRef<'_>],
) -> String {
    let tests = fields.iter().map(|&field| exactly(pair, field, row[field]));
    let tests: Vec<String> = [found.to_owned()].into_iter().chain(tests).collect();
    balanced(&tests, " AND ")
}

/// Notes that a row is not as it was left.
pub(super) fn changed_since(
    pair: &TablePair<'_>,
    found: &str,
    fields: &[usize],
    row: &[ValueRef<'_>],
) -> String {
    let table = Ident(pair.name);
    let (name, row_name) = (text(pair.name), text(&row_name(pair, row)));
    let there = is_as_left(pair, found, fields, row);
    let (now, left) = (now(pair, fields, found), left(pair, fields, row));
    let condition = text(found);
    format!(
        "INSERT INTO {CONFLICTS} SELECT {name}, {row_name}, \
         CASE WHEN EXISTS (SELECT 1 FROM main.{table} WHERE {found}) THEN 'changed since' ELSE 'deleted since' END, \
         {now}, {left}, 0, {condition} WHERE NOT EXISTS (SELECT 1 FROM main.{table} WHERE {there})"
    )
}

/// Notes that there is a row again where one is to be given back.
pub(super) fn exists_again(pair: &TablePair<'_>, found: &str, row: &[ValueRef<'_>]) -> String {
    let table = Ident(pair.name);
    let fields: Vec<usize> = (0..pair.fields.len()).filter(|field| !pair.is_key(*field)).collect();
    let shown = if fields.is_empty() { (0..pair.fields.len()).collect() } else { fields };
    let (name, row_name) = (text(pair.name), text(&row_name(pair, row)));
    format!(
        "INSERT INTO {CONFLICTS} SELECT {name}, {row_name}, 'inserted since', {}, NULL, 0, {} \
         WHERE EXISTS (SELECT 1 FROM main.{table} WHERE {found})",
        now(pair, &shown, found),
        text(found)
    )
}

/// For each unique index whose columns say what is unique: a statement that notes that another row has the values. By
/// [`Policy::Overwrite`] that row goes; the one that is found by `found` is the very row.
pub(super) fn values_taken(
    pair: &TablePair<'_>,
    row: &[ValueRef<'_>],
    found: &str,
    policy: Policy,
) -> Vec<String> {
    let table = pair.table();
    let field_of = |column: usize| {
        let name = &table.columns[column].name;
        pair.fields.iter().position(|field| field.name.eq_ignore_ascii_case(name))
    };
    let mut checks = Vec::new();
    for index in table.indexes.iter().filter(|index| index.is_unique && !index.is_partial) {
        let fields: Option<Vec<(usize, &Collation)>> = index
            .columns
            .iter()
            .map(|part| Some((field_of(part.column?)?, &part.collation)))
            .collect();
        // The key itself has its own check, and NULL is unique as often as it is.
        let Some(fields) = fields.filter(|fields| {
            let is_key = fields.iter().all(|(field, _)| pair.is_key(*field));
            !is_key && fields.iter().all(|(field, _)| row[*field] != ValueRef::Null)
        }) else {
            continue;
        };
        let tests = fields.iter().map(|(field, collation)| {
            let (name, value) = (name(pair, *field), literal(pair, row[*field]));
            format!("{name} = {value} COLLATE {}", Ident(collation.name()))
        });
        let mut tests = tests.collect::<Vec<_>>().join(" AND ");
        let what = match policy {
            Policy::Strict | Policy::Skip => "its unique values were given to another row since",
            Policy::Overwrite => {
                tests += &format!(" AND NOT ({found})");
                "its unique values had been given to another row since, which is deleted"
            }
        };
        let shown: Vec<usize> = (0..pair.fields.len()).collect();
        let (name, row_name) = (text(pair.name), text(&row_name(pair, row)));
        checks.push(format!(
            "INSERT INTO {CONFLICTS} SELECT {name}, {row_name}, '{what}', {}, \
             NULL, 0, {} WHERE EXISTS (SELECT 1 FROM main.{} WHERE {tests})",
            now(pair, &shown, &format!("{tests} LIMIT 1")),
            text(&tests),
            Ident(pair.name)
        ));
    }
    checks
}

/// Whether a unique index of the table may be one of which only SQLite knows what is unique.
pub(super) fn hides_unique(pair: &TablePair<'_>) -> bool {
    let table = pair.table();
    let is_stored = |column: usize| table.columns[column].kind == ColumnKind::Stored;
    table.indexes.iter().any(|index| {
        let is_odd = |part: &IndexColumn| !part.column.is_some_and(is_stored);
        index.is_unique && (index.is_partial || index.columns.iter().any(is_odd))
    })
}

/// Notes that the statement before, which replaces nothing, changed nothing though the row that `is_free` tells of is not in
/// its way: another one is, which will be replaced.
pub(super) fn will_replace(pair: &TablePair<'_>, row: &[ValueRef<'_>], is_free: &str) -> String {
    let what = "another row had what is unique in it since, and is deleted";
    format!("{} AND {is_free}", unchanged(pair, row, what, Policy::Overwrite))
}

/// Notes that the statement before changed nothing though nothing that was noted stood against it: a constraint does.
pub(super) fn must_have_changed(
    pair: &TablePair<'_>,
    row: &[ValueRef<'_>],
    policy: Policy,
) -> String {
    unchanged(pair, row, "a constraint stands against it", policy)
}

/// Notes that the statement before did not change the one row, of which nothing is noted by now.
fn unchanged(pair: &TablePair<'_>, row: &[ValueRef<'_>], what: &str, policy: Policy) -> String {
    let (name, row_name, what) = (text(pair.name), text(&row_name(pair, row)), text(what));
    format!(
        "INSERT INTO {CONFLICTS} SELECT {name}, {row_name}, {what}, NULL, NULL, 0, NULL \
         WHERE changes() <> 1 AND {} AND NOT EXISTS (SELECT 1 FROM {CONFLICTS} WHERE \"table\" = {name} AND \"row\" = {row_name})",
        guard(policy)
    )
}
