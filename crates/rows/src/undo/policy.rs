//! What becomes of a row that was changed again, and what is not undone at all.

/// What a conflict leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// Nothing is changed at all.
    Strict,
    /// The row is left as it is, and the others are given back.
    Skip,
    /// The row becomes what it was before, whatever came later.
    Overwrite,
}

/// Something that changed and is not undone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The table, index, view or trigger, or the number of the database.
    pub what: String,
    /// Why.
    pub why: String,
}
