//! Rows as they are printed: an aligned table, CSV, or an object a line.

use std::io::Write as _;

use ebbtide_rows::{ValueRef, json};
use rusqlite::{Rows, Statement};
use serde_json::Value as Json;

use super::shown::shown;
use super::table::Table;
use crate::{logging, output};

/// How rows are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AnswerForm {
    /// For people.
    Table,
    /// RFC 4180.
    Csv,
    /// An object a line.
    Json,
}

/// What was answered so far.
#[derive(Debug)]
pub(super) struct Answers {
    pub(super) form: AnswerForm,
    /// Whether statements may have changed the live database.
    is_writing: bool,
    changed: u64,
}

impl Answers {
    pub(super) fn new(form: AnswerForm, is_writing: bool) -> Answers {
        Answers { form, is_writing, changed: 0 }
    }

    /// Runs a statement and prints its rows. Nobody may be reading them any more.
    pub(super) fn print(&self, statement: &mut Statement<'_>) -> rusqlite::Result<()> {
        let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
        let mut rows = statement.query([])?;
        if names.is_empty() {
            while rows.next()?.is_some() {}
            return Ok(());
        }
        match self.form {
            AnswerForm::Table => Table::new(&names).print(&mut rows),
            AnswerForm::Csv => csv(&names, &mut rows),
            AnswerForm::Json => objects(&names, &mut rows),
        }
    }

    /// So many rows were changed.
    pub(super) fn changed(&mut self, rows: u64) {
        self.changed += rows;
    }

    /// Says what was changed.
    pub(super) fn finish(&self) {
        if !self.is_writing {
            return;
        }
        match self.form {
            AnswerForm::Json => output::json(serde_json::json!({ "rows_changed": self.changed })),
            _ => logging::note(format_args!("{} rows changed", self.changed)),
        }
    }
}

fn csv(names: &[String], rows: &mut Rows<'_>) -> rusqlite::Result<()> {
    let header: Vec<String> = names.iter().map(|name| quoted(name)).collect();
    let mut line = header.join(",");
    // As it is, unless a terminal shows it; once nobody reads it any more, the rest is not asked for.
    let mut out = output::Stream::text();
    while out.write_all((line + "\r\n").as_bytes()).is_ok()
        && let Some(row) = rows.next()?
    {
        line = String::new();
        for column in 0..names.len() {
            if column > 0 {
                line.push(',');
            }
            line += &field(row.get_ref(column)?.into());
        }
    }
    Ok(())
}

/// NULL is nothing, and text without letters is quoted, so that the two differ.
fn field(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => String::new(),
        ValueRef::Text(_) => match value.plain_text() {
            Some("") => "\"\"".to_owned(),
            Some(text) => quoted(text),
            None => quoted(&shown(value)),
        },
        value => shown(value),
    }
}

fn quoted(text: &str) -> String {
    if text.contains(['"', ',', '\n', '\r']) || text.starts_with(' ') || text.ends_with(' ') {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

fn objects(names: &[String], rows: &mut Rows<'_>) -> rusqlite::Result<()> {
    let names: Vec<String> =
        distinct(names).into_iter().map(|name| Json::from(name).to_string()).collect();
    while let Some(row) = rows.next()?.filter(|_| !output::is_gone()) {
        let mut members = Vec::with_capacity(names.len());
        for (column, name) in names.iter().enumerate() {
            members.push(format!("{name}:{}", json(row.get_ref(column)?.into())));
        }
        // In the order of the columns.
        output::json(format_args!("{{{}}}", members.join(",")));
    }
    Ok(())
}

/// The names, the second of a kind with a number: an object has each member once.
fn distinct(names: &[String]) -> Vec<String> {
    let mut taken: Vec<String> = Vec::new();
    for name in names {
        let numbered = (2..).map(|number| format!("{name}:{number}"));
        let mut names = std::iter::once(name.clone()).chain(numbered);
        taken.extend(names.find(|name| !taken.contains(name)));
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_tells_null_from_nothing_and_quotes_what_needs_it() {
        assert_eq!(field(ValueRef::Null), "");
        assert_eq!(field(ValueRef::Text(b"")), "\"\"");
        assert_eq!(field(ValueRef::Text(b"a")), "a");
        assert_eq!(field(ValueRef::Text(b"a,\"b\"\n")), "\"a,\"\"b\"\"\n\"");
        assert_eq!(field(ValueRef::Integer(-7)), "-7");
        assert_eq!(field(ValueRef::Real(1.0)), "1.0");
        assert_eq!(field(ValueRef::Blob(b"\x01\xff")), "x'01ff'");
        assert_eq!(field(ValueRef::Text(b"a\0")), "CAST(x'6100' AS TEXT)");
    }

    #[test]
    fn columns_of_one_name_are_told_apart() {
        let names = ["id", "id", "v", "id"].map(str::to_owned);
        assert_eq!(distinct(&names), ["id", "id:2", "v", "id:3"]);
    }
}
