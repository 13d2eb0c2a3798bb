//! A difference between two rows, and how many there are.

use super::super::value::ValueRef;

/// How a row differs. Each has a value for each of the pair's fields; that of a field which the side does not have is NULL.
#[derive(Debug, Clone, Copy)]
pub enum Change<'r> {
    /// Only the new side has it.
    Inserted(&'r [ValueRef<'r>]),
    /// Only the old side has it.
    Deleted(&'r [ValueRef<'r>]),
    /// Both have it, with other values.
    Updated {
        /// The row of the old side.
        old: &'r [ValueRef<'r>],
        /// The row of the new side.
        new: &'r [ValueRef<'r>],
        /// The fields that differ, in ascending order.
        changed: &'r [usize],
    },
}

/// How many rows of a table differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Rows that only the new side has.
    pub inserted: u64,
    /// Rows that only the old side has.
    pub deleted: u64,
    /// Rows that both have, with other values.
    pub updated: u64,
}

impl Counts {
    pub(super) fn add(&mut self, change: &Change<'_>) {
        match change {
            Change::Inserted(_) => self.inserted += 1,
            Change::Deleted(_) => self.deleted += 1,
            Change::Updated { .. } => self.updated += 1,
        }
    }

    /// Whether nothing differs.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self == Counts::default()
    }

    /// How many rows had to be written or deleted to say the same without updates.
    pub(super) fn weight(self) -> u64 {
        self.inserted + self.deleted + 2 * self.updated
    }
}
