//! Why a search ends without a result.

use ebbtide_catalog::{CatalogError, PlanError};
use ebbtide_moment::Error as MomentError;
use ebbtide_replica::Txid;
use ebbtide_rows::RowsError;
use ebbtide_sql::Error as SqlError;

use crate::question::Unsuitable;

/// What a call of this crate gives.
pub type Result<T, E = TraceError> = std::result::Result<T, E>;

/// Why a search ends without a result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TraceError {
    /// The question is none that the database alone answers.
    #[error(transparent)]
    Unsuitable(#[from] Unsuitable),
    /// A state cannot be read.
    #[error(transparent)]
    Moment(#[from] MomentError),
    /// There is no such state.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The index of an object cannot be read.
    #[error(transparent)]
    Index(#[from] CatalogError),
    /// SQLite fails.
    #[error(transparent)]
    Sql(SqlError),
    /// Rows cannot be compared.
    #[error(transparent)]
    Rows(#[from] RowsError),
    /// Entries are missing.
    #[error("the history before txid {0} is missing: no object has the entry before it")]
    Hole(Txid),
}
