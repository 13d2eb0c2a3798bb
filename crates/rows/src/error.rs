//! The errors of reading, comparing and giving back rows.

use rusqlite::ErrorCode;

/// Why rows were not read, compared or given back.
#[derive(Debug, thiserror::Error)]
pub enum RowsError {
    /// SQLite failed.
    #[error("{doing}")]
    Sqlite {
        /// What was attempted.
        doing: String,
        /// Why it failed.
        #[source]
        source: rusqlite::Error,
    },
    /// A table that was asked for is in neither database.
    #[error("there is no table {table} on either side")]
    NoTable {
        /// The name.
        table: String,
    },
    /// The databases keep text in two encodings, in which it has two orders.
    #[error("one database is in {old} and the other in {new}: they cannot be compared")]
    Encodings {
        /// The encoding of the old side.
        old: &'static str,
        /// The encoding of the new side.
        new: &'static str,
    },
    /// The rows of a table do not come in the order of its key.
    #[error(
        "the rows of {table} are not in the order of their key: its index is damaged, or was made by another collation; \
         `PRAGMA integrity_check` says which"
    )]
    Unordered {
        /// The table.
        table: String,
    },
    /// No statement of SQL can pick one of several equal rows.
    #[error(
        "a row of {table} cannot be named in SQL: it has no key, and its columns take all names of the rowid"
    )]
    Nameless {
        /// The table.
        table: String,
    },
    /// A page could not be read.
    #[error("read a page")]
    Page(#[source] std::io::Error),
    /// What was found could not be written.
    #[error("write the differences")]
    Write(#[from] std::io::Error),
}

impl RowsError {
    /// Wraps an error of SQLite's with what was attempted.
    pub(crate) fn doing(doing: impl Into<String>) -> impl FnOnce(rusqlite::Error) -> RowsError {
        let doing = doing.into();
        move |source| RowsError::Sqlite { doing, source }
    }

    /// SQLite's words, if it says that it lacks a module, a collation or a function that a schema needs. It has no code
    /// for that but the general one; those of a damaged file or a store that fails are others.
    pub(crate) fn lack(error: &rusqlite::Error) -> Option<String> {
        if error.sqlite_error_code() != Some(ErrorCode::Unknown) {
            return None;
        }
        match error {
            rusqlite::Error::SqliteFailure(_, Some(message)) => Some(message.clone()),
            rusqlite::Error::SqlInputError { msg, .. } => Some(msg.clone()),
            error => Some(error.to_string()),
        }
    }
}
