//! Differences as a changeset of SQLite's session extension, which `sqlite3changeset_apply` takes.
//!
//! A changeset finds rows by their primary key. So a table without one, or with NULL in it, cannot be in a changeset, nor
//! can a virtual table, nor what changed in the schema: [`Changeset::left_out`] names them.

use std::io::Write;

use super::column::ColumnKind;
use super::diff::{Change, Counts, NumberChange, Pairing, SchemaChange, Sink, TablePair, Want};
use super::error::RowsError;
use super::schema::Schema;
use super::script::touches_unique;
use super::value::ValueRef;

/// Codes of `sqlite3.h` for what was done.
const INSERT: u8 = 18;
const DELETE: u8 = 9;
const UPDATE: u8 = 23;

/// What stands for a value that is left out.
const UNDEFINED: u8 = 0;

/// Writes a changeset. The differences must be found with `Options::by_declared_key`.
pub struct Changeset<W> {
    out: W,
    /// Whether the present table has its header.
    is_begun: bool,
    /// Why the present table cannot be in it.
    is_left_out: Option<String>,
    left_out: Vec<(String, String)>,
}

impl<W: Write> Changeset<W> {
    /// A changeset that is written to `out`.
    pub fn new(out: W) -> Changeset<W> {
        Changeset { out, is_begun: false, is_left_out: None, left_out: Vec::new() }
    }

    /// What differs and is not in it, each with the reason.
    #[must_use]
    pub fn left_out(&self) -> &[(String, String)] {
        &self.left_out
    }

    /// What it was written to.
    pub fn into_inner(self) -> W {
        self.out
    }

    fn leave_out(&mut self, table: &str, why: &str) {
        if !self.left_out.iter().any(|(known, _)| known == table) {
            self.left_out.push((table.to_owned(), why.to_owned()));
        }
    }

    /// 'T', the number of columns, for each its place in the key, the name.
    fn begin_table(&mut self, pair: &TablePair<'_>) -> Result<(), RowsError> {
        if self.is_begun {
            return Ok(());
        }
        self.is_begun = true;
        let mut bytes = vec![b'T'];
        push_length(&mut bytes, pair.fields.len());
        bytes.extend((0..pair.fields.len()).map(|field| {
            let place = pair.key.iter().position(|part| part.field == field);
            place.map_or(0, |at| u8::try_from(at + 1).unwrap_or(u8::MAX))
        }));
        bytes.extend_from_slice(pair.name.as_bytes());
        bytes.push(0);
        Ok(self.out.write_all(&bytes)?)
    }

    fn record<'r>(
        &mut self,
        operation: u8,
        values: impl Iterator<Item = Option<ValueRef<'r>>>,
    ) -> Result<(), RowsError> {
        // The second byte would say that a trigger did it.
        let mut bytes = vec![operation, 0];
        values_into(&mut bytes, values);
        Ok(self.out.write_all(&bytes)?)
    }
}

/// Each value with its class before it, in the codes of `sqlite3.h`; numbers are big-endian.
fn values_into<'r>(bytes: &mut Vec<u8>, values: impl Iterator<Item = Option<ValueRef<'r>>>) {
    for value in values {
        match value {
            None => bytes.push(UNDEFINED),
            Some(ValueRef::Integer(integer)) => {
                bytes.push(1);
                bytes.extend_from_slice(&integer.to_be_bytes());
            }
            Some(ValueRef::Real(real)) => {
                bytes.push(2);
                bytes.extend_from_slice(&real.to_bits().to_be_bytes());
            }
            Some(ValueRef::Text(text)) => {
                bytes.push(3);
                push_length(bytes, text.len());
                bytes.extend_from_slice(text);
            }
            Some(ValueRef::Blob(blob)) => {
                bytes.push(4);
                push_length(bytes, blob.len());
                bytes.extend_from_slice(blob);
            }
            Some(ValueRef::Null) => bytes.push(5),
        }
    }
}

/// SQLite's variable-length integer, of a length below 2^56.
fn push_length(bytes: &mut Vec<u8>, length: usize) {
    let start = bytes.len();
    let (mut rest, mut more) = (length, 0);
    loop {
        let [low, ..] = rest.to_le_bytes();
        bytes.push(low & 0x7f | more);
        (rest, more) = (rest >> 7, 0x80);
        if rest == 0 {
            break;
        }
    }
    bytes[start..].reverse();
}

impl<W: Write> Sink for Changeset<W> {
    fn begin(
        &mut self,
        _old: &Schema,
        _new: &Schema,
        changes: &[SchemaChange],
    ) -> Result<(), RowsError> {
        for change in changes {
            let object = change.object();
            let what = format!("{} {}", object.kind.name(), object.name);
            self.leave_out(&what, &format!("it was {}", change.name()));
        }
        Ok(())
    }

    fn number(&mut self, change: NumberChange) -> Result<(), RowsError> {
        let NumberChange { pragma, old, new } = change;
        self.leave_out(pragma, &format!("it was {old}, and is {new}"));
        Ok(())
    }

    fn table(&mut self, pair: &TablePair<'_>) -> Result<Want, RowsError> {
        let is_key = |pair: &TablePair<'_>| {
            pair.pairing == Pairing::Key
                || pair.pairing == Pairing::Rowid && !pair.has_implicit_rowid()
        };
        let has_other_columns = |(old, new): (&super::table::Table, &super::table::Table)| {
            let names = |table: &super::table::Table| -> Vec<String> {
                let stored = table.columns.iter().filter(|c| c.kind == ColumnKind::Stored);
                stored.map(|column| column.name.to_ascii_lowercase()).collect()
            };
            names(old) != names(new)
        };
        self.is_begun = false;
        let why = if pair.is_virtual() {
            Some("it is a virtual table")
        } else if pair.table().is_sequence() {
            Some("SQLite keeps it by itself")
        } else if !is_key(pair) {
            Some("it has no primary key, or NULL in it")
        } else if pair.old.zip(pair.new).is_some_and(has_other_columns) {
            Some("its columns changed")
        } else {
            None
        };
        self.is_left_out = why.map(str::to_owned);
        Ok(Want::Changes)
    }

    fn row(&mut self, pair: &TablePair<'_>, change: Change<'_>) -> Result<(), RowsError> {
        if self.is_left_out.is_some() {
            return Ok(());
        }
        self.begin_table(pair)?;
        let is_key = |field: usize| pair.is_key(field);
        match change {
            Change::Inserted(row) => self.record(INSERT, row.iter().copied().map(Some)),
            Change::Deleted(row) => self.record(DELETE, row.iter().copied().map(Some)),
            // A row whose key has other bytes is another row there. Unique values that rows pass on to each other are free
            // only once all of these are deleted: an insertion that fails is tried again after the others.
            Change::Updated { old, new, changed }
                if changed.iter().any(|&field| is_key(field)) || touches_unique(pair, changed) =>
            {
                self.record(DELETE, old.iter().copied().map(Some))?;
                self.record(INSERT, new.iter().copied().map(Some))
            }
            Change::Updated { old, new, changed } => {
                let is_changed = |field: usize| changed.binary_search(&field).is_ok();
                let before = old
                    .iter()
                    .enumerate()
                    .map(|(field, value)| (is_changed(field) || is_key(field)).then_some(*value));
                let after = new
                    .iter()
                    .enumerate()
                    .map(|(field, value)| is_changed(field).then_some(*value));
                let both: Vec<Option<ValueRef<'_>>> = before.chain(after).collect();
                self.record(UPDATE, both.into_iter())
            }
        }
    }

    fn table_end(&mut self, pair: &TablePair<'_>, counts: Counts) -> Result<(), RowsError> {
        match self.is_left_out.take() {
            Some(why) if !counts.is_empty() => self.leave_out(pair.name, &why),
            _ => {}
        }
        Ok(())
    }

    fn not_compared(&mut self, table: &str, why: &str) -> Result<(), RowsError> {
        self.leave_out(table, why);
        Ok(())
    }

    fn end(&mut self) -> Result<(), RowsError> {
        Ok(self.out.flush()?)
    }
}

#[test]
fn lengths_are_written_as_sqlite_writes_integers() {
    let known: [(usize, &[u8]); 4] =
        [(0, &[0]), (127, &[127]), (128, &[0x81, 0]), (16_384, &[0x81, 0x80, 0])];
    for (length, expected) in known {
        let mut bytes = Vec::new();
        push_length(&mut bytes, length);
        assert_eq!(bytes, expected);
    }
}
