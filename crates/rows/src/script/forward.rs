//! The script that makes the old database the new one.

use std::collections::BTreeMap;
use std::io::{self, Seek as _, Write};

use tempfile::SpooledTempFile;

use super::super::diff::{Change, Counts, NumberChange, SchemaChange, Sink, TablePair, Want};
use super::super::error::RowsError;
use super::super::ident::Ident;
use super::super::object::{Object, ObjectKind};
use super::super::schema::Schema;
use super::super::table::{Table, TableKind};
use super::super::value::ValueRef;
use super::super::virtual_table::Content;
use super::alter::{Alter, add, alter};
use super::statement::{assignments, columns_and_values, literal, locate, touches_unique};

/// What is written after the deletions of a table waits in memory up to this, then in a temporary file.
const SPOOL_BYTES: usize = 4 << 20;

/// How a table of both sides with other statements becomes the new one.
enum Way {
    Alter(Alter),
    /// It is dropped, created, and all its rows are inserted.
    Again,
}

/// Writes the script. Within a table deletions come first, and a row whose unique values change is deleted and inserted, so
/// that no order of the rest can collide; triggers of a table that changes are set aside, because what they did is among
/// the differences.
pub struct Script<W> {
    out: W,
    ways: BTreeMap<String, Way>,
    /// The triggers of the old side, by the lower-case name of their table.
    triggers: BTreeMap<String, Vec<String>>,
    /// Whether the old side has a view or a trigger.
    has_references: bool,
    /// What is created at the end, in the order of the new schema.
    objects: Vec<Object>,
    created: Vec<bool>,
    /// Indexes over the rows of other tables.
    full_text: Vec<(String, String)>,
    changed: Vec<String>,
    rest: SpooledTempFile,
    sequences: Vec<String>,
    /// Whether rows of tables are changed whose rowids SQLite counts, by which the script itself would count on.
    counts: bool,
    numbers: Vec<NumberChange>,
    /// Tables that are not in the script, and why.
    left_out: Vec<(String, String)>,
}

impl<W: Write> Script<W> {
    /// A script that is written to `out`.
    pub fn new(out: W) -> Script<W> {
        Script {
            out,
            ways: BTreeMap::new(),
            triggers: BTreeMap::new(),
            has_references: false,
            objects: Vec::new(),
            created: Vec::new(),
            full_text: Vec::new(),
            changed: Vec::new(),
            rest: SpooledTempFile::new(SPOOL_BYTES),
            sequences: Vec::new(),
            counts: false,
            numbers: Vec::new(),
            left_out: Vec::new(),
        }
    }

    /// What the script was written to.
    pub fn into_inner(self) -> W {
        self.out
    }

    fn line(&mut self, sql: impl std::fmt::Display) -> Result<(), RowsError> {
        Ok(writeln!(self.out, "{sql};")?)
    }

    fn later(&mut self, sql: impl std::fmt::Display) -> Result<(), RowsError> {
        Ok(writeln!(self.rest, "{sql};")?)
    }

    /// Marks the objects of the new side that `which` picks as to be created at the end.
    fn create_later(&mut self, which: impl Fn(&Object) -> bool) {
        for (object, created) in self.objects.iter().zip(&mut self.created) {
            *created |= which(object);
        }
    }

    fn drop_objects(&mut self, changes: &[SchemaChange]) -> Result<(), RowsError> {
        for kind in [ObjectKind::Trigger, ObjectKind::View, ObjectKind::Index] {
            for change in changes.iter().filter(|change| change.object().kind == kind) {
                if let SchemaChange::Dropped(old) | SchemaChange::Changed { old, .. } = change {
                    self.line(format_args!("DROP {} IF EXISTS {}", kind.name(), Ident(&old.name)))?;
                }
                if !matches!(change, SchemaChange::Dropped(_)) {
                    let name = change.object().name.clone();
                    self.create_later(|object| object.kind == kind && object.name == name);
                }
            }
        }
        Ok(())
    }

    fn change_tables(&mut self, changes: &[SchemaChange]) -> Result<(), RowsError> {
        for change in changes.iter().filter(|change| change.object().kind == ObjectKind::Table) {
            match change {
                SchemaChange::Dropped(old) => {
                    self.line(format_args!("DROP TABLE {}", Ident(&old.name)))?;
                }
                SchemaChange::Created(new) => {
                    self.line(&new.sql)?;
                    let index = self.full_text.iter().find(|(index, _)| *index == new.name);
                    let of = index.map(|(_, of)| of.clone());
                    self.changed.extend(of);
                }
                SchemaChange::Changed { old, new, columns_added, columns_dropped } => {
                    let sql = (old.sql.as_str(), new.sql.as_str());
                    let way = alter(&new.name, sql, columns_added, columns_dropped);
                    // SQLite drops no column while any view or trigger refers to what is gone.
                    let may_drop = columns_dropped.is_empty() || !self.has_references;
                    let way = way.filter(|_| old.name == new.name && may_drop);
                    let key = new.name.to_ascii_lowercase();
                    if let Some(way) = way {
                        for definition in &way.added {
                            self.line(add(&new.name, definition))?;
                        }
                        self.ways.insert(key, Way::Alter(way));
                        continue;
                    }
                    self.line(format_args!("DROP TABLE {}", Ident(&old.name)))?;
                    self.line(&new.sql)?;
                    self.create_later(|object| {
                        object.kind != ObjectKind::View && object.table.eq_ignore_ascii_case(&key)
                    });
                    self.changed.push(key.clone());
                    self.ways.insert(key, Way::Again);
                }
            }
        }
        Ok(())
    }

    /// Sets the triggers of a table aside, once.
    fn begin_changes(&mut self, pair: &TablePair<'_>) -> Result<(), RowsError> {
        let key = pair.name.to_ascii_lowercase();
        for trigger in self.triggers.remove(&key).unwrap_or_default() {
            self.line(format_args!("DROP TRIGGER IF EXISTS {}", Ident(&trigger)))?;
            self.create_later(|object| {
                object.kind == ObjectKind::Trigger && object.name.eq_ignore_ascii_case(&trigger)
            });
        }
        if !self.changed.contains(&key) {
            self.changed.push(key);
        }
        self.counts |= pair.new.is_some_and(Table::may_autoincrement);
        Ok(())
    }

    fn insert(&mut self, pair: &TablePair<'_>, row: &[ValueRef<'_>]) -> Result<(), RowsError> {
        let (columns, values) = columns_and_values(pair, row);
        self.later(format_args!("INSERT INTO {columns} VALUES ({values})"))
    }

    fn sequence(&mut self, pair: &TablePair<'_>, change: Change<'_>) {
        let delete = |row: &[ValueRef<'_>]| {
            format!("DELETE FROM sqlite_sequence WHERE name = {}", literal(pair, row[0]))
        };
        match change {
            Change::Deleted(row) => self.sequences.insert(0, delete(row)),
            Change::Inserted(row) | Change::Updated { new: row, .. } => {
                self.sequences.push(delete(row));
                let (columns, values) = columns_and_values(pair, row);
                self.sequences.push(format!("INSERT INTO {columns} VALUES ({values})"));
            }
        }
    }
}

fn is_sequence(pair: &TablePair<'_>) -> bool {
    pair.table().is_sequence()
}

impl<W: Write> Sink for Script<W> {
    fn begin(
        &mut self,
        old: &Schema,
        new: &Schema,
        changes: &[SchemaChange],
    ) -> Result<(), RowsError> {
        for trigger in old.objects.iter().filter(|object| object.kind == ObjectKind::Trigger) {
            let of = self.triggers.entry(trigger.table.to_ascii_lowercase()).or_default();
            of.push(trigger.name.clone());
        }
        self.has_references = old.objects.iter().any(|object| object.kind != ObjectKind::Index);
        self.objects = new.objects.clone();
        self.created = vec![false; self.objects.len()];
        for table in &new.tables {
            if let TableKind::Virtual { content: Content::Of(of), .. } = &table.kind {
                self.full_text.push((table.name.clone(), of.to_ascii_lowercase()));
            }
        }
        writeln!(self.out, "PRAGMA foreign_keys = OFF;\nBEGIN;")?;
        self.drop_objects(changes)?;
        self.change_tables(changes)
    }

    fn number(&mut self, change: NumberChange) -> Result<(), RowsError> {
        self.numbers.push(change);
        Ok(())
    }

    fn table(&mut self, pair: &TablePair<'_>) -> Result<Want, RowsError> {
        let way = self.ways.get(&pair.name.to_ascii_lowercase());
        let is_again = matches!(way, Some(Way::Again)) && pair.new.is_some();
        // A table that is made again counts from the beginning, and one whose rows are inserted counts on.
        let counts = self.counts || self.ways.values().any(|way| matches!(way, Way::Again));
        let counts = counts && is_sequence(pair) && pair.new.is_some();
        if counts {
            self.sequences.push("DELETE FROM sqlite_sequence".to_owned());
        }
        Ok(if is_again || counts { Want::Rows } else { Want::Changes })
    }

    fn row(&mut self, pair: &TablePair<'_>, change: Change<'_>) -> Result<(), RowsError> {
        if is_sequence(pair) {
            self.sequence(pair, change);
            return Ok(());
        }
        // The whole table is dropped.
        if pair.new.is_none() {
            return Ok(());
        }
        self.begin_changes(pair)?;
        let table = Ident(pair.name);
        match change {
            Change::Inserted(row) => self.insert(pair, row),
            Change::Deleted(row) => {
                let delete = format!("DELETE FROM {table} WHERE {}", locate(pair, row)?);
                self.line(delete)
            }
            Change::Updated { old, new, changed } if touches_unique(pair, changed) => {
                let delete = format!("DELETE FROM {table} WHERE {}", locate(pair, old)?);
                self.line(delete)?;
                self.insert(pair, new)
            }
            Change::Updated { old, new, changed } => {
                let set = assignments(pair, new, changed);
                let update = format!("UPDATE {table} SET {set} WHERE {}", locate(pair, old)?);
                self.later(update)
            }
        }
    }

    fn table_end(&mut self, _pair: &TablePair<'_>, _counts: Counts) -> Result<(), RowsError> {
        self.rest.rewind()?;
        io::copy(&mut self.rest, &mut self.out)?;
        self.rest = SpooledTempFile::new(SPOOL_BYTES);
        Ok(())
    }

    fn not_compared(&mut self, table: &str, why: &str) -> Result<(), RowsError> {
        self.left_out.push((table.to_owned(), why.to_owned()));
        Ok(())
    }

    fn end(&mut self) -> Result<(), RowsError> {
        for (table, way) in std::mem::take(&mut self.ways) {
            let Way::Alter(Alter { dropped, .. }) = way else { continue };
            for column in dropped {
                let table = Ident(&table);
                self.line(format_args!("ALTER TABLE {table} DROP COLUMN {}", Ident(&column)))?;
            }
        }
        for sql in std::mem::take(&mut self.sequences) {
            self.line(sql)?;
        }
        let objects = std::mem::take(&mut self.objects);
        for kind in [ObjectKind::Index, ObjectKind::View, ObjectKind::Trigger] {
            for (at, object) in objects.iter().enumerate() {
                if self.created[at] && object.kind == kind {
                    self.line(&object.sql)?;
                }
            }
        }
        for (index, of) in std::mem::take(&mut self.full_text) {
            if self.changed.contains(&of) {
                let index = Ident(&index);
                self.line(format_args!("INSERT INTO {index} ({index}) VALUES ('rebuild')"))?;
            }
        }
        for NumberChange { pragma, new, .. } in std::mem::take(&mut self.numbers) {
            self.line(format_args!("PRAGMA {pragma} = {new}"))?;
        }
        for (table, why) in &self.left_out {
            let said: String = format!("not compared: {table}: {why}")
                .chars()
                .map(|c| if c.is_control() { ' ' } else { c })
                .collect();
            writeln!(self.out, "-- {said}")?;
        }
        writeln!(self.out, "COMMIT;")?;
        Ok(self.out.flush()?)
    }
}
