//! Collects the steps that take differences back.

use super::super::diff::{
    Change, Counts, NumberChange, Pairing, SchemaChange, Sink, TablePair, Want,
};
use super::super::error::RowsError;
use super::super::ident::Ident;
use super::super::schema::Schema;
use super::super::script::{
    assignments, columns_and_values, fields_of_new, literal, locate, name, touches_unique,
};
use super::super::table::TableKind;
use super::super::value::ValueRef;
use super::super::virtual_table::Content;
use super::check::{
    changed_since, exists_again, fatal, guard, hides_unique, is_as_left, must_have_changed,
    values_taken, will_replace,
};
use super::objects::{begin_table, plan};
use super::policy::{Policy, Refusal};
use super::references::checkable;
use super::steps::{Phase, Steps};

/// The steps of an undo. It hears of the differences on the way back: `diff` is asked from the state *after* the changes
/// to the one *before*.
pub struct Undo {
    pub(super) policy: Policy,
    pub(super) steps: Steps,
    /// The tables whose references are looked at before and after.
    pub(super) referring: [Vec<String>; 2],
    drops_created: bool,
    /// The state after the changes.
    after: Option<Schema>,
    refused: Vec<Refusal>,
    left_alone: Vec<String>,
    made_again: Vec<String>,
    dropped: Vec<String>,
    /// Tables, in lower case, whose rows change.
    begun: Vec<String>,
    /// Where the row is that was taken away last, within its table.
    deleted: String,
    rows: u64,
}

impl Undo {
    /// An undo by this policy. `drops_created` says whether what was created is dropped.
    #[must_use]
    pub fn new(policy: Policy, drops_created: bool) -> Undo {
        Undo {
            policy,
            steps: Steps::new(),
            referring: [Vec::new(), Vec::new()],
            drops_created,
            after: None,
            refused: Vec::new(),
            left_alone: Vec::new(),
            made_again: Vec::new(),
            dropped: Vec::new(),
            begun: Vec::new(),
            deleted: String::new(),
            rows: 0,
        }
    }

    /// What changed and is not undone.
    #[must_use]
    pub fn refused(&self) -> &[Refusal] {
        &self.refused
    }

    /// How many rows are given back, deleted, or set to what they were.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    fn push(&mut self, phase: Phase, sql: &str) -> Result<(), RowsError> {
        Ok(self.steps.push(phase, sql)?)
    }

    fn is_made_again(&self, pair: &TablePair<'_>) -> bool {
        self.made_again.contains(&pair.name.to_ascii_lowercase())
    }

    /// Of the tables that are there now, and of those that will be there. Who is to check one must be able to at that time.
    fn referring_of(&self, now: &Schema, then: &Schema) -> [Vec<String>; 2] {
        let (before, after) = (checkable(now), checkable(then));
        let has = |all: &[String], name: &str| all.iter().any(|one| one.eq_ignore_ascii_case(name));
        let is_dropped = |name: &String| self.dropped.contains(&name.to_ascii_lowercase());
        let is_made = |name: &String| self.made_again.contains(&name.to_ascii_lowercase());
        let stays =
            |name: &&String| !is_dropped(name) && (has(&after, name) || then.table(name).is_none());
        let stay: Vec<String> = before.iter().filter(stays).cloned().collect();
        let made = after.iter().filter(|name| is_made(name) && !has(&stay, name)).cloned();
        let then = stay.iter().cloned().chain(made).collect();
        [stay, then]
    }

    fn begin_table(&mut self, pair: &TablePair<'_>) -> Result<(), RowsError> {
        let key = pair.name.to_ascii_lowercase();
        if self.begun.contains(&key) {
            return Ok(());
        }
        self.deleted.clear();
        self.begun.push(key);
        let steps = match &self.after {
            Some(after) if !self.is_made_again(pair) => {
                begin_table(pair.name, after, &self.dropped)
            }
            _ => Vec::new(),
        };
        steps.iter().try_for_each(|(phase, sql)| self.push(*phase, sql))
    }

    /// A row that was deleted.
    fn give_back(&mut self, pair: &TablePair<'_>, row: &[ValueRef<'_>]) -> Result<(), RowsError> {
        let found = locate(pair, row)?;
        if self.is_made_again(pair) {
            return self.insert(pair, row);
        }
        if self.policy != Policy::Overwrite {
            // The row before may have had the same key, and is deleted by then.
            let is_replaced = self.deleted == found;
            let phase = if is_replaced { Phase::CheckUnique } else { Phase::Check };
            self.push(phase, &exists_again(pair, &found, row))?;
        }
        self.check_unique(pair, row, &found)?;
        self.insert(pair, row)
    }

    /// `found` finds the row itself.
    fn check_unique(
        &mut self,
        pair: &TablePair<'_>,
        row: &[ValueRef<'_>],
        found: &str,
    ) -> Result<(), RowsError> {
        let checks = values_taken(pair, row, found, self.policy);
        checks.iter().try_for_each(|check| self.push(Phase::CheckUnique, check))
    }

    fn insert(&mut self, pair: &TablePair<'_>, row: &[ValueRef<'_>]) -> Result<(), RowsError> {
        let (columns, values) = columns_and_values(pair, row);
        let or = match self.policy {
            Policy::Strict | Policy::Skip => " OR IGNORE",
            Policy::Overwrite => " OR REPLACE",
        };
        let guard = guard(self.policy);
        let insert =
            |or: &str| format!("INSERT{or} INTO main.{columns} SELECT {values} WHERE {guard}");
        if self.policy == Policy::Overwrite && hides_unique(pair) {
            let found = locate(pair, row)?;
            let is_free =
                format!("NOT EXISTS (SELECT 1 FROM main.{} WHERE {found})", Ident(pair.name));
            self.push(Phase::Write, &insert(" OR IGNORE"))?;
            self.push(Phase::Write, &will_replace(pair, row, &is_free))?;
        }
        self.write(pair, row, &insert(or))
    }

    /// A statement that has to change exactly one row, unless a conflict keeps it from that: a unique index over an
    /// expression, say, of which only SQLite knows what is unique.
    fn write(
        &mut self,
        pair: &TablePair<'_>,
        row: &[ValueRef<'_>],
        sql: &str,
    ) -> Result<(), RowsError> {
        self.push(Phase::Write, sql)?;
        match self.policy {
            Policy::Strict | Policy::Skip => {
                self.push(Phase::Write, &must_have_changed(pair, row, self.policy))
            }
            Policy::Overwrite => Ok(()),
        }
    }

    /// A row that was inserted.
    fn take_away(&mut self, pair: &TablePair<'_>, row: &[ValueRef<'_>]) -> Result<(), RowsError> {
        let found = locate(pair, row)?;
        let fields: Vec<usize> = (0..pair.fields.len()).collect();
        self.delete(pair, &found, &fields, row)?;
        self.deleted = found;
        Ok(())
    }

    fn delete(
        &mut self,
        pair: &TablePair<'_>,
        found: &str,
        fields: &[usize],
        row: &[ValueRef<'_>],
    ) -> Result<(), RowsError> {
        let there = match self.policy {
            Policy::Overwrite => found.to_owned(),
            Policy::Strict | Policy::Skip => {
                self.push(Phase::Check, &changed_since(pair, found, fields, row))?;
                is_as_left(pair, found, fields, row)
            }
        };
        let delete = format!(
            "DELETE FROM main.{} WHERE {there} AND {}",
            Ident(pair.name),
            guard(self.policy)
        );
        self.push(Phase::Delete, &delete)
    }

    /// A row that was updated; `after` and `before` are what it was.
    fn set_back(
        &mut self,
        pair: &TablePair<'_>,
        (after, before): (&[ValueRef<'_>], &[ValueRef<'_>]),
        changed: &[usize],
    ) -> Result<(), RowsError> {
        let found = locate(pair, after)?;
        let all: Vec<usize> = (0..pair.fields.len()).collect();
        // A rowid that no column shows may be another row's by now, so all of the row must be as it was left. So it must
        // where the row is written as a whole, on whose way unique values pass from row to row.
        let is_whole = touches_unique(pair, changed) && self.policy == Policy::Strict;
        let fields = if is_whole || pair.has_implicit_rowid() { &all } else { changed };
        if is_whole {
            self.delete(pair, &found, fields, after)?;
            self.check_unique(pair, before, &found)?;
            return self.insert(pair, before);
        }
        if self.policy == Policy::Overwrite {
            if touches_unique(pair, changed) {
                self.check_unique(pair, before, &found)?;
            }
            return self.overwrite(pair, &found, before, changed);
        }
        self.push(Phase::Check, &changed_since(pair, &found, fields, after))?;
        let update = format!(
            "UPDATE OR IGNORE main.{} SET {} WHERE {} AND {}",
            Ident(pair.name),
            assignments(pair, before, changed),
            is_as_left(pair, &found, fields, after),
            guard(self.policy)
        );
        self.write(pair, before, &update)
    }

    /// As it was, also where the row is gone by now.
    fn overwrite(
        &mut self,
        pair: &TablePair<'_>,
        found: &str,
        before: &[ValueRef<'_>],
        changed: &[usize],
    ) -> Result<(), RowsError> {
        let (table, guard) = (Ident(pair.name), guard(self.policy));
        let set = assignments(pair, before, changed);
        let update =
            |or: &str| format!("UPDATE{or} main.{table} SET {set} WHERE {found} AND {guard}");
        if hides_unique(pair) {
            let is_there = format!("EXISTS (SELECT 1 FROM main.{table} WHERE {found})");
            self.push(Phase::Write, &update(" OR IGNORE"))?;
            self.push(Phase::Write, &will_replace(pair, before, &is_there))?;
        }
        self.push(Phase::Write, &update(" OR REPLACE"))?;
        let names: Vec<String> = fields_of_new(pair).map(|field| name(pair, field)).collect();
        let values: Vec<String> =
            fields_of_new(pair).map(|field| literal(pair, before[field])).collect();
        let here = locate(pair, before)?;
        let insert = format!(
            "INSERT OR REPLACE INTO main.{table} ({}) SELECT {} WHERE NOT EXISTS (SELECT 1 FROM main.{table} WHERE {here}) AND {guard}",
            names.join(", "),
            values.join(", ")
        );
        self.push(Phase::Write, &insert)
    }
}

impl Sink for Undo {
    fn begin(
        &mut self,
        old: &Schema,
        new: &Schema,
        changes: &[SchemaChange],
    ) -> Result<(), RowsError> {
        let plan = plan(changes, self.drops_created);
        plan.steps.iter().try_for_each(|(phase, sql)| self.push(*phase, sql))?;
        self.refused = plan.refused;
        self.left_alone = plan.left_alone;
        self.made_again = plan.made_again;
        self.dropped = plan.dropped;
        self.referring = self.referring_of(old, new);
        self.after = Some(old.clone());
        Ok(())
    }

    fn number(&mut self, change: NumberChange) -> Result<(), RowsError> {
        let NumberChange { pragma, old: after, new: before } = change;
        let why = format!(
            "it was set to {after}, which is not undone: `PRAGMA {pragma} = {before}` sets it back"
        );
        self.refused.push(Refusal { what: pragma.to_owned(), why });
        Ok(())
    }

    fn table(&mut self, pair: &TablePair<'_>) -> Result<Want, RowsError> {
        // SQLite keeps it by itself, and numbers that were given out stay given out.
        if pair.table().is_sequence() {
            self.left_alone.push("sqlite_sequence".to_owned());
        }
        Ok(Want::Changes)
    }

    fn row(&mut self, pair: &TablePair<'_>, change: Change<'_>) -> Result<(), RowsError> {
        let key = pair.name.to_ascii_lowercase();
        if self.left_alone.contains(&key) {
            return Ok(());
        }
        if pair.pairing == Pairing::WholeRow && !self.is_made_again(pair) {
            let why =
                "its rows have no key, and its rowids were given out again (VACUUM)".to_owned();
            self.refused.push(Refusal { what: format!("table {}", pair.name), why });
            self.left_alone.push(key);
            return Ok(());
        }
        self.begin_table(pair)?;
        self.rows += 1;
        match change {
            Change::Inserted(row) => self.give_back(pair, row),
            Change::Deleted(row) => self.take_away(pair, row),
            Change::Updated { old, new, changed } => self.set_back(pair, (old, new), changed),
        }
    }

    fn table_end(&mut self, pair: &TablePair<'_>, counts: Counts) -> Result<(), RowsError> {
        // A table that is dropped must have the rows that it was left with, and no others.
        let key = pair.name.to_ascii_lowercase();
        if pair.new.is_none() && !self.left_alone.contains(&key) {
            let table = Ident(pair.name);
            let more = format!("(SELECT count(*) FROM main.{table}) <> {}", counts.deleted);
            let what = "it has other rows since";
            self.push(Phase::Check, &fatal(pair.name, what, &more))?;
        }
        Ok(())
    }

    fn not_compared(&mut self, table: &str, why: &str) -> Result<(), RowsError> {
        // An index over rows is built again, see `end`.
        let is_index =
            self.after.as_ref().and_then(|after| after.table(table)).is_some_and(|table| {
                matches!(&table.kind, TableKind::Virtual { content: Content::Of(_), .. })
            });
        if !is_index {
            let what = format!("table {table}");
            self.refused.push(Refusal { what, why: why.to_owned() });
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), RowsError> {
        let Some(after) = &self.after else { return Ok(()) };
        let mut rebuilt = Vec::new();
        for table in &after.tables {
            let TableKind::Virtual { content: Content::Of(of), .. } = &table.kind else { continue };
            if self.begun.contains(&of.to_ascii_lowercase()) {
                let index = Ident(&table.name);
                rebuilt.push(format!(
                    "INSERT INTO main.{index} ({index}) SELECT 'rebuild' WHERE {}",
                    guard(self.policy)
                ));
            }
        }
        rebuilt.iter().try_for_each(|sql| self.push(Phase::Finish, sql))
    }
}
