//! Keys and indexes of a table as PostgreSQL's statements, and those that it cannot have.

use std::collections::BTreeSet;

use ebbtide_rows::{Collation, Index, IndexColumn, IndexOrigin};

use super::columns::Looked;
use super::names::{PgName, Taken};
use super::pg_type::PgType;
use crate::report::Finding;

/// What becomes of a key that rows break, or that PostgreSQL cannot have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BrokenKeys {
    /// Nothing is exported.
    Refuse,
    /// The key is left out.
    LeaveOut,
}

impl BrokenKeys {
    /// The finding about such a key.
    pub(crate) fn finding(self, what: impl Into<String>) -> Finding {
        match self {
            BrokenKeys::Refuse => Finding::refused(what).word("--broken-keys leave-out"),
            BrokenKeys::LeaveOut => Finding::left_out(what),
        }
    }
}

/// What a table gets once its rows are there.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    /// In order.
    pub(crate) statements: Vec<String>,
    /// The columns of each key to which foreign keys may refer.
    pub(crate) unique: Vec<BTreeSet<usize>>,
    pub(crate) findings: Vec<Finding>,
}

/// An entry of a b-tree of PostgreSQL's has at most a third of a page, 2,704 bytes; what compression gains is not counted.
const ENTRY_BYTES_MAX: usize = 2600;
/// PostgreSQL's own bound.
const INDEX_COLUMNS_MAX: usize = 32;

/// Plans the keys of a table. `sql` gives the statement of an index that was created by one.
pub(crate) fn keys(
    looked: &Looked<'_>,
    taken: &mut Taken,
    policy: BrokenKeys,
    sql: impl Fn(&str) -> Option<String>,
) -> Keys {
    let mut keys = Keys::default();
    keys.add_primary(looked, taken, policy);
    for index in &looked.table.indexes {
        match index.origin {
            IndexOrigin::PrimaryKey => {}
            IndexOrigin::Unique => keys.add_unique(looked, index, taken, policy),
            IndexOrigin::Created => {
                let written = sql(&index.name).unwrap_or_else(|| index.name.clone());
                keys.add_index(looked, index, &written, policy);
            }
        }
    }
    keys
}

impl Keys {
    fn add_primary(&mut self, looked: &Looked<'_>, taken: &mut Taken, policy: BrokenKeys) {
        let key = &looked.table.primary_key;
        let Some(columns) = places(key).filter(|columns| !columns.is_empty()) else { return };
        let nulls: u64 = columns.iter().map(|column| nulls(looked, *column)).max().unwrap_or(0);
        if nulls > 0 {
            self.findings.push(policy.finding("primary key with NULL in it").of(nulls));
            return;
        }
        if let Some(why) = trouble(looked, &columns) {
            self.findings.push(policy.finding(format!("primary key: {why}")));
            return;
        }
        self.note_collations(looked, key, "primary key");
        let name = taken.free(&[&looked.table.name], "pkey");
        self.statements.push(format!(
            "ALTER TABLE {} ADD CONSTRAINT {} PRIMARY KEY ({});",
            PgName(&looked.table.name),
            PgName(&name),
            list(looked, &columns)
        ));
        self.unique.push(columns.into_iter().collect());
    }

    fn add_unique(
        &mut self,
        looked: &Looked<'_>,
        index: &Index,
        taken: &mut Taken,
        policy: BrokenKeys,
    ) {
        let Some(columns) = places(&index.columns) else { return };
        let names = named(looked, &columns);
        if let Some(why) = trouble(looked, &columns) {
            self.findings.push(policy.finding(format!("UNIQUE ({}): {why}", names.join(", "))));
            return;
        }
        self.note_collations(looked, &index.columns, &format!("UNIQUE ({})", names.join(", ")));
        let mut parts = vec![looked.table.name.as_str()];
        parts.extend(names.iter().map(String::as_str));
        let name = taken.free(&parts, "key");
        self.statements.push(format!(
            "ALTER TABLE {} ADD CONSTRAINT {} UNIQUE ({});",
            PgName(&looked.table.name),
            PgName(&name),
            list(looked, &columns)
        ));
        self.unique.push(columns.into_iter().collect());
    }

    fn add_index(&mut self, looked: &Looked<'_>, index: &Index, sql: &str, policy: BrokenKeys) {
        let whole = places(&index.columns).filter(|_| !index.is_partial);
        let Some(columns) = whole else {
            self.findings
                .push(Finding::left_out(format!("index with an expression or a condition: {sql}")));
            return;
        };
        let is_foreign = |part: &IndexColumn| !is_bytewise(looked, part);
        if !index.is_unique && index.columns.iter().any(is_foreign) {
            self.findings.push(Finding::left_out(format!(
                "index in an order that PostgreSQL has not: {sql}"
            )));
            return;
        }
        if let Some(why) = trouble(looked, &columns) {
            let what = format!("index {}: {why}", index.name);
            let finding =
                if index.is_unique { policy.finding(what) } else { Finding::left_out(what) };
            self.findings.push(finding);
            return;
        }
        let parts = index.columns.iter().zip(&columns).map(|(part, column)| {
            let descending = if part.is_descending { " DESC" } else { "" };
            format!("{}{descending}", PgName(&looked.table.columns[*column].name))
        });
        let parts = parts.collect::<Vec<_>>().join(", ");
        let unique = if index.is_unique { "UNIQUE " } else { "" };
        self.statements.push(format!(
            "CREATE {unique}INDEX {} ON {} ({parts});",
            PgName(&index.name),
            PgName(&looked.table.name)
        ));
        if index.is_unique {
            self.note_collations(looked, &index.columns, &format!("unique index {}", index.name));
            self.unique.push(columns.into_iter().collect());
        }
    }

    /// What is unique but for its case is unique with it.
    fn note_collations(&mut self, looked: &Looked<'_>, key: &[IndexColumn], what: &str) {
        let foreign: Vec<&str> = key
            .iter()
            .filter(|part| !is_bytewise(looked, part))
            .map(|part| part.collation.name())
            .collect();
        if let Some(collation) = foreign.first() {
            let what = format!("{what}: texts that {collation} calls equal are two there");
            self.findings.push(Finding::left_out(what));
        }
    }
}

/// The columns of a key, if it is of columns alone.
fn places(key: &[IndexColumn]) -> Option<Vec<usize>> {
    key.iter().map(|part| part.column).collect()
}

fn named(looked: &Looked<'_>, columns: &[usize]) -> Vec<String> {
    columns.iter().map(|column| looked.table.columns[*column].name.clone()).collect()
}

/// Column names for a statement.
pub(crate) fn list(looked: &Looked<'_>, columns: &[usize]) -> String {
    let names =
        columns.iter().map(|column| PgName(&looked.table.columns[*column].name).to_string());
    names.collect::<Vec<_>>().join(", ")
}

fn nulls(looked: &Looked<'_>, column: usize) -> u64 {
    looked.place(column).map_or(0, |place| looked.scanned.facts[place].nulls)
}

/// Whether texts of this part of a key are told apart by their bytes, or there are none.
fn is_bytewise(looked: &Looked<'_>, part: &IndexColumn) -> bool {
    let has_texts = part.column.and_then(|column| looked.choice(column));
    part.collation == Collation::Binary
        || has_texts.is_some_and(|choice| !choice.target.pg_type.is_text())
}

/// Why PostgreSQL cannot have an index over these columns.
fn trouble(looked: &Looked<'_>, columns: &[usize]) -> Option<String> {
    if columns.len() > INDEX_COLUMNS_MAX {
        return Some(format!(
            "{} columns, and PostgreSQL has {INDEX_COLUMNS_MAX} at most",
            columns.len()
        ));
    }
    let mut bytes = 0;
    for column in columns {
        let place = looked.place(*column)?;
        if looked.choices[place].target.pg_type == PgType::Json {
            return Some("json has no order".to_owned());
        }
        bytes += looked.scanned.facts[place].bytes_max;
    }
    let is_too_long = bytes > ENTRY_BYTES_MAX;
    is_too_long.then(|| {
        format!("values of up to {bytes} bytes, and PostgreSQL's indexes take {ENTRY_BYTES_MAX}")
    })
}
