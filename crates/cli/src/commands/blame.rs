//! `ebbtide blame`: what became of one row.

use ebbtide_moment::Moment;
use ebbtide_rows::{Affinity, Ident, Literal, Schema, Table, TableKind, Value, ValueRef};
use ebbtide_sql::Past;
use ebbtide_trace::{Answer, Found, Question};

use super::changes::{Changes, newest, place};
use super::past::{self, failure as unread, sql_failure};
use crate::args::Blame;
use crate::exit::{Code, Failure, Outcome};
use crate::source::Source;

/// Runs the command.
///
/// # Errors
/// When there is no such table or key, or the replica cannot be read.
pub(crate) async fn run(args: Blame) -> Result<Outcome, Failure> {
    let source = Source::find(&args.source, &args.search.access)?;
    let now = ebbtide_sidecar::clock::now();
    let replica = past::open(&source).await?;
    let newest = newest(&replica, &args.search, now).await?;
    let (moment, table, key) = (newest.clone(), args.table.clone(), args.key.clone());
    let ask = move || question(&moment, &table, &key);
    let asked = tokio::task::spawn_blocking(ask).await;
    let sql = asked.map_err(|error| Failure::new(Code::Failed, error))??;
    let question = Question::new(&sql);
    Changes { replica, newest, question, search: &args.search, now }.tell(|_| true, line).await?;
    Ok(Outcome::Done)
}

/// The query for the row.
fn question(moment: &Moment, table: &str, key: &[String]) -> Result<String, Failure> {
    let past = Past::connect(moment).map_err(sql_failure)?;
    let schema = Schema::read(&past, "main");
    if let Some(cause) = past.main().take_failure() {
        return Err(unread(cause));
    }
    let schema = schema.map_err(|error| Failure::new(Code::Failed, error))?;
    let found = schema.table(table).filter(|table| table.kind != TableKind::Shadow);
    let Some(found) = found else {
        let why = format!(
            "there is no table {table} at txid {}: --to WHEN names a state that has it",
            moment.txid()
        );
        return Err(Failure::new(Code::Usage, why));
    };
    let columns = key_of(found)?;
    if columns.len() != key.len() {
        let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
        let why = format!(
            "the key of {table} is {} and has {}, not {}: give a value for each",
            names.join(", "),
            columns.len(),
            key.len()
        );
        return Err(Failure::new(Code::Usage, why));
    }
    let conditions = columns.iter().zip(key).map(|(column, text)| column.equals(text));
    let conditions: Vec<String> = conditions.collect();
    Ok(format!("SELECT * FROM {} WHERE {}", Ident(&found.name), conditions.join(" AND ")))
}

/// A column of the key.
struct KeyColumn {
    name: String,
    affinity: Affinity,
}

fn key_of(table: &Table) -> Result<Vec<KeyColumn>, Failure> {
    let declared = table.primary_key.iter().filter_map(|part| {
        let column = &table.columns[part.column?];
        Some(KeyColumn { name: column.name.clone(), affinity: column.affinity })
    });
    let declared: Vec<KeyColumn> = declared.collect();
    if !declared.is_empty() {
        return Ok(declared);
    }
    let Some(rowid) = table.rowid_name() else {
        let why = format!("{} has no key by which a row could be named", table.name);
        return Err(Failure::new(Code::Usage, why));
    };
    Ok(vec![KeyColumn { name: rowid.to_owned(), affinity: Affinity::Integer }])
}

impl KeyColumn {
    /// That it has the value which `text` says. The column's affinity makes a number of a text that is one; a column
    /// without affinity may have either.
    fn equals(&self, text: &str) -> String {
        let name = Ident(&self.name);
        if let Some(blob) = blob(text) {
            return format!("{name} = {}", Literal::new(ValueRef::Blob(&blob)));
        }
        let quoted = Literal::new(ValueRef::Text(text.as_bytes())).to_string();
        match text.parse::<i64>() {
            Ok(number) if self.affinity == Affinity::Blob => {
                format!("{name} IN ({quoted}, {number})")
            }
            _ => format!("{name} = {quoted}"),
        }
    }
}

/// The bytes of x'0a1b'.
fn blob(text: &str) -> Option<Vec<u8>> {
    let digits = text.strip_prefix(['x', 'X'])?.strip_prefix('\'')?.strip_suffix('\'')?;
    let pairs = digits.as_bytes().chunks(2);
    pairs
        .map(|pair| match pair {
            [_, _] => u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok(),
            _ => None,
        })
        .collect()
}

/// What became of the row.
fn line(found: &Found) -> String {
    let what = match (row(&found.before), row(&found.after)) {
        (None, Some(_)) => format!("inserted  {}", found.after),
        (Some(_), None) => format!("deleted   {}", found.before),
        (Some(before), Some(after)) if found.before.columns() == found.after.columns() => {
            let changed = before.iter().zip(after).zip(found.after.columns());
            let changed = changed.filter(|((before, after), _)| before != after);
            let changed = changed.map(|((before, after), name)| {
                format!("{name} {} → {}", literal(before), literal(after))
            });
            format!("changed   {}", changed.collect::<Vec<_>>().join(", "))
        }
        _ => format!("changed   {} → {}", found.before, found.after),
    };
    format!("{}  {what}", place(found))
}

/// The row, if there is one.
fn row(answer: &Answer) -> Option<&[Value]> {
    answer.rows().first().map(Vec::as_slice)
}

fn literal(value: &Value) -> String {
    Literal::new(value.as_ref()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_compared_as_the_column_stores_it() {
        let column = |affinity| KeyColumn { name: "id".to_owned(), affinity };
        assert_eq!(column(Affinity::Integer).equals("42"), "\"id\" = '42'");
        assert_eq!(column(Affinity::Blob).equals("42"), "\"id\" IN ('42', 42)");
        assert_eq!(column(Affinity::Text).equals("it's"), "\"id\" = 'it''s'");
        assert_eq!(column(Affinity::Blob).equals("x'0aFF'"), "\"id\" = x'0aff'");
        assert_eq!(blob("x'0'"), None);
        assert_eq!(blob("x'zz'"), None);
    }
}
