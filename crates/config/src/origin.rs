//! Where a value of the configuration comes from.

use std::collections::BTreeMap;

/// Where a value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// In this line of the file, about the database itself.
    Database(usize),
    /// In this line, about all that do not say otherwise.
    Defaults(usize),
    /// Nowhere: it is what holds when nothing is said.
    BuiltIn,
}

/// Where each key is written that is written at all.
pub(crate) type Origins = BTreeMap<String, Origin>;
