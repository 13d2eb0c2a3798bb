//! The application: a writer that checkpoints, and a second connection whose checkpoint can be held up.

use std::fmt;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use rusqlite::Connection;

use crate::Result;
use crate::stall::{self, Gate};

/// How a database is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Health {
    Sound,
    Malformed,
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Health::Sound => "the database is sound",
            Health::Malformed => "the database is malformed",
        })
    }
}

pub(crate) struct Application {
    path: PathBuf,
    writer: Connection,
    /// The one that will be held up.
    checkpointer: Option<Connection>,
}

/// A checkpoint that is held up, or that found the lock taken.
pub(crate) struct Stalled {
    gate: Gate,
    checkpoint: JoinHandle<rusqlite::Result<()>>,
}

impl Application {
    pub(crate) fn open(path: &Path) -> Result<Application> {
        Ok(Application { path: path.to_owned(), writer: connect(path)?, checkpointer: None })
    }

    /// Makes a log of many frames.
    pub(crate) fn fill(&mut self) -> Result<()> {
        self.writer.execute_batch(
            "CREATE TABLE t (id INTEGER PRIMARY KEY, a, b); CREATE INDEX i ON t (a)",
        )?;
        self.insert(150)?;
        // It has to have read something before, and what comes after has to be news to it.
        self.checkpointer = Some(connect(&self.path)?);
        self.insert(1)
    }

    fn insert(&self, rows: u32) -> Result<()> {
        for _ in 0..rows {
            self.writer.execute("INSERT INTO t (a, b) VALUES (random(), randomblob(500))", [])?;
        }
        Ok(())
    }

    /// A checkpoint as SQLite makes one by itself. Whether it finds the lock taken is not asked.
    pub(crate) fn checkpoint(&self) -> Result<()> {
        Ok(passive(&self.writer)?)
    }

    /// Begins a checkpoint on the other connection. All of the log is in the database at this point.
    pub(crate) fn begin_stalled_checkpoint(&mut self) -> Result<Stalled> {
        let other = self.checkpointer.take().ok_or("there is no second connection")?;
        stall::install(&other)?;
        let gate = Gate::close();
        let checkpoint = std::thread::spawn(move || {
            let ended = passive(&other);
            // A checkpoint that could not even begin was never held up.
            stall::remove_gate();
            ended
        });
        println!(
            "  {}",
            match gate.arrived() {
                true => "the checkpointer has read the wal-index, and is held up",
                false => "the checkpointer finds the checkpoint lock taken",
            }
        );
        Ok(Stalled { gate, checkpoint })
    }

    /// Begins the log anew, if it may, and writes less than there was.
    pub(crate) fn write_a_little(&self) -> Result<()> {
        self.insert(3)
    }

    /// The checkpointer goes on.
    pub(crate) fn let_go(&self, stalled: Stalled) -> Result<()> {
        stalled.gate.open();
        Ok(stalled.checkpoint.join().map_err(|_| "the checkpointer panicked")??)
    }

    /// What is written now counts as copied, if the checkpointer got that far; the restarts after it lose that.
    pub(crate) fn write_more(&self) -> Result<()> {
        for _ in 0..8 {
            // Once pages are lost, a statement may find out before the check does.
            let wrote = self.insert(60).and_then(|()| self.checkpoint());
            if let Err(error) = wrote {
                println!("  the application sees: {error}");
                break;
            }
        }
        Ok(())
    }

    /// What SQLite's own check says.
    pub(crate) fn health(&self) -> Result<Health> {
        let check = connect(&self.path)?;
        let found: rusqlite::Result<String> =
            check.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0));
        Ok(match found {
            Ok(found) if found == "ok" => Health::Sound,
            Ok(found) => {
                println!("  integrity_check: {}", found.lines().collect::<Vec<_>>().join(" "));
                Health::Malformed
            }
            Err(error) => {
                println!("  integrity_check: {error}");
                Health::Malformed
            }
        })
    }

    pub(crate) fn rows(&self) -> Result<i64> {
        Ok(self.writer.query_row("SELECT count(*) FROM t", [], |row| row.get(0))?)
    }
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(std::time::Duration::from_secs(30))?;
    // Checkpoints come when this program says so.
    connection.execute_batch("PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0")?;
    Ok(connection)
}

fn passive(connection: &Connection) -> rusqlite::Result<()> {
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
}
