//! The order in which SQLite sorts values.

use std::cmp::Ordering;

use super::super::collation::Collation;
use super::super::encoding::Encoding;
use super::super::value::ValueRef;

/// Compares two values as `ORDER BY` does: NULL, numbers, text, blobs. `None` if the collation is not ours to know.
pub(super) fn compare(
    a: ValueRef<'_>,
    b: ValueRef<'_>,
    collation: &Collation,
    encoding: Encoding,
) -> Option<Ordering> {
    let by_class = rank(a).cmp(&rank(b));
    if by_class.is_ne() {
        return Some(by_class);
    }
    match (a, b) {
        (ValueRef::Integer(a), ValueRef::Integer(b)) => Some(a.cmp(&b)),
        (ValueRef::Integer(a), ValueRef::Real(b)) => Some(integer_and_real(a, b)),
        (ValueRef::Real(a), ValueRef::Integer(b)) => Some(integer_and_real(b, a).reverse()),
        // SQLite has no NaN.
        (ValueRef::Real(a), ValueRef::Real(b)) => {
            Some(a.partial_cmp(&b).unwrap_or(Ordering::Equal))
        }
        (ValueRef::Text(a), ValueRef::Text(b)) => collation.compare(encoding, a, b),
        (ValueRef::Blob(a), ValueRef::Blob(b)) => Some(a.cmp(b)),
        _ => Some(Ordering::Equal),
    }
}

fn rank(value: ValueRef<'_>) -> u8 {
    match value {
        ValueRef::Null => 0,
        ValueRef::Integer(_) | ValueRef::Real(_) => 1,
        ValueRef::Text(_) => 2,
        ValueRef::Blob(_) => 3,
    }
}

/// Exactly: an integer beyond 2^53 is not rounded to a double for it.
#[expect(clippy::cast_possible_truncation, reason = "the bounds are looked at before")]
fn integer_and_real(integer: i64, real: f64) -> Ordering {
    const BOUND: f64 = 9_223_372_036_854_775_808.0;
    if real >= BOUND {
        return Ordering::Less;
    }
    if real < -BOUND {
        return Ordering::Greater;
    }
    let whole = real.trunc();
    let by_whole = integer.cmp(&(whole as i64));
    by_whole.then_with(|| whole.partial_cmp(&real).unwrap_or(Ordering::Equal))
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::super::super::literal::Literal;
    use super::*;

    #[test]
    fn numbers_are_ordered_as_sqlite_orders_them() {
        let connection = Connection::open_in_memory().unwrap();
        let exact = 9_007_199_254_740_993;
        let values = [
            ValueRef::Null,
            ValueRef::Integer(i64::MIN),
            ValueRef::Integer(i64::MAX),
            ValueRef::Integer(exact),
            ValueRef::Integer(-1),
            ValueRef::Real(exact as f64),
            ValueRef::Real(i64::MAX as f64),
            ValueRef::Real(-1.5),
            ValueRef::Real(-1.0),
            ValueRef::Real(f64::INFINITY),
            ValueRef::Text(b"1"),
            ValueRef::Blob(b"1"),
        ];
        for (a, b) in values.iter().flat_map(|a| values.iter().map(move |b| (*a, *b))) {
            let sql = format!(
                "SELECT group_concat(n) FROM (SELECT n FROM (SELECT 1 AS n, {} AS v UNION ALL SELECT 2, {}) ORDER BY v, n)",
                Literal::new(a),
                Literal::new(b)
            );
            let said: String = connection.query_row(&sql, [], |row| row.get(0)).unwrap();
            let ours = compare(a, b, &Collation::Binary, Encoding::Utf8).unwrap();
            assert_eq!(said == "2,1", ours.is_gt(), "{a:?} {b:?}: {ours:?} {said}");
        }
    }
}
