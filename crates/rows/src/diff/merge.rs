//! Merges two cursors that are in the order of one key.

use std::cmp::Ordering;

use rusqlite::{Row, Rows};

use super::super::error::RowsError;
use super::super::value::{Value, ValueRef};
use super::change::{Change, Counts};
use super::order::compare;
use super::pair::{Pairing, TablePair};

/// Hears of each difference.
pub(super) type Tell<'t> = &'t mut dyn FnMut(Change<'_>) -> Result<(), RowsError>;

/// One side's rows, of which the present one can be looked at.
pub(super) struct Stream<'s> {
    rows: Option<Rows<'s>>,
    table: &'s str,
    /// A field and a rowid after which nothing is asked for: SQLite would read the next leaf to see that its rows are beyond.
    end: Option<(usize, i64)>,
    /// The key of the row before, to see that they ascend.
    last: Vec<Value>,
}

impl<'s> Stream<'s> {
    pub(super) fn new(
        rows: Option<Rows<'s>>,
        table: &'s str,
        end: Option<(usize, i64)>,
    ) -> Stream<'s> {
        Stream { rows, table, end, last: Vec::new() }
    }

    /// Whether the present row is the last one that can be there.
    fn is_at_end(&self) -> bool {
        let Some(((field, rowid), row)) = self.end.zip(self.row()) else { return false };
        value(row, field).is_ok_and(|value| value == ValueRef::Integer(rowid))
    }

    /// Goes to the next row.
    pub(super) fn advance(&mut self) -> Result<(), RowsError> {
        use rusqlite::fallible_streaming_iterator::FallibleStreamingIterator as _;
        if self.is_at_end() {
            self.rows = None;
        }
        match &mut self.rows {
            Some(rows) => rows.advance().map_err(|error| {
                RowsError::doing(format!("read the rows of {}", self.table))(error)
            }),
            None => Ok(()),
        }
    }

    /// The present row.
    pub(super) fn row(&self) -> Option<&Row<'s>> {
        use rusqlite::fallible_streaming_iterator::FallibleStreamingIterator as _;
        self.rows.as_ref()?.get()
    }

    /// The values of the present row, one for each field.
    pub(super) fn values(&self, fields: usize) -> Result<Vec<ValueRef<'_>>, RowsError> {
        let Some(row) = self.row() else { return Ok(Vec::new()) };
        (0..fields).map(|field| value(row, field)).collect()
    }

    /// Notes the key of the present row; it must be greater than the one before.
    fn check(&mut self, pair: &TablePair<'_>) -> Result<(), RowsError> {
        let Some(row) = self.rows.as_ref().and_then(|rows| {
            use rusqlite::fallible_streaming_iterator::FallibleStreamingIterator as _;
            rows.get()
        }) else {
            return Ok(());
        };
        if !self.last.is_empty() {
            let last = pair.key.iter().zip(&self.last);
            let mut order = Ordering::Equal;
            for (part, last) in last {
                let by =
                    compare(last.as_ref(), value(row, part.field)?, &part.collation, pair.encoding);
                let by = by.ok_or_else(|| unordered(pair))?;
                order = order.then(if part.is_descending { by.reverse() } else { by });
            }
            if order.is_ge() {
                return Err(unordered(pair));
            }
        }
        self.last.clear();
        for part in &pair.key {
            self.last.push(value(row, part.field)?.to_owned());
        }
        Ok(())
    }
}

fn unordered(pair: &TablePair<'_>) -> RowsError {
    RowsError::Unordered { table: pair.name.to_owned() }
}

/// A value of a row.
pub(super) fn value<'r>(row: &'r Row<'_>, field: usize) -> Result<ValueRef<'r>, RowsError> {
    row.get_ref(field).map(ValueRef::from).map_err(|error| RowsError::doing("read a value")(error))
}

/// Tells each difference of two streams in the order of their key.
pub(super) fn merge(
    pair: &TablePair<'_>,
    mut old: Stream<'_>,
    mut new: Stream<'_>,
    tell: Tell<'_>,
) -> Result<Counts, RowsError> {
    let mut counts = Counts::default();
    let mut tell = |change: Change<'_>| {
        counts.add(&change);
        tell(change)
    };
    let fields = pair.fields.len();
    let compared = pair.compared();
    let mut changed = Vec::new();
    step(pair, &mut old)?;
    step(pair, &mut new)?;
    loop {
        let order = match (old.row(), new.row()) {
            (None, None) => break,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(old), Some(new)) => by_key(pair, old, new)?,
        };
        if order.is_eq() {
            differing(&old, &new, &compared, &mut changed)?;
        }
        if order.is_lt() {
            tell(Change::Deleted(&old.values(fields)?))?;
        } else if order.is_gt() {
            tell(Change::Inserted(&new.values(fields)?))?;
        } else if !changed.is_empty() {
            let (old, new) = (old.values(fields)?, new.values(fields)?);
            if pair.splits_strangers && changed.len() == compared.len() {
                tell(Change::Deleted(&old))?;
                tell(Change::Inserted(&new))?;
            } else {
                tell(Change::Updated { old: &old, new: &new, changed: &changed })?;
            }
        }
        if order.is_le() {
            step(pair, &mut old)?;
        }
        if order.is_ge() {
            step(pair, &mut new)?;
        }
    }
    Ok(counts)
}

fn step(pair: &TablePair<'_>, stream: &mut Stream<'_>) -> Result<(), RowsError> {
    stream.advance()?;
    // SQLite itself walks rowids upwards; the order of other keys is what we believe that it is.
    if pair.pairing == Pairing::Key { stream.check(pair) } else { Ok(()) }
}

fn by_key(pair: &TablePair<'_>, old: &Row<'_>, new: &Row<'_>) -> Result<Ordering, RowsError> {
    for part in &pair.key {
        let (old, new) = (value(old, part.field)?, value(new, part.field)?);
        let order = match (old, new) {
            (ValueRef::Integer(old), ValueRef::Integer(new)) => old.cmp(&new),
            (old, new) => {
                compare(old, new, &part.collation, pair.encoding).ok_or_else(|| unordered(pair))?
            }
        };
        if order.is_ne() {
            return Ok(if part.is_descending { order.reverse() } else { order });
        }
    }
    Ok(Ordering::Equal)
}

/// The fields in which two rows differ.
fn differing(
    old: &Stream<'_>,
    new: &Stream<'_>,
    compared: &[usize],
    changed: &mut Vec<usize>,
) -> Result<(), RowsError> {
    changed.clear();
    let (Some(old), Some(new)) = (old.row(), new.row()) else { return Ok(()) };
    for &field in compared {
        if value(old, field)? != value(new, field)? {
            changed.push(field);
        }
    }
    Ok(())
}
