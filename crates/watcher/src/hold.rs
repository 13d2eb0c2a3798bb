//! What a read transaction of ours keeps SQLite from doing.

use ebbtide_wal::{Index, Salts};

/// Whether a read transaction looks into the log at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reads {
    /// It has one of the marks 1 to 4: the log cannot be restarted while it lasts.
    Log,
    /// It has mark 0, because all of the log was in the database when it began: nothing can be copied back while it
    /// lasts, and the log can be restarted once.
    DatabaseOnly,
    /// It began while the log changed, and may have either.
    Unknown,
}

/// A read transaction, known by what the wal-index said before and after it began.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hold {
    pub(crate) reads: Reads,
    salts: Salts,
    /// A lower bound of its mark.
    frames: u32,
}

impl Hold {
    /// The transaction that began at some time before `after`.
    pub(crate) fn before(after: &Index) -> Hold {
        Hold { reads: Reads::Unknown, salts: after.salts, frames: 0 }
    }

    /// The transaction that began between two looks at the wal-index. `sole` says that nobody else could checkpoint
    /// meanwhile.
    pub(crate) fn between(before: &Index, after: &Index, sole: bool) -> Hold {
        let still = before.salts == after.salts && before.frames == after.frames;
        let reads = match (still, before.is_backfilled(), after.is_backfilled()) {
            // SQLite prefers mark 0 when the log is in the database, unless a checkpoint of somebody else's is still
            // holding it.
            (true, true, true) if sole => Reads::DatabaseOnly,
            (true, false, false) => Reads::Log,
            _ => Reads::Unknown,
        };
        Hold { reads, salts: before.salts, frames: before.frames }
    }

    /// Up to which frame of the log that `index` describes this lets a checkpoint go.
    pub(crate) fn frames(&self, index: &Index) -> u32 {
        match self.reads {
            Reads::DatabaseOnly => 0,
            _ if self.salts == index.salts => self.frames,
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(frames: u32, backfilled: u32) -> Index {
        Index { frames, backfilled, ..Index::default() }
    }

    #[test]
    fn only_a_log_that_stood_still_tells_what_the_transaction_reads() {
        let reads = |before, after, sole| Hold::between(&before, &after, sole).reads;
        assert_eq!(reads(index(5, 5), index(5, 5), true), Reads::DatabaseOnly);
        assert_eq!(reads(index(5, 5), index(5, 5), false), Reads::Unknown);
        assert_eq!(reads(index(5, 3), index(5, 4), false), Reads::Log);
        assert_eq!(reads(index(5, 5), index(6, 5), true), Reads::Unknown);
    }
}
