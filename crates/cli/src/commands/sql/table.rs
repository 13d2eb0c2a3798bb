//! Rows as an aligned table.

use ebbtide_rows::ValueRef;
use rusqlite::Rows;

use super::shown::shown;
use crate::escape::OneLine;
use crate::output;

/// So many rows decide how wide the columns are; what comes after them is aligned as far as it fits.
const MEASURED: usize = 256;

/// No column is wider than this because of one value.
const WIDTH_MAX: usize = 60;

/// A table in the making.
pub(super) struct Table {
    widths: Vec<usize>,
    /// Rows that are not printed yet; the first has the names.
    waiting: Vec<Vec<Cell>>,
}

/// A value as it is shown.
struct Cell {
    text: String,
    is_number: bool,
}

impl Table {
    /// One with these columns.
    pub(super) fn new(names: &[String]) -> Table {
        let cell = |name: &String| Cell { text: OneLine(name).to_string(), is_number: false };
        let names: Vec<Cell> = names.iter().map(cell).collect();
        let mut table = Table { widths: vec![0; names.len()], waiting: Vec::new() };
        table.measure(&names);
        table.waiting.push(names);
        table
    }

    /// Prints the rows.
    pub(super) fn print(mut self, rows: &mut Rows<'_>) -> rusqlite::Result<()> {
        let mut count = 0;
        while let Some(row) = rows.next()?.filter(|_| !output::is_gone()) {
            let cells = (0..self.widths.len())
                .map(|column| row.get_ref(column).map(|value| cell(value.into())));
            let cells = cells.collect::<rusqlite::Result<Vec<Cell>>>()?;
            count += 1;
            if count <= MEASURED {
                self.measure(&cells);
                self.waiting.push(cells);
            } else {
                self.flush();
                self.line(&cells);
            }
        }
        self.flush();
        Ok(())
    }

    fn measure(&mut self, cells: &[Cell]) {
        for (width, cell) in self.widths.iter_mut().zip(cells) {
            *width = (*width).max(cell.text.chars().count().min(WIDTH_MAX));
        }
    }

    /// Prints what waits, with a rule below the names.
    fn flush(&mut self) {
        for (number, cells) in std::mem::take(&mut self.waiting).into_iter().enumerate() {
            self.line(&cells);
            if number == 0 {
                let rules = self.widths.iter().map(|&width| "-".repeat(width));
                output::line(rules.collect::<Vec<_>>().join("  "));
            }
        }
    }

    fn line(&self, cells: &[Cell]) {
        let padded = cells.iter().zip(&self.widths).map(|(cell, &width)| {
            let room = " ".repeat(width.saturating_sub(cell.text.chars().count()));
            if cell.is_number { room + &cell.text } else { cell.text.clone() + &room }
        });
        output::line(padded.collect::<Vec<_>>().join("  ").trim_end());
    }
}

fn cell(value: ValueRef<'_>) -> Cell {
    let is_number = matches!(value, ValueRef::Integer(_) | ValueRef::Real(_));
    Cell { text: OneLine(shown(value)).to_string(), is_number }
}
