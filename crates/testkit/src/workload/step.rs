//! What an application may do next.

use std::fmt;

use super::options::{AutoVacuum, Options};
use crate::random::Random;

/// One thing that an application does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Rows in one transaction.
    Insert(Rows),
    /// Rows, each in a transaction of its own.
    InsertEach(Rows),
    /// New bodies for rows that lie side by side.
    Update(Rows),
    /// One row in so many goes.
    Delete(Table, u32),
    /// The same few rows again and again, so many times, in one transaction: with a small cache their pages are
    /// overwritten in the log, and the checksums of all later frames computed again.
    Rewrite(Table, u32),
    /// Rows that are rolled back to a savepoint, then others in their place.
    Savepoint(Rows),
    /// Rows that are inserted, spilled where the cache is small, and rolled back.
    Rollback(Rows),
    /// Rows that are inserted and deleted within one transaction: the database grows by pages that nothing uses.
    Transient(Rows),
    /// Everything deleted, free pages given back, and rows inserted, all in one transaction.
    Regrow(Rows),
    /// A new table.
    CreateTable(Table),
    /// A table goes.
    DropTable(Table),
    /// An index, unless there is one.
    CreateIndex(Table),
    /// The index goes.
    DropIndex(Table),
    /// One more column with a default.
    AddColumn(Table),
    /// The whole database written again.
    Vacuum,
    /// The whole database overwritten through SQLite's backup interface, as by an application that brings back a copy
    /// of its own.
    Overwrite,
    /// Up to so many free pages given back.
    IncrementalVacuum(u32),
    /// A read transaction begins on a connection of its own.
    OpenReader,
    /// The oldest reader ends.
    CloseReader,
    /// A checkpoint, which may find the database busy.
    Checkpoint(CheckpointMode),
    /// One connection is closed and opened again.
    Reopen,
    /// All connections are closed, as when the application is restarted, and opened again. Where nobody else has the
    /// database open, SQLite deletes the log.
    Restart,
}

/// The number of a table, shown as SQL names it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Table(pub u32);

/// Rows to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rows {
    /// To this table.
    pub table: Table,
    /// How many.
    pub count: u32,
    /// The length of each body at most.
    pub bytes: u32,
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "t{}", self.0)
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// `PRAGMA wal_checkpoint`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckpointMode {
    /// As much as can be had without waiting.
    Passive,
    /// Everything, having waited for writers.
    Full,
    /// The same, so that the next writer starts the log again.
    Restart,
    /// The same, and the log is truncated to nothing.
    Truncate,
}

impl CheckpointMode {
    /// As SQLite spells it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            CheckpointMode::Passive => "passive",
            CheckpointMode::Full => "full",
            CheckpointMode::Restart => "restart",
            CheckpointMode::Truncate => "truncate",
        }
    }
}

impl CheckpointMode {
    /// The mode that SQLite spells so.
    #[must_use]
    pub fn named(name: &str) -> Option<CheckpointMode> {
        let modes = [Self::Passive, Self::Full, Self::Restart, Self::Truncate];
        modes.into_iter().find(|mode| mode.name() == name)
    }
}

/// What decides which steps make sense.
#[derive(Debug)]
pub(super) struct Shape {
    /// The tables there are, ascending by number.
    pub(super) tables: Vec<Table>,
    /// Readers that are open.
    pub(super) readers: usize,
    /// The size of the database.
    pub(super) bytes: i64,
}

const TABLES_MAX: usize = 6;
const READERS_MAX: usize = 5;

impl Step {
    /// The table that it writes rows to.
    pub(super) fn table(&self) -> Option<Table> {
        match self {
            Step::Insert(rows) | Step::InsertEach(rows) | Step::Rollback(rows) => Some(rows.table),
            _ => None,
        }
    }

    /// What an application of this shape does next.
    pub(super) fn random(random: &mut Random, options: &Options, shape: &Shape) -> Step {
        if shape.tables.is_empty() {
            return Step::CreateTable(Table(1));
        }
        let table = *random.choose(&shape.tables);
        if shape.bytes > i64::from(options.database_bytes_max) && !random.one_in(3) {
            return Step::shrinking(random, options, table);
        }
        match random.below(100) {
            0..60 => Step::on_rows(random, options, table),
            60..74 => Step::on_schema(random, options, shape, table),
            74..94 => Step::on_log(random, shape),
            94 => Step::Overwrite,
            95 | 96 => Step::Reopen,
            _ => Step::Restart,
        }
    }

    fn on_rows(random: &mut Random, options: &Options, table: Table) -> Step {
        let rows = Rows::random(random, options, table);
        match random.below(60) {
            0..14 => Step::Insert(rows),
            14..20 => Step::InsertEach(Rows { count: random.between(1, 5), ..rows }),
            20..30 => Step::Update(rows),
            30..36 => Step::Delete(table, random.between(1, 10)),
            36..41 => Step::Rewrite(table, random.between(2, 12)),
            41..46 => Step::Savepoint(rows),
            46..50 => Step::Rollback(rows),
            50..55 => Step::Transient(rows),
            _ => Step::Regrow(rows),
        }
    }

    fn on_schema(random: &mut Random, options: &Options, shape: &Shape, table: Table) -> Step {
        match random.below(14) {
            0..4 if shape.tables.len() < TABLES_MAX => {
                Step::CreateTable(Table(shape.tables.last().map_or(1, |last| last.0 + 1)))
            }
            4 | 5 if shape.tables.len() > 1 => Step::DropTable(table),
            6 | 7 => Step::CreateIndex(table),
            8 => Step::DropIndex(table),
            9 => Step::AddColumn(table),
            10 => Step::Vacuum,
            _ if options.auto_vacuum == AutoVacuum::Incremental => {
                Step::IncrementalVacuum(random.between(1, 50))
            }
            _ => Step::Delete(table, 2),
        }
    }

    fn on_log(random: &mut Random, shape: &Shape) -> Step {
        match random.below(20) {
            0..6 if shape.readers < READERS_MAX => Step::OpenReader,
            0..13 if shape.readers > 0 => Step::CloseReader,
            13 | 14 => Step::Checkpoint(CheckpointMode::Full),
            15 | 16 => Step::Checkpoint(CheckpointMode::Restart),
            17 => Step::Checkpoint(CheckpointMode::Truncate),
            _ => Step::Checkpoint(CheckpointMode::Passive),
        }
    }

    fn shrinking(random: &mut Random, options: &Options, table: Table) -> Step {
        match random.below(6) {
            0 => Step::DropTable(table),
            1 => Step::Vacuum,
            2 | 3 if options.auto_vacuum == AutoVacuum::Incremental => {
                Step::IncrementalVacuum(random.between(20, 500))
            }
            _ => Step::Delete(table, random.between(1, 2)),
        }
    }
}

impl Rows {
    /// One row to many, and fewer the longer they are: half a database at most.
    fn random(random: &mut Random, options: &Options, table: Table) -> Rows {
        let bytes = row_bytes(random, options.page_size.get());
        let most = (options.database_bytes_max / 2 / (bytes + 20)).clamp(1, 400);
        let most = if random.one_in(3) { most } else { most.min(12) };
        Rows { table, count: random.between(1, most), bytes }
    }
}

/// From nothing over a part of a page to many overflow pages.
fn row_bytes(random: &mut Random, page: u32) -> u32 {
    match random.below(10) {
        0..4 => random.between(0, 60),
        4..7 => random.between(0, page),
        7..9 => random.between(page / 2, 4 * page),
        _ => random.between(page, 20 * page),
    }
}
