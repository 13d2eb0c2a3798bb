//! Errors of comparing and giving back rows, with their exit codes.

use std::io;

use ebbtide_rows::RowsError;

use crate::exit::{Code, Failure};
use crate::output;

/// The failure that an error leads to.
pub(super) fn failure(error: RowsError) -> Failure {
    let code = match &error {
        RowsError::NoTable { .. } | RowsError::Encodings { .. } => Code::Usage,
        RowsError::Nameless { .. } => Code::NotAllowed,
        RowsError::Unordered { .. } => Code::Damaged,
        RowsError::Sqlite { source, .. } => Code::of_sqlite(source),
        RowsError::Page(_) | RowsError::Write(_) => Code::Failed,
    };
    Failure::new(code, error)
}

/// A comparison that nobody reads any more ends.
pub(super) fn still_read() -> Result<(), RowsError> {
    match output::is_gone() {
        true => Err(io::Error::from(io::ErrorKind::BrokenPipe).into()),
        false => Ok(()),
    }
}
