//! Why something cannot be had.

use ebbtide_catalog::CatalogError;
use ebbtide_keys::KeysError;
use ebbtide_moment::Error as MomentError;
use ebbtide_restore::Error as RestoreError;
use ebbtide_rows::RowsError;
use ebbtide_sql::Error as SqlError;
use ebbtide_store::{LocationError, StoreError};
use ebbtide_trace::TraceError;

/// What a call of this crate gives.
pub type Result<T> = std::result::Result<T, Error>;

/// Why something cannot be had. Each says what, and names the object of the replica if it is one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It is no address of a replica.
    #[error(transparent)]
    Address(#[from] LocationError),
    /// The store cannot be reached, or refuses.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no such state, or what would give it is damaged or gone.
    #[error(transparent)]
    Moment(#[from] MomentError),
    /// The history cannot be read.
    #[error(transparent)]
    History(#[from] CatalogError),
    /// The database cannot be restored.
    #[error(transparent)]
    Restore(#[from] RestoreError),
    /// SQLite fails.
    #[error(transparent)]
    Sql(SqlError),
    /// Rows cannot be compared.
    #[error(transparent)]
    Rows(#[from] RowsError),
    /// A question cannot be answered.
    #[error(transparent)]
    Trace(TraceError),
    /// An identity cannot be used.
    #[error(transparent)]
    Identity(#[from] KeysError),
    /// Nothing comes before the first transaction.
    #[error("nothing comes before the first transaction")]
    BeforeAll,
    /// A task of ours was broken off, which happens when the runtime shuts down, or it panicked.
    #[error("it was broken off: {0}")]
    BrokenOff(#[from] tokio::task::JoinError),
}

impl From<SqlError> for Error {
    fn from(error: SqlError) -> Error {
        match error {
            SqlError::Moment(error) => Error::Moment(error),
            other => Error::Sql(other),
        }
    }
}

impl From<TraceError> for Error {
    fn from(error: TraceError) -> Error {
        match error {
            TraceError::Moment(error) => Error::Moment(error),
            TraceError::Rows(error) => Error::Rows(error),
            TraceError::Sql(error) => error.into(),
            other => Error::Trace(other),
        }
    }
}
