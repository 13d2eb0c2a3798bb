//! The hold: which restarts and checkpoints a read transaction of ours prevents.

use ebbtide_wal::{Index, Salts};

/// Which files a read transaction reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reads {
    /// It holds one of `WAL_READ_LOCK(1)` to `WAL_READ_LOCK(4)`: the log cannot be restarted while it lasts.
    Log,
    /// It holds `WAL_READ_LOCK(0)`, because all frames were backfilled when it began, and reads the database file
    /// alone: no frame can be checkpointed while it lasts, and the log can be restarted once.
    DatabaseOnly,
    /// It began while the log changed, and may hold either lock.
    Unknown,
}

/// A read transaction, described by the wal-index before and after it began.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hold {
    pub(crate) reads: Reads,
    salts: Salts,
    /// A lower bound of its read mark.
    frames: u32,
}

impl Hold {
    /// The transaction that began at some time before `after`.
    pub(crate) fn before(after: &Index) -> Hold {
        Hold { reads: Reads::Unknown, salts: after.salts, frames: 0 }
    }

    /// The transaction that began between two reads of the wal-index. `sole` says that no other process could
    /// checkpoint meanwhile.
    pub(crate) fn between(before: &Index, after: &Index, sole: bool) -> Hold {
        let still = before.salts == after.salts && before.frames == after.frames;
        let reads = match (still, before.is_backfilled(), after.is_backfilled()) {
            // SQLite prefers `WAL_READ_LOCK(0)` when all frames are backfilled, unless the checkpoint of another
            // process still has it exclusively.
            (true, true, true) if sole => Reads::DatabaseOnly,
            (true, false, false) => Reads::Log,
            _ => Reads::Unknown,
        };
        Hold { reads, salts: before.salts, frames: before.frames }
    }

    /// The last frame of the log of `index` that this hold allows a checkpoint to backfill.
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
