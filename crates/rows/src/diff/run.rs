//! Compares two databases.

use super::super::error::RowsError;
use super::super::extent::{Extent, Extents};
use super::super::ident::{Ident, Qualified};
use super::super::schema::Schema;
use super::super::table::{Table, TableKind};
use super::super::virtual_table::Content;
use super::change::{Change, Counts};
use super::cursor::{Which, prepare, select};
use super::merge::{Stream, Tell, merge};
use super::number::{NumberChange, number_changes};
use super::pair::{Pairing, TablePair};
use super::pairing::{By, pair};
use super::schema_change::{SchemaChange, schema_changes};
use super::side::Side;
use super::sink::{Sink, Want};
use super::unequal::unequal;
use super::whole::merge_whole;

/// How two databases are compared.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Only these tables; all if it is empty.
    pub tables: Vec<String>,
    /// Rows are paired by the declared primary key instead of the rowid, where there is one.
    pub by_declared_key: bool,
    /// Rowids mean the same on both sides, also where no column shows them: there was no VACUUM between the two.
    pub rowids_are_kept: bool,
    /// Which rows can differ, where that is known: others are not read. See [`narrow`](crate::narrow).
    pub extents: Extents,
}

/// A table that was compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compared {
    /// Its name.
    pub table: String,
    /// By what its rows were paired.
    pub pairing: Pairing,
    /// How many rows differ.
    pub counts: Counts,
}

/// A table that was not compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotCompared {
    /// Its name.
    pub table: String,
    /// Why.
    pub why: String,
}

/// What a comparison came to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Summary {
    /// What differs in the schema.
    pub schema: Vec<SchemaChange>,
    /// Each table that was compared, whether it differs or not.
    pub tables: Vec<Compared>,
    /// What differs of the numbers of the database, if not only some tables were compared.
    pub numbers: Vec<NumberChange>,
    /// Each table that was not.
    pub not_compared: Vec<NotCompared>,
}

impl Summary {
    /// Whether nothing differs, as far as it was compared.
    #[must_use]
    pub fn is_equal(&self) -> bool {
        self.schema.is_empty()
            && self.numbers.is_empty()
            && self.tables.iter().all(|table| table.counts.is_empty())
    }
}

/// Compares `old` with `new` and tells `sink` each difference.
///
/// # Errors
/// When a database cannot be read, a table that was named is in neither, or the sink fails.
pub fn diff(
    old: Side<'_>,
    new: Side<'_>,
    options: &Options,
    sink: &mut dyn Sink,
) -> Result<Summary, RowsError> {
    let schemas =
        (Schema::read(old.connection, old.schema)?, Schema::read(new.connection, new.schema)?);
    if schemas.0.encoding != schemas.1.encoding {
        let names = (schemas.0.encoding.name(), schemas.1.encoding.name());
        return Err(RowsError::Encodings { old: names.0, new: names.1 });
    }
    let is_asked_for = |name: &str| {
        options.tables.is_empty()
            || options.tables.iter().any(|table| table.eq_ignore_ascii_case(name))
    };
    for table in &options.tables {
        if schemas.0.table(table).or(schemas.1.table(table)).is_none() {
            return Err(RowsError::NoTable { table: table.clone() });
        }
    }
    let mut changes = schema_changes(&schemas.0, &schemas.1);
    changes.retain(|change| is_asked_for(&change.object().table));
    sink.begin(&schemas.0, &schemas.1, &changes)?;
    let numbers = match options.tables.is_empty() {
        true => number_changes(&schemas.0, &schemas.1),
        false => Vec::new(),
    };
    numbers.iter().try_for_each(|number| sink.number(*number))?;
    let mut run = Run {
        old,
        new,
        options,
        schemas: (&schemas.0, &schemas.1),
        is_schema_same: schemas.0.cookie == schemas.1.cookie,
        summary: Summary { schema: changes, numbers, ..Summary::default() },
        sink,
    };
    for (before, after) in tables(&schemas.0, &schemas.1) {
        let Some(table) = after.or(before) else { continue };
        if is_asked_for(&table.name) {
            run.table(before, after, &schemas.1)?;
        }
    }
    run.sink.end()?;
    Ok(run.summary)
}

/// The tables of both, those of the new side first, and at the end the one that counts the rows of others.
fn tables<'a>(old: &'a Schema, new: &'a Schema) -> Vec<(Option<&'a Table>, Option<&'a Table>)> {
    let here = new.tables.iter().map(|table| (old.table(&table.name), Some(table)));
    let gone = old.tables.iter().filter(|table| new.table(&table.name).is_none());
    let mut all: Vec<_> = here.chain(gone.map(|table| (Some(table), None))).collect();
    all.sort_by_key(|(old, new)| new.or(*old).is_some_and(|table| table.is_sequence()));
    all
}

struct Run<'a> {
    old: Side<'a>,
    new: Side<'a>,
    options: &'a Options,
    schemas: (&'a Schema, &'a Schema),
    /// No VACUUM can have been between the two then, and nothing else that changes the schema.
    is_schema_same: bool,
    summary: Summary,
    sink: &'a mut dyn Sink,
}

/// Why a table's rows are not compared; `Ok(false)` if nobody misses them.
fn is_compared(table: &Table) -> Result<bool, String> {
    if let Some(why) = &table.unreadable {
        return Err(why.clone());
    }
    if let Some(name) = table.unknown_order() {
        return Err(format!(
            "its rows are in the order of {name}, which only the application knows"
        ));
    }
    match &table.kind {
        TableKind::Shadow => Ok(false),
        TableKind::Ordinary => Ok(!table.is_internal() || table.is_sequence()),
        TableKind::Virtual { content: Content::Own, .. } => Ok(true),
        TableKind::Virtual { content: Content::Derived, .. } => Ok(false),
        TableKind::Virtual { content: Content::Of(name), .. } => {
            Err(format!("an index over the rows of {name}"))
        }
        TableKind::Virtual { content: Content::Nowhere, .. } => {
            Err("an index that keeps no rows".to_owned())
        }
        TableKind::Virtual { module, content: Content::Unknown } => {
            Err(format!("only its module, {module}, knows its rows"))
        }
    }
}

impl<'a> Run<'a> {
    fn table(
        &mut self,
        old: Option<&Table>,
        new: Option<&Table>,
        schema: &Schema,
    ) -> Result<(), RowsError> {
        for table in [new, old].into_iter().flatten() {
            match is_compared(table) {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(_) if self.is_unchanged(&table.name)? => return Ok(()),
                Err(why) => return self.leave_out(&table.name, why),
            }
        }
        // What was an ordinary table and is a virtual one is another table.
        let is_other = |(old, new): (&Table, &Table)| {
            matches!(old.kind, TableKind::Ordinary) != matches!(new.kind, TableKind::Ordinary)
        };
        if old.zip(new).is_some_and(is_other) {
            self.rows(old, None, schema)?;
            return self.rows(None, new, schema);
        }
        self.rows(old, new, schema)
    }

    fn rows(
        &mut self,
        old: Option<&Table>,
        new: Option<&Table>,
        schema: &Schema,
    ) -> Result<(), RowsError> {
        let mut pair = self.pair(old, new, schema)?;
        if let Err(why) = self.can_read(&pair)? {
            return self.leave_out(pair.name, why);
        }
        match self.sink.table(&pair)? {
            Want::Changes => {}
            Want::Rows => pair = self.pair(None, new, schema)?,
        }
        let rows = self.which(&pair)?;
        let sides = (self.old, self.new);
        let sink = &mut *self.sink;
        let mut tell = |change: Change<'_>| sink.row(&pair, change);
        let counts = compare(&pair, sides, rows, &mut tell)?;
        self.sink.table_end(&pair, counts)?;
        let (table, pairing) = (pair.name.to_owned(), pair.pairing);
        self.summary.tables.push(Compared { table, pairing, counts });
        Ok(())
    }

    /// Whether a virtual table that cannot be read keeps the same in its shadow tables on both sides, so that nobody
    /// misses a comparison.
    fn is_unchanged(&self, table: &str) -> Result<bool, RowsError> {
        let (old, new) = self.schemas;
        let prefix = format!("{}_", table.to_ascii_lowercase());
        let is_shadow = |other: &&Table| {
            other.kind == TableKind::Shadow && other.name.to_ascii_lowercase().starts_with(&prefix)
        };
        let is_same = |before: Option<&Table>, after: Option<&Table>| {
            before.zip(after).is_some_and(|(before, after)| before.sql == after.sql)
        };
        if !is_same(old.table(table), new.table(table)) {
            return Ok(false);
        }
        let shadows: Vec<&Table> = new.tables.iter().filter(is_shadow).collect();
        for shadow in &shadows {
            let before = old.table(&shadow.name);
            if !is_same(before, Some(*shadow)) {
                return Ok(false);
            }
            let pair = pair(before, Some(*shadow), new.encoding, By::Rowid);
            let nobody: Tell<'_> = &mut |_| Ok(());
            let counts = compare(&pair, (self.old, self.new), self.which(&pair)?, nobody)?;
            if !counts.is_empty() {
                return Ok(false);
            }
        }
        Ok(!shadows.is_empty())
    }

    /// By what rows are paired. Rowids that no column shows are given out again by VACUUM, by a table that is made again,
    /// and by a copy of all rows; where that may have been, the pairing is taken that finds less.
    fn pair<'t>(
        &self,
        old: Option<&'t Table>,
        new: Option<&'t Table>,
        schema: &Schema,
    ) -> Result<TablePair<'t>, RowsError> {
        let encoding = schema.encoding;
        let by = |by| pair(old, new, encoding, by);
        if old.or(new).is_some_and(Table::is_sequence) {
            return Ok(by(By::WholeRow));
        }
        let first = match self.options.by_declared_key {
            true => by(By::Key),
            false => by(By::Rowid),
        };
        let extent = self.options.extents.of(first.name);
        if *extent == Extent::Nothing {
            return Ok(first);
        }
        let first = if self.has_null_keys(&first)? { by(By::WholeRow) } else { first };
        let is_trusted = self.options.rowids_are_kept
            || self.is_schema_same
            || first.is_virtual()
            || matches!(extent, Extent::Rowids(_));
        if !first.has_implicit_rowid() || is_trusted || old.is_none() || new.is_none() {
            return Ok(first);
        }
        if self.can_read(&first)?.is_err() {
            return Ok(first);
        }
        let sides = (self.old, self.new);
        let nobody: Tell<'_> = &mut |_| Ok(());
        let counts = compare(&first, sides, self.which(&first)?, nobody)?;
        if counts.updated == 0 {
            return Ok(first);
        }
        let declared = by(By::Key);
        let is_keyed = declared.pairing == Pairing::Key && !self.has_null_keys(&declared)?;
        let other = if is_keyed { declared } else { by(By::WholeRow) };
        let nobody: Tell<'_> = &mut |_| Ok(());
        if compare(&other, sides, Rows::All, nobody)?.weight() < counts.weight() {
            return Ok(other);
        }
        Ok(TablePair { splits_strangers: true, ..first })
    }

    /// Whether rows have no key: SQLite allows NULL in a primary key, many times.
    fn has_null_keys(&self, pair: &TablePair<'_>) -> Result<bool, RowsError> {
        let sides = [(self.old, pair.old), (self.new, pair.new)];
        for (side, table) in sides {
            let Some(table) = table.filter(|table| !table.is_without_rowid) else { continue };
            if pair.pairing != Pairing::Key {
                continue;
            }
            let parts = pair.key.iter().map(|part| &pair.fields[part.field].name);
            let tests: Vec<String> = parts.map(|name| format!("{} IS NULL", Ident(name))).collect();
            let sql = format!(
                "SELECT EXISTS (SELECT 1 FROM {} WHERE {})",
                Qualified(side.schema, &table.name),
                tests.join(" OR ")
            );
            let found = side.connection.query_row(&sql, [], |row| row.get(0));
            if found.map_err(RowsError::doing(format!("look at the keys of {}", table.name)))? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether this SQLite has what the table needs, or what it lacks.
    fn can_read(&self, pair: &TablePair<'_>) -> Result<Result<(), String>, RowsError> {
        for (side, which) in [(self.old, Which::Old), (self.new, Which::New)] {
            let Some(sql) = select(pair, which, side.schema, false) else { continue };
            if let Err(why) = prepare(&side, &sql)? {
                return Ok(Err(why));
            }
        }
        Ok(Ok(()))
    }

    /// Which rows have to be read. Pages with the same bytes have the same rows if their tables are the same.
    fn which(&self, pair: &TablePair<'_>) -> Result<Rows<'a>, RowsError> {
        let Some((old, new)) = pair.old.zip(pair.new) else { return Ok(Rows::All) };
        let options: &'a Options = self.options;
        match options.extents.of(pair.name) {
            Extent::Nothing => return Ok(Rows::Listed(&[])),
            Extent::Rowids(ranges) if pair.pairing == Pairing::Rowid => {
                return Ok(Rows::Listed(ranges));
            }
            _ => {}
        }
        let is_plain = old.kind == TableKind::Ordinary && pair.pairing == Pairing::Rowid;
        let Some((pages, other)) = self.old.pages.zip(self.new.pages) else { return Ok(Rows::All) };
        let is_same =
            (pages.page_bytes, pages.reserved_bytes) == (other.page_bytes, other.reserved_bytes);
        if !is_plain || old.sql != new.sql || !is_same {
            return Ok(Rows::All);
        }
        Ok(Rows::Unequal(root(self.old, &old.name)?, root(self.new, &new.name)?))
    }

    fn leave_out(&mut self, table: &str, why: String) -> Result<(), RowsError> {
        self.sink.not_compared(table, &why)?;
        self.summary.not_compared.push(NotCompared { table: table.to_owned(), why });
        Ok(())
    }
}

/// Which rows of a pair are read.
enum Rows<'r> {
    All,
    /// Those with rowids in one of these ranges.
    Listed(&'r [(i64, i64)]),
    /// Those that are not on pages with the same bytes, in the trees with these roots.
    Unequal(u32, u32),
}

fn root(side: Side<'_>, table: &str) -> Result<u32, RowsError> {
    let sql = format!(
        "SELECT rootpage FROM {}.sqlite_schema WHERE type = 'table' AND name = ?1 COLLATE NOCASE",
        Ident(side.schema)
    );
    let found = side.connection.query_row(&sql, [table], |row| row.get(0));
    found.map_err(RowsError::doing(format!("look up {table}")))
}

/// Compares the rows of a pair.
fn compare(
    pair: &TablePair<'_>,
    (old, new): (Side<'_>, Side<'_>),
    rows: Rows<'_>,
    tell: Tell<'_>,
) -> Result<Counts, RowsError> {
    let is_ranged = !matches!(rows, Rows::All);
    let mut before = prepared(pair, old, Which::Old, is_ranged)?;
    let mut after = prepared(pair, new, Which::New, is_ranged)?;
    let mut sum = Counts::default();
    let mut part = |range: Option<(i64, i64)>| {
        let before = stream(pair, before.as_mut(), range)?;
        let after = stream(pair, after.as_mut(), range)?;
        let counts = match pair.pairing {
            Pairing::Rowid | Pairing::Key => merge(pair, before, after, &mut *tell)?,
            Pairing::WholeRow => merge_whole(pair, before, after, &mut *tell)?,
        };
        sum.inserted += counts.inserted;
        sum.deleted += counts.deleted;
        sum.updated += counts.updated;
        Ok(())
    };
    match (rows, old.pages.zip(new.pages)) {
        (Rows::Listed(ranges), _) => ranges.iter().try_for_each(|range| part(Some(*range)))?,
        (Rows::Unequal(here, there), Some(pages)) => {
            unequal(pages, (here, there), &mut |range| part(Some(range)))?;
        }
        (Rows::Unequal(..), None) => part(Some((i64::MIN, i64::MAX)))?,
        (Rows::All, _) => part(None)?,
    }
    Ok(sum)
}

fn prepared<'c>(
    pair: &TablePair<'_>,
    side: Side<'c>,
    which: Which,
    is_ranged: bool,
) -> Result<Option<rusqlite::Statement<'c>>, RowsError> {
    let Some(sql) = select(pair, which, side.schema, is_ranged) else { return Ok(None) };
    let statement = side.connection.prepare(&sql);
    statement.map(Some).map_err(RowsError::doing(format!("read the rows of {}", pair.name)))
}

fn stream<'s>(
    pair: &'s TablePair<'_>,
    statement: Option<&'s mut rusqlite::Statement<'_>>,
    range: Option<(i64, i64)>,
) -> Result<Stream<'s>, RowsError> {
    let rows = statement.map(|statement| match range {
        Some((first, last)) => statement.query([first, last]),
        None => statement.query([]),
    });
    let rows = rows.transpose();
    let rows =
        rows.map_err(|error| RowsError::doing(format!("read the rows of {}", pair.name))(error))?;
    let end = match (range, &pair.key[..]) {
        (Some((_, last)), [part]) => Some((part.field, last)),
        _ => None,
    };
    Ok(Stream::new(rows, pair.name, end))
}
