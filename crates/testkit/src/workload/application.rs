//! The application itself: its connections, its readers, and what it does next.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, Result};

use super::options::Options;
use super::step::{Shape, Step, Table};
use crate::random::Random;

/// What is called after each commit, with the connection that made it.
pub type Committed<'a> = &'a mut dyn FnMut(&Connection);

/// An application that runs one step after another. What it knows of its tables it asks the database, so it carries on
/// with whatever is there.
#[derive(Debug)]
pub struct Workload {
    pub(super) path: PathBuf,
    pub(super) options: Options,
    pub(super) random: Random,
    pub(super) connections: Vec<Connection>,
    pub(super) readers: Vec<Connection>,
    seed: u64,
    steps: u64,
}

impl Workload {
    /// Opens the database at `path`, which is created where there is none, and makes it ready for the first step. That
    /// is one commit on a new database, and none on one that a workload has made.
    ///
    /// # Errors
    ///
    /// When SQLite cannot open it.
    pub fn new(path: &Path, seed: u64, options: Options) -> Result<Workload> {
        let first = open(path, &options)?;
        // The number of the last commit makes every commit differ from all others, so that an image names one commit.
        first.execute_batch(
            "BEGIN IMMEDIATE;
             CREATE TABLE IF NOT EXISTS commits (id INTEGER PRIMARY KEY, n INTEGER NOT NULL);
             INSERT OR IGNORE INTO commits VALUES (1, 0);
             COMMIT",
        )?;
        let mut workload = Workload {
            path: path.to_owned(),
            options,
            random: Random::new(seed),
            connections: vec![first],
            readers: Vec::new(),
            seed,
            steps: 0,
        };
        workload.connect()?;
        Ok(workload)
    }

    /// Does the next thing, calls `committed` after each commit of it, and tells what it was.
    ///
    /// A commit that changes nothing is one, too: VACUUM may leave every byte as it is.
    ///
    /// # Errors
    ///
    /// When SQLite refuses something. A checkpoint that finds the database busy is no error.
    pub fn step(&mut self, committed: Committed<'_>) -> Result<Step> {
        self.steps += 1;
        let shape = self.shape()?;
        let step = Step::random(&mut self.random, &self.options, &shape);
        self.perform(&step, committed)?;
        Ok(step)
    }

    /// Does this, makes the table that it needs first, and calls `committed` after each commit.
    ///
    /// # Errors
    ///
    /// As [`Workload::step`].
    pub fn take(&mut self, step: &Step, committed: Committed<'_>) -> Result<()> {
        self.steps += 1;
        let missing = step.table().filter(|table| !self.has(*table));
        if let Some(table) = missing {
            self.perform(&Step::CreateTable(table), committed)?;
        }
        self.perform(step, committed)
    }

    fn has(&self, table: Table) -> bool {
        tables(&self.connections[0]).is_ok_and(|tables| tables.contains(&table))
    }

    /// How its database is set up.
    #[must_use]
    pub const fn options(&self) -> &Options {
        &self.options
    }

    /// Opens as many connections as there ought to be.
    pub(super) fn connect(&mut self) -> Result<()> {
        while self.connections.len() < self.options.connections as usize {
            self.connections.push(open(&self.path, &self.options)?);
        }
        Ok(())
    }

    fn shape(&self) -> Result<Shape> {
        let connection = &self.connections[0];
        let tables = tables(connection)?;
        let size = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size";
        let bytes = connection.query_row(size, [], |row| row.get(0))?;
        Ok(Shape { tables, readers: self.readers.len(), bytes })
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {} at step {} with {}", self.seed, self.steps, self.options)
    }
}

/// The rows of all tables together.
///
/// # Errors
///
/// When SQLite cannot read them.
pub fn rows(sql: &Connection) -> Result<i64> {
    let count = |table| {
        let count = format!("SELECT count(*) FROM {table}");
        sql.query_row(&count, [], |row| row.get::<_, i64>(0))
    };
    tables(sql)?.into_iter().map(count).sum()
}

fn tables(sql: &Connection) -> Result<Vec<Table>> {
    let mut query = sql.prepare(
        "SELECT CAST(substr(name, 2) AS INTEGER) FROM sqlite_schema
         WHERE type = 'table' AND name GLOB 't[0-9]*' ORDER BY 1",
    )?;
    query.query_map([], |row| row.get(0).map(Table))?.collect()
}

/// A connection as the options want it. The first one on a new database decides its page size and vacuum mode.
fn open(path: &Path, options: &Options) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_URI;
    let connection = Connection::open_with_flags(uri(path, options), flags)?;
    connection.busy_timeout(Duration::from_secs(30))?;
    // On a database that has pages already, auto_vacuum would be a commit that nobody is told of.
    if connection.pragma_query_value(None, "page_count", |row| row.get::<_, i64>(0))? == 0 {
        connection.pragma_update(None, "page_size", options.page_size.get())?;
        connection.pragma_update(None, "auto_vacuum", options.auto_vacuum.name())?;
    }
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", options.synchronous.name())?;
    connection.pragma_update(None, "cache_size", options.cache_pages)?;
    connection.pragma_update(None, "wal_autocheckpoint", options.autocheckpoint)?;
    if let Some(bytes) = options.journal_size_limit {
        connection.pragma_update(None, "journal_size_limit", bytes)?;
    }
    Ok(connection)
}

/// `psow` can be told to SQLite in the name of the file alone.
fn uri(path: &Path, options: &Options) -> String {
    let name = path.to_str().expect("a test's paths are UTF-8");
    let name = name.replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    format!("file:{name}?psow={}", u8::from(options.powersafe_overwrite))
}
