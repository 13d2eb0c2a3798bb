//! An entry without its pages, for whoever picks it.

use ebbtide_replica::{Entry, EntryKind, Point};

/// What is shown of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Row {
    /// Its number and time.
    pub(crate) point: Point,
    /// What brought it about.
    pub(crate) kind: EntryKind,
    /// How many pages it carries.
    pub(crate) pages: u32,
    /// The size of the database after it, in pages.
    pub(crate) database_pages: u32,
}

impl Row {
    pub(crate) fn of(entry: &Entry) -> Row {
        let Entry { kind, page_count, database_pages, .. } = *entry;
        Row { point: entry.point(), kind, pages: page_count, database_pages }
    }

    /// Whether it is a state of its own: a claim leaves the database as it was.
    pub(crate) fn is_state(&self) -> bool {
        self.kind != EntryKind::Claim
    }
}
