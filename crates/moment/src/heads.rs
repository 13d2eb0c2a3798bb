//! Blocks that are read one after the other: how far to read ahead of whoever does that.

use std::ops::Range;

/// How many readers are told apart: one in a table and some in its indexes and overflow pages.
const HEADS: usize = 4;

/// In how many requests a window of full size is asked for.
const SHARES: usize = 6;

/// Readers that move forward, in any number of objects.
#[derive(Debug, Default)]
pub(crate) struct Heads {
    /// The one that moved last comes first.
    heads: Vec<Head>,
}

#[derive(Debug, Clone, Copy)]
struct Head {
    object: u32,
    /// The block that was read last.
    at: usize,
    /// Those before this one were asked for.
    end: usize,
    /// How many are asked for next.
    window: usize,
}

impl Heads {
    /// Block `number` of an object was read: which ones to read ahead. One block after another is a coincidence at first,
    /// so the window begins with little and doubles up to `blocks_max`.
    pub(crate) fn note(&mut self, object: u32, number: usize, blocks_max: usize) -> Range<usize> {
        let is_next = |head: &Head| head.object == object && (head.at..=head.end).contains(&number);
        let Some(found) = self.heads.iter().position(is_next) else {
            self.heads.truncate(HEADS - 1);
            self.heads.insert(0, Head { object, at: number, end: number + 1, window: 1 });
            return 0..0;
        };
        let mut head = self.heads.remove(found);
        let mut ahead = 0..0;
        if number > head.at {
            head.at = number;
            // Once half of what was asked for is behind the reader, and once the window is as large as it gets, a sixth: so
            // several requests are on their way at any time, and a store that is far away is waited for once.
            let share = if head.window < blocks_max { 2 } else { SHARES };
            if head.end.saturating_sub(number + 1) <= head.window - head.window / share {
                head.window = (head.window * 2).min(blocks_max);
                let begin = head.end.max(number + 1);
                ahead = begin..(number + 1 + head.window).max(begin);
                head.end = ahead.end;
            }
        }
        self.heads.insert(0, head);
        ahead
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AHEAD_MAX: usize = 96;

    #[test]
    fn a_scan_is_asked_for_once_and_ever_farther_ahead() {
        let mut heads = Heads::default();
        let mut asked = 1;
        let mut requests = 0;
        for number in 0..1000 {
            // Each block has many pages.
            for _ in 0..3 {
                let ahead = heads.note(7, number, AHEAD_MAX);
                if !ahead.is_empty() {
                    assert!(ahead.start >= asked && ahead.end - number <= AHEAD_MAX + 1);
                    asked = ahead.end;
                    requests += 1;
                }
            }
            assert!(number < 2 || asked > number + 1, "at {number}");
        }
        assert!(requests < 80, "{requests}");
    }

    #[test]
    fn lookups_here_and_there_read_nothing_ahead() {
        let mut heads = Heads::default();
        for number in [5, 90, 17, 400, 3, 250, 44, 91, 8] {
            assert!(heads.note(0, number, AHEAD_MAX).is_empty(), "{number}");
        }
    }

    #[test]
    fn two_scans_side_by_side_are_two() {
        let mut heads = Heads::default();
        let mut ahead = [0, 0];
        for step in 0..50 {
            ahead[0] += heads.note(0, step, AHEAD_MAX).len();
            ahead[1] += heads.note(1, 100 + step, AHEAD_MAX).len();
            heads.note(0, 700 + step * 37 % 200, AHEAD_MAX);
        }
        assert!(ahead[0] >= 49 && ahead[1] >= 49, "{ahead:?}");
    }
}
