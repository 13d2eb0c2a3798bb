//! The commands that read a replica, or ask a running process.

mod let_go;
pub(crate) mod log;
pub(crate) mod restore;
pub(crate) mod status;
pub(crate) mod sync;
pub(crate) mod verify;

mod remark;
mod tally;

use ebbtide_restore::Error;

use crate::exit::{Code, Failure};

/// An error of a restore or a verification with its exit code.
pub(crate) fn failure(error: Error) -> Failure {
    let code = match &error {
        Error::Nothing(_) => Code::Nothing,
        Error::Damaged { .. }
        | Error::Newer { .. }
        | Error::Unsound { .. }
        | Error::Unexpected { .. } => Code::Damaged,
        _ => Code::Failed,
    };
    Failure::new(code, error)
}
