//! What else a schema has: indexes, triggers and views.

/// Which of SQLite's kinds an entry of the schema is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ObjectKind {
    /// A table.
    Table,
    /// An index that was created by itself; those of constraints belong to their tables.
    Index,
    /// A view.
    View,
    /// A trigger.
    Trigger,
}

impl ObjectKind {
    /// As `sqlite_schema` has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            ObjectKind::Table => "table",
            ObjectKind::Index => "index",
            ObjectKind::View => "view",
            ObjectKind::Trigger => "trigger",
        }
    }

    pub(crate) fn named(name: &str) -> Option<ObjectKind> {
        let all = [ObjectKind::Table, ObjectKind::Index, ObjectKind::View, ObjectKind::Trigger];
        all.into_iter().find(|kind| kind.name() == name)
    }
}

/// An index, a trigger or a view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Which it is.
    pub kind: ObjectKind,
    /// Its name.
    pub name: String,
    /// The table or the view that it belongs to; a view belongs to itself.
    pub table: String,
    /// The statement that makes it, without a schema's name.
    pub sql: String,
}
