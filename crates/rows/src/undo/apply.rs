//! Runs an undo in a database.

use std::time::Duration;

use rusqlite::Connection;
use rusqlite::config::DbConfig;

use super::super::error::RowsError;
use super::check::{CONFLICTS, which};
use super::policy::Policy;
use super::print::begin;
use super::references::{new_violations, note_violations};
use super::sink::Undo;
use super::steps::Phase;

/// How long somebody else's transaction is waited for.
const BUSY: Duration = Duration::from_secs(5);

/// Conflicts that are told one by one; of more there is the number.
const CONFLICTS_TOLD_MAX: usize = 1000;

/// A row, or a table, that is not as the changes left it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The table.
    pub table: String,
    /// The row's key, as SQL; empty if it is about the table.
    pub row: String,
    /// What is the matter.
    pub what: String,
    /// What the row has by now.
    pub now: Option<String>,
    /// What the changes left it with.
    pub left: Option<String>,
    /// The condition by which the row that stands against it is found, as SQL over the table's columns.
    pub found: Option<String>,
}

/// What running an undo came to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Applied {
    /// Whether the database was changed.
    pub is_done: bool,
    /// The conflicts; those of a policy that goes on are of rows that were left as they are.
    pub conflicts: Vec<Conflict>,
    /// How many there are.
    pub conflicts_total: u64,
}

impl Undo {
    /// Runs it in `main` of a connection: all or nothing. Triggers and foreign keys are off meanwhile, because what they
    /// did is among what is undone; references that would lead nowhere are conflicts.
    ///
    /// # Errors
    /// When SQLite fails. Nothing is changed then.
    pub fn apply(&mut self, connection: &Connection) -> Result<Applied, RowsError> {
        let wrap = || RowsError::doing("undo");
        let triggers =
            connection.db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER).map_err(wrap())?;
        let references: bool =
            connection.pragma_query_value(None, "foreign_keys", |row| row.get(0)).map_err(wrap())?;
        connection.busy_timeout(BUSY).map_err(wrap())?;
        let set = |triggers: bool, references: bool| -> rusqlite::Result<()> {
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, triggers)?;
            connection.pragma_update(None, "foreign_keys", references)
        };
        set(false, false).map_err(wrap())?;
        let applied = self.run(connection);
        if !connection.is_autocommit() {
            connection.execute_batch("ROLLBACK").map_err(wrap())?;
        }
        set(triggers, references).map_err(wrap())?;
        applied
    }

    fn run(&mut self, connection: &Connection) -> Result<Applied, RowsError> {
        let run = |sql: &str| connection.execute_batch(sql).map_err(RowsError::doing("undo"));
        for sql in begin() {
            run(sql)?;
        }
        run("BEGIN IMMEDIATE")?;
        note_violations(&self.referring).iter().try_for_each(|sql| run(sql))?;
        for phase in Phase::ALL {
            if phase.is_for_scripts() {
                continue;
            }
            let result = self.steps.each(phase, run);
            // A statement may fail because of what a check before it has found.
            let applied = conflicts(connection, self.policy)?;
            if applied.conflicts_total > 0 && !applied.is_done {
                return Ok(applied);
            }
            result?;
        }
        new_violations(&self.referring[1]).iter().try_for_each(|sql| run(sql))?;
        let applied = conflicts(connection, self.policy)?;
        if applied.is_done {
            run("COMMIT")?;
        }
        Ok(applied)
    }
}

/// The conflicts by now, and whether the policy goes on in spite of them.
fn conflicts(connection: &Connection, policy: Policy) -> Result<Applied, RowsError> {
    let wrap = || RowsError::doing("read the conflicts");
    let count = |which: &str| {
        let sql = format!("SELECT count(*) FROM {CONFLICTS}{which}");
        let count = connection.query_row(&sql, [], |row| row.get::<_, i64>(0)).map_err(wrap())?;
        Ok::<_, RowsError>(count.unsigned_abs())
    };
    let is_done = count(which(policy))? == 0;
    let conflicts_total = count("")?;
    if conflicts_total == 0 {
        return Ok(Applied { is_done, ..Applied::default() });
    }
    let sql = format!(
        "SELECT \"table\", \"row\", what, now, \"left\", found FROM {CONFLICTS} LIMIT {CONFLICTS_TOLD_MAX}"
    );
    let mut statement = connection.prepare(&sql).map_err(wrap())?;
    let conflict = |row: &rusqlite::Row<'_>| {
        Ok(Conflict {
            table: text(row, 0)?.unwrap_or_default(),
            row: text(row, 1)?.unwrap_or_default(),
            what: text(row, 2)?.unwrap_or_default(),
            now: text(row, 3)?,
            left: text(row, 4)?,
            found: text(row, 5)?,
        })
    };
    let conflicts = statement.query_map([], conflict).map_err(wrap())?;
    let conflicts = conflicts.collect::<rusqlite::Result<_>>().map_err(wrap())?;
    Ok(Applied { is_done, conflicts, conflicts_total })
}

/// A text as people read it: SQLite takes any bytes for one.
fn text(row: &rusqlite::Row<'_>, at: usize) -> rusqlite::Result<Option<String>> {
    let bytes = row.get_ref(at)?.as_bytes_or_null()?;
    Ok(bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned()))
}
