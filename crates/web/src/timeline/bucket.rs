//! What is shown of a stretch of time: so many commits in each of a number of equal parts.

use ebbtide_replica::{Point, Timestamp};

use super::cells::Cell;

/// One part.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Bucket {
    /// Commits in it; a part of a cell counts by its share of the time.
    pub(crate) commits: f64,
    /// The last entry in it.
    pub(crate) last: Option<Point>,
}

/// The time from `from` to `to` in `count` parts.
pub(crate) fn buckets<'a>(
    cells: impl Iterator<Item = &'a Cell>,
    from: Timestamp,
    to: Timestamp,
    count: usize,
) -> Vec<Bucket> {
    let mut buckets = vec![Bucket { commits: 0.0, last: None }; count];
    let (begin, length) = (from.as_micros(), (to.as_micros() - from.as_micros()).max(1));
    let at = |time: Timestamp| {
        let offset = i128::from(time.as_micros() - begin) * count as i128 / i128::from(length);
        usize::try_from(offset.max(0)).unwrap_or(usize::MAX).min(count.saturating_sub(1))
    };
    for cell in cells {
        let (first, last) = (at(cell.first.time), at(cell.last.time));
        let share = as_float(cell.commits) / as_float((last - first + 1) as u64);
        for bucket in &mut buckets[first..=last] {
            bucket.commits += share;
            bucket.last = bucket.last.max_by_txid(cell.last);
        }
    }
    buckets
}

trait Later {
    fn max_by_txid(self, other: Point) -> Option<Point>;
}

impl Later for Option<Point> {
    fn max_by_txid(self, other: Point) -> Option<Point> {
        Some(self.filter(|known| known.txid > other.txid).unwrap_or(other))
    }
}

#[expect(clippy::cast_precision_loss, reason = "it is a height")]
fn as_float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use ebbtide_replica::Txid;

    use super::*;

    fn point(number: u64, seconds: i64) -> Point {
        let time = Timestamp::from_micros(seconds * 1_000_000).unwrap();
        Point { txid: Txid::new(number).unwrap(), time }
    }

    #[test]
    fn each_commit_is_in_the_part_of_its_time() {
        let single = [(1, 0), (2, 9), (3, 10), (4, 55), (5, 100)];
        let cells = single.map(|(number, seconds)| Cell::of(point(number, seconds), 1));
        let time = |seconds| point(1, seconds).time;
        let parts = buckets(cells.iter(), time(0), time(100), 10);
        let commits: Vec<f64> = parts.iter().map(|part| part.commits).collect();
        assert_eq!(commits, [2.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]);
        assert_eq!(parts[0].last, Some(point(2, 9)));
        let cell = Cell { first: point(1, 20), last: point(50, 49), commits: 30, pages: 30 };
        let parts = buckets(std::iter::once(&cell), time(0), time(100), 10);
        let commits: Vec<f64> = parts.iter().map(|part| part.commits).collect();
        assert_eq!(commits, [0.0, 0.0, 10.0, 10.0, 10.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
        // A stretch without a length is no division by nothing.
        assert_eq!(buckets(cells.iter(), time(5), time(5), 3).len(), 3);
    }
}
