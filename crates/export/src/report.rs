//! What an export did to a database on its way, and what it could not do.

use serde::Serialize;

/// The whole of it.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// Of each table, in the order in which it is written.
    pub tables: Vec<TableReport>,
    /// What belongs to no table that is exported: views, triggers, virtual tables.
    pub findings: Vec<Finding>,
}

/// Of one table.
#[derive(Debug, Serialize)]
pub struct TableReport {
    /// Its name.
    pub table: String,
    /// How many rows it has.
    pub rows: u64,
    /// Of each column.
    pub columns: Vec<ColumnReport>,
    /// Keys, indexes and the like.
    pub findings: Vec<Finding>,
}

/// Of one column.
#[derive(Debug, Serialize)]
pub struct ColumnReport {
    /// Its name.
    pub column: String,
    /// The type that SQLite's schema has.
    pub declared: String,
    /// The type that was chosen.
    pub becomes: String,
    /// How many values there are of each storage class.
    pub values: Counts,
    /// What is to be said.
    pub findings: Vec<Finding>,
}

/// Values by storage class.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Counts {
    /// NULL.
    pub null: u64,
    /// INTEGER.
    pub integer: u64,
    /// REAL.
    pub real: u64,
    /// TEXT.
    pub text: u64,
    /// BLOB.
    pub blob: u64,
}

/// One thing that is not on the other side as it was here, or may not be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Its kind.
    pub kind: FindingKind,
    /// What it is.
    pub what: String,
    /// How many values or rows it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// What to say to have it otherwise, as an argument.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub word: Option<String>,
}

/// Kinds of findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FindingKind {
    /// Values are of another type.
    Coerced,
    /// It could be had better.
    Hint,
    /// It is not there on the other side.
    LeftOut,
    /// Nothing is exported until a word is said.
    Refused,
}

impl Finding {
    pub(crate) fn new(kind: FindingKind, what: impl Into<String>) -> Finding {
        Finding { kind, what: what.into(), count: None, word: None }
    }

    pub(crate) fn coerced(what: impl Into<String>) -> Finding {
        Finding::new(FindingKind::Coerced, what)
    }

    pub(crate) fn left_out(what: impl Into<String>) -> Finding {
        Finding::new(FindingKind::LeftOut, what)
    }

    pub(crate) fn refused(what: impl Into<String>) -> Finding {
        Finding::new(FindingKind::Refused, what)
    }

    pub(crate) fn of(self, count: u64) -> Finding {
        Finding { count: Some(count), ..self }
    }

    pub(crate) fn word(self, word: impl Into<String>) -> Finding {
        Finding { word: Some(word.into()), ..self }
    }
}

impl Report {
    /// Whether nothing can be exported without a word.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.refusals() > 0
    }

    /// How many things need a word.
    #[must_use]
    pub fn refusals(&self) -> usize {
        self.all().filter(|(_, finding)| finding.kind == FindingKind::Refused).count()
    }

    /// Each finding with what it is about: `orders.total`, `orders`, or nothing for the whole.
    pub fn all(&self) -> impl Iterator<Item = (String, &Finding)> {
        let of_tables = self.tables.iter().flat_map(|table| {
            let of_columns = table.columns.iter().flat_map(|column| {
                let about = format!("{}.{}", table.table, column.column);
                column.findings.iter().map(move |finding| (about.clone(), finding))
            });
            of_columns.chain(table.findings.iter().map(|finding| (table.table.clone(), finding)))
        });
        of_tables.chain(self.findings.iter().map(|finding| (String::new(), finding)))
    }

    /// A line for people about each finding.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        self.all().map(|(about, finding)| {
            let about = if about.is_empty() { about } else { format!("{about}: ") };
            let count = finding.count.map_or(String::new(), |count| format!(" ({count})"));
            let word = finding.word.as_ref().map_or(String::new(), |word| format!("; {word}"));
            let refused = if finding.kind == FindingKind::Refused { "refused: " } else { "" };
            format!("{refused}{about}{}{count}{word}", finding.what)
        })
    }
}
