//! What can go wrong with a connection to the past.

use ebbtide_moment::Error as MomentError;

/// What a call of this crate gives.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a connection or a statement failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A page could not be read.
    #[error(transparent)]
    Moment(#[from] MomentError),
    /// SQLite refuses.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    /// It was cancelled.
    #[error("interrupted")]
    Cancelled,
    /// SQLite has one encoding of text for a connection.
    #[error(
        "{name} is encoded in {theirs} and main in {ours}, and SQLite cannot have both in one connection: ask them one \
         by one"
    )]
    Encoding {
        /// The schema that was to be attached.
        name: String,
        /// Its encoding.
        theirs: &'static str,
        /// That of the main schema.
        ours: String,
    },
    /// SQLite's VFS is not there, or refuses ours.
    #[error("SQLite takes no further VFS")]
    NoVfs,
}
