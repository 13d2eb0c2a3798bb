//! Commits in their order, neighbours as one once there are many.

use ebbtide_replica::{Point, Timestamp, Txid};

/// So many cells are kept of a history. With more commits than this a cell has two of them, then four, and so on.
pub(crate) const CELLS_MAX: usize = 16_384;

/// Consecutive entries that can be restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) first: Point,
    pub(crate) last: Point,
    pub(crate) commits: u64,
    pub(crate) pages: u64,
}

/// All of them.
#[derive(Debug, Clone)]
pub(crate) struct Cells {
    cells: Vec<Cell>,
    commits_max: u64,
    total: u64,
}

impl Default for Cells {
    fn default() -> Cells {
        Cells { cells: Vec::new(), commits_max: 1, total: 0 }
    }
}

impl Cell {
    /// One entry.
    pub(crate) fn of(point: Point, pages: u64) -> Cell {
        Cell { first: point, last: point, commits: 1, pages }
    }

    fn and(self, next: Cell) -> Cell {
        let (commits, pages) = (self.commits + next.commits, self.pages + next.pages);
        Cell { first: self.first, last: next.last, commits, pages }
    }
}

impl Cells {
    /// One more entry, after all that are there.
    pub(crate) fn push(&mut self, point: Point, pages: u64) {
        self.total += 1;
        let next = Cell::of(point, pages);
        if let Some(last) = self.cells.last_mut().filter(|last| last.commits < self.commits_max) {
            *last = last.and(next);
            return;
        }
        if self.cells.len() == CELLS_MAX {
            self.commits_max *= 2;
            let pair = |pair: &[Cell]| pair.iter().copied().reduce(Cell::and);
            self.cells = self.cells.chunks(2).filter_map(pair).collect();
        }
        self.cells.push(next);
    }

    /// How many entries there are.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// The first and the last entry.
    pub(crate) fn ends(&self) -> Option<(Point, Point)> {
        Some((self.cells.first()?.first, self.cells.last()?.last))
    }

    /// Those that have something between two times, both included.
    pub(crate) fn between(&self, from: Timestamp, to: Timestamp) -> &[Cell] {
        let begin = self.cells.partition_point(|cell| cell.last.time < from);
        let end = self.cells.partition_point(|cell| cell.first.time <= to);
        self.cells.get(begin..end).unwrap_or_default()
    }

    /// About when an entry was: exactly while each cell has one.
    pub(crate) fn time_of(&self, txid: Txid) -> Option<Timestamp> {
        let at = self.cells.partition_point(|cell| cell.last.txid < txid);
        self.cells.get(at).map(|cell| cell.last.time)
    }

    /// Whether each cell is one entry.
    pub(crate) fn is_exact(&self) -> bool {
        self.commits_max == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn point(number: u64) -> Point {
        let time = Timestamp::from_micros(i64::try_from(number).unwrap() * 1_000_000).unwrap();
        Point { txid: Txid::new(number).unwrap(), time }
    }

    #[test]
    fn ten_million_commits_take_bounded_room_and_none_is_lost() {
        let mut cells = Cells::default();
        for number in 1..=10_000_000 {
            cells.push(point(number), 3);
            assert!(cells.cells.len() <= CELLS_MAX);
        }
        assert_eq!(cells.total(), 10_000_000);
        assert_eq!(cells.ends(), Some((point(1), point(10_000_000))));
        let all = cells.between(Timestamp::MIN, Timestamp::MAX);
        assert_eq!(all.iter().map(|cell| cell.commits).sum::<u64>(), 10_000_000);
        assert_eq!(all.iter().map(|cell| cell.pages).sum::<u64>(), 30_000_000);
        assert!(all.windows(2).all(|pair| pair[0].last.txid.precedes(pair[1].first.txid)));
        assert!(all.len() > CELLS_MAX / 2 && !cells.is_exact());
    }

    #[test]
    fn few_commits_are_found_one_by_one() {
        let mut cells = Cells::default();
        (1..=100).for_each(|number| cells.push(point(number), 1));
        let between = cells.between(point(10).time, point(12).time);
        assert_eq!(between, [10, 11, 12].map(|number| Cell::of(point(number), 1)));
        assert_eq!(cells.time_of(point(50).txid), Some(point(50).time));
        assert!(cells.between(point(200).time, point(300).time).is_empty());
    }
}
