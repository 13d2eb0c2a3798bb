//! The tool is down while the application writes.

use std::path::Path;

use nix::sys::signal::Signal;

use crate::Result;
use crate::check;
use crate::results::Results;
use crate::rig::{Case, Rig, remove_database};
use crate::tool::Tool;
use crate::writer::{micros, open};

/// What the application does meanwhile.
#[derive(Debug, Clone, Copy)]
enum Meanwhile {
    /// Writes a little more into the log.
    Writes,
    /// Writes, and has SQLite empty the log, three times.
    Checkpoints,
    /// Deletes rows, closes the database, which removes the log, and opens it again.
    Reopens,
}

pub(crate) fn run(rig: &Rig, tools: &[Tool], results: &mut Results) -> Result<()> {
    for tool in tools {
        let mut exact = 0;
        for meanwhile in [Meanwhile::Writes, Meanwhile::Checkpoints, Meanwhile::Reopens] {
            let case = rig.case()?;
            let is_exact = is_exact(rig, tool, &case, meanwhile)?;
            eprintln!(
                "   {}: {meanwhile:?}: {}",
                tool.name(),
                if is_exact { "exact" } else { "NOT exact" }
            );
            exact += u32::from(is_exact);
        }
        results.add("downtime", "exact, of 3", tool.name(), f64::from(exact));
    }
    Ok(())
}

fn is_exact(rig: &Rig, tool: &Tool, case: &Case, meanwhile: Meanwhile) -> Result<bool> {
    let database = &case.pair.database;
    let mut connection = open(database)?;
    insert(&connection, 100)?;
    let sidecar = tool.replicate(std::slice::from_ref(&case.pair), &case.directory)?;
    rig.quiet_since(&case.prefix, 0)?;
    let since = micros();
    insert(&connection, 100)?;
    rig.quiet_since(&case.prefix, since)?;
    sidecar.signal(Signal::SIGKILL)?;
    drop(sidecar);
    match meanwhile {
        Meanwhile::Writes => insert(&connection, 30)?,
        Meanwhile::Checkpoints => {
            for _ in 0..3 {
                insert(&connection, 40)?;
                connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
            }
            insert(&connection, 7)?;
        }
        Meanwhile::Reopens => {
            insert(&connection, 40)?;
            connection.execute_batch("DELETE FROM t WHERE id % 3 = 0; VACUUM")?;
            drop(connection);
            connection = open(database)?;
            insert(&connection, 1)?;
        }
    }
    let since = micros();
    let sidecar = tool.replicate(std::slice::from_ref(&case.pair), &case.directory)?;
    rig.quiet_since(&case.prefix, since)?;
    let since = micros();
    insert(&connection, 5)?;
    rig.quiet_since(&case.prefix, since)?;
    sidecar.stop()?;
    drop(connection);
    restored_equals(tool, case, database)
}

fn restored_equals(tool: &Tool, case: &Case, database: &Path) -> Result<bool> {
    let out = case.directory.join("restored.db");
    remove_database(&out);
    let done = tool.restore(&case.pair, &case.directory, &out, None)?;
    Ok(done.status.success() && check::equal(database, &out).is_ok())
}

fn insert(connection: &rusqlite::Connection, rows: u32) -> Result<()> {
    for _ in 0..rows {
        connection.execute(
            "INSERT INTO t (at, body) VALUES (?, zeroblob(500))",
            [micros().cast_signed()],
        )?;
    }
    Ok(())
}
