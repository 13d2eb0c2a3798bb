//! One of the two databases.

use rusqlite::Connection;

/// A database of a connection. It should be in a read transaction, or immutable, so that it is one state.
#[derive(Debug, Clone, Copy)]
pub struct Side<'a> {
    /// The connection.
    pub connection: &'a Connection,
    /// The name that the connection has for the database: `main`, or that of an ATTACH.
    pub schema: &'a str,
}
