//! One of the two databases.

use rusqlite::Connection;

use super::leaves::Pages;

/// A database of a connection. It should be in a read transaction, or immutable, so that it is one state.
#[derive(Debug, Clone, Copy)]
pub struct Side<'a> {
    /// The connection.
    pub connection: &'a Connection,
    /// The name that the connection has for the database: `main`, or that of an ATTACH.
    pub schema: &'a str,
    /// Its pages, if they can be read as this connection sees them: then what is equal page by page is not read row by row.
    pub pages: Option<Pages<'a>>,
}

impl<'a> Side<'a> {
    /// A side that is read through SQLite alone.
    #[must_use]
    pub fn new(connection: &'a Connection, schema: &'a str) -> Side<'a> {
        Side { connection, schema, pages: None }
    }
}
