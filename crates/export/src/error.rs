//! The errors of taking a database elsewhere.

use std::io;

use ebbtide_rows::RowsError;

/// Why a database was not taken elsewhere.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The schema cannot be read.
    #[error("read the schema")]
    Schema(#[from] RowsError),
    /// SQLite failed.
    #[error("{doing}")]
    Sqlite {
        /// What was attempted.
        doing: String,
        /// Why it failed.
        #[source]
        source: rusqlite::Error,
    },
    /// What was asked for makes no sense with this database.
    #[error("{0}")]
    Usage(String),
    /// The database changed between two readings, which are not within one transaction.
    #[error("{table} changed while it was read")]
    Changed {
        /// The table.
        table: String,
    },
    /// What was made could not be written.
    #[error("write what was made")]
    Write(#[from] io::Error),
}

pub(crate) type Result<T> = std::result::Result<T, ExportError>;

impl ExportError {
    /// Wraps an error of SQLite's with what was attempted.
    pub(crate) fn doing(doing: impl Into<String>) -> impl FnOnce(rusqlite::Error) -> ExportError {
        let doing = doing.into();
        move |source| ExportError::Sqlite { doing, source }
    }
}
