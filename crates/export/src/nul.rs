//! A word about text with NUL.

/// What becomes of text with a NUL, where the other side's text cannot have one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NulPolicy {
    /// Nothing is exported.
    Refuse,
    /// It becomes bytes: in PostgreSQL the column is `bytea`, in CSV the text is hexadecimal digits.
    Bytea,
    /// The NULs are taken out.
    Strip,
}
