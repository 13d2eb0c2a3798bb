//! Compares rows that have nothing to be known by but their values: each side is a multiset.

use std::cmp::Ordering;
use std::collections::HashMap;

use rusqlite::Row;

use super::super::collation::Collation;
use super::super::error::RowsError;
use super::super::value::{Value, ValueRef};
use super::change::{Change, Counts};
use super::merge::{Stream, Tell, value};
use super::order::compare;
use super::pair::TablePair;

/// The rows that SQLite's order calls equal: 1 and 1.0 are among each other, so they are counted by their exact values.
#[derive(Default)]
struct Group {
    /// By the values that are compared: how many more the old side has, and one of the rows.
    rows: HashMap<Vec<Value>, (i64, Vec<Value>)>,
}

/// Tells what one side has more often than the other. Both streams are in the order of the compared fields.
pub(super) fn merge_whole(
    pair: &TablePair<'_>,
    mut old: Stream<'_>,
    mut new: Stream<'_>,
    tell: Tell<'_>,
) -> Result<Counts, RowsError> {
    let compared = pair.compared();
    let mut counts = Counts::default();
    old.advance()?;
    new.advance()?;
    loop {
        let first = match (old.row(), new.row()) {
            (None, None) => break,
            (Some(row), None) | (None, Some(row)) => owned(row, &compared)?,
            (Some(old), Some(new)) => {
                let (old, new) = (owned(old, &compared)?, owned(new, &compared)?);
                if order(pair, &old, &new).is_le() { old } else { new }
            }
        };
        let mut group = Group::default();
        group.take(pair, &compared, &first, &mut old, 1)?;
        group.take(pair, &compared, &first, &mut new, -1)?;
        let mut rows: Vec<(i64, Vec<Value>)> =
            group.rows.into_values().filter(|(count, _)| *count != 0).collect();
        rows.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
        for (count, row) in rows {
            let values: Vec<ValueRef<'_>> = row.iter().map(Value::as_ref).collect();
            for _ in 0..count.unsigned_abs() {
                let change =
                    if count > 0 { Change::Deleted(&values) } else { Change::Inserted(&values) };
                counts.add(&change);
                tell(change)?;
            }
        }
    }
    Ok(counts)
}

impl Group {
    fn take(
        &mut self,
        pair: &TablePair<'_>,
        compared: &[usize],
        first: &[Value],
        stream: &mut Stream<'_>,
        sign: i64,
    ) -> Result<(), RowsError> {
        while let Some(row) = stream.row() {
            let key = owned(row, compared)?;
            if order(pair, &key, first).is_ne() {
                break;
            }
            match self.rows.get_mut(&key) {
                Some((count, _)) => *count += sign,
                None => {
                    let all: Vec<usize> = (0..pair.fields.len()).collect();
                    self.rows.insert(key, (sign, owned(row, &all)?));
                }
            }
            stream.advance()?;
        }
        Ok(())
    }
}

fn owned(row: &Row<'_>, fields: &[usize]) -> Result<Vec<Value>, RowsError> {
    fields.iter().map(|&field| Ok(value(row, field)?.to_owned())).collect()
}

fn order(pair: &TablePair<'_>, a: &[Value], b: &[Value]) -> Ordering {
    let by = |(a, b): (&Value, &Value)| {
        compare(a.as_ref(), b.as_ref(), &Collation::Binary, pair.encoding)
    };
    let orders = a.iter().zip(b).map(|pair| by(pair).unwrap_or(Ordering::Equal));
    orders.fold(Ordering::Equal, Ordering::then)
}
