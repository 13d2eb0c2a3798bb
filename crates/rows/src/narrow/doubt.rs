//! Why it is not certain which rows can differ.

use std::fmt;

/// Why it is not certain which rows can differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Doubt {
    /// One of the states has no pages yet, or the sizes of their pages differ.
    OtherShape,
    /// The database is so large that an overflow page can look like one of a tree.
    Large,
    /// So many pages changed.
    Pages(usize),
    /// The list of free pages is longer than what is read of it, or not sound.
    FreePages,
    /// This page is in use and in no tree that is known.
    Stranger(u32),
    /// This page is part of a value, of which only that page changed.
    Overflow(u32),
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Doubt::OtherShape => {
                f.write_str("one state has no pages, or their pages are not of one size")
            }
            Doubt::Large => f.write_str("the database has more pages than can be told apart"),
            Doubt::Pages(count) => write!(f, "{count} pages changed"),
            Doubt::FreePages => f.write_str("the list of free pages is too long"),
            Doubt::Stranger(page) => write!(f, "page {page} is in no tree that is known"),
            Doubt::Overflow(page) => {
                write!(f, "page {page} is a part of a long value whose row is not known")
            }
        }
    }
}
