//! The numbers that applications give their databases: `PRAGMA user_version`, by which most migrations go, and
//! `PRAGMA application_id`.

use super::super::schema::Schema;

/// A number that differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NumberChange {
    /// The pragma that reads and sets it.
    pub pragma: &'static str,
    /// What it is on the old side…
    pub old: i64,
    /// …and on the new one.
    pub new: i64,
}

/// Those that differ.
pub(super) fn number_changes(old: &Schema, new: &Schema) -> Vec<NumberChange> {
    let numbers = [
        NumberChange { pragma: "user_version", old: old.user_version, new: new.user_version },
        NumberChange { pragma: "application_id", old: old.application_id, new: new.application_id },
    ];
    numbers.into_iter().filter(|number| number.old != number.new).collect()
}
