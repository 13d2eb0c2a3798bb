//! An application in this process. One in a process of its own is `ebbtide_testkit`'s `Actor`; see [`Scene`].
//!
//! [`Scene`]: crate::scene::Scene

use std::ops::Deref;
use std::path::Path;

use ebbtide_testkit::oracle::{self, Image};
use rusqlite::Connection;

use super::PATIENCE;

/// A connection to a database in WAL mode with a table `t (id INTEGER PRIMARY KEY, b)`.
pub(crate) struct App(Connection);

impl App {
    /// Opens the database, which is made where there is none.
    pub(crate) fn open(database: &Path) -> App {
        App::prepared(
            database,
            "PRAGMA journal_mode = WAL; CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, b)",
        )
    }

    /// The same with a database that begins by this.
    pub(crate) fn prepared(database: &Path, sql: &str) -> App {
        let connection = Connection::open(database).unwrap();
        connection.execute_batch(sql).unwrap();
        App(connection)
    }

    /// So many commits, each with a row of so many bytes that no compression helps with.
    pub(crate) fn insert(&self, rows: u32, bytes: u32) {
        for _ in 0..rows {
            self.0.execute("INSERT INTO t (b) VALUES (randomblob(?1))", [bytes]).unwrap();
        }
    }

    /// A checkpoint, which may find the database busy.
    pub(crate) fn checkpoint(&self, mode: &str) {
        self.0.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |_| Ok(())).unwrap();
    }
}

impl Deref for App {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.0
    }
}

/// How many rows the table `t` of a database has.
pub(crate) fn rows(database: &Path) -> u32 {
    let database = Connection::open(database).unwrap();
    database.busy_timeout(PATIENCE).unwrap();
    database.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap()
}

/// What is committed in a database.
pub(crate) fn image(database: &Path) -> Image {
    Image::of(&oracle::committed(database).unwrap())
}
