//! The rows that differ, for people.

use std::env;
use std::io::{self, IsTerminal as _};

use ebbtide_rows::{
    Change, Counts, Literal, NumberChange, On, RowsError, Schema, SchemaChange, Sink, TablePair,
    ValueRef, Want,
};

use super::super::unrowed::still_read;
use super::summary::{number_line, schema_line};
use crate::escape::OneLine;
use crate::{output, terminal};

/// A value is shown up to so many characters.
const VALUE_CHARS_MAX: usize = 120;

/// Prints each row as it is found: `-` if only the old side has it, `+` if only the new one, `~` if both.
pub(super) struct Rows {
    has_colours: bool,
    is_begun: bool,
}

impl Rows {
    pub(super) fn new() -> Rows {
        let refused = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let has_colours = io::stdout().is_terminal() && !refused && !terminal::is_dumb();
        Rows { has_colours, is_begun: false }
    }

    fn line(&self, sign: char, colour: u8, text: &str) {
        let text = OneLine(text);
        match self.has_colours {
            true => output::lines(&format!("\u{1b}[{colour}m{sign} {text}\u{1b}[0m\n")),
            false => output::lines(&format!("{sign} {text}\n")),
        }
    }
}

impl Sink for Rows {
    fn begin(&mut self, _: &Schema, _: &Schema, changes: &[SchemaChange]) -> Result<(), RowsError> {
        changes.iter().map(schema_line).for_each(output::line);
        Ok(())
    }

    fn number(&mut self, change: NumberChange) -> Result<(), RowsError> {
        output::line(number_line(&change));
        Ok(())
    }

    fn table(&mut self, _: &TablePair<'_>) -> Result<Want, RowsError> {
        self.is_begun = false;
        Ok(Want::Changes)
    }

    fn row(&mut self, pair: &TablePair<'_>, change: Change<'_>) -> Result<(), RowsError> {
        if !self.is_begun {
            self.is_begun = true;
            output::line(pair.name);
        }
        let row = |row, without| {
            let fields = (0..pair.fields.len()).filter(|&field| pair.fields[field].on != without);
            fields.map(|field| member(pair, field, row)).collect::<Vec<_>>().join("  ")
        };
        match change {
            Change::Deleted(old) => self.line('-', 31, &row(old, On::New)),
            Change::Inserted(new) => self.line('+', 32, &row(new, On::Old)),
            Change::Updated { old, new, changed } => {
                let mut parts: Vec<String> =
                    pair.key.iter().map(|part| member(pair, part.field, new)).collect();
                parts.extend(changed.iter().map(|&field| {
                    let name = &pair.fields[field].name;
                    format!("{name}: {} -> {}", shown(pair, old[field]), shown(pair, new[field]))
                }));
                self.line('~', 33, &parts.join("  "));
            }
        }
        still_read()
    }

    fn table_end(&mut self, _: &TablePair<'_>, _: Counts) -> Result<(), RowsError> {
        Ok(())
    }

    fn not_compared(&mut self, _: &str, _: &str) -> Result<(), RowsError> {
        Ok(())
    }

    fn end(&mut self) -> Result<(), RowsError> {
        Ok(())
    }
}

fn member(pair: &TablePair<'_>, field: usize, row: &[ValueRef<'_>]) -> String {
    format!("{}={}", pair.fields[field].name, shown(pair, row[field]))
}

/// A value as SQL has it; of a long one the beginning, and how long it is.
fn shown(pair: &TablePair<'_>, value: ValueRef<'_>) -> String {
    let literal = Literal::in_encoding(value, pair.encoding).to_string();
    match literal.char_indices().nth(VALUE_CHARS_MAX) {
        None => literal,
        Some((end, _)) => {
            let bytes = match value {
                ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.len(),
                _ => literal.len(),
            };
            format!("{}… ({bytes} bytes)", &literal[..end])
        }
    }
}
