//! The commands that read a replica, or ask a running process.

pub(crate) mod blame;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod copy;
pub(crate) mod cost;
pub(crate) mod demo;
pub(crate) mod diff;
pub(crate) mod doctor;
pub(crate) mod drill;
pub(crate) mod dump;
pub(crate) mod export;
pub(crate) mod fixture;
pub(crate) mod fleet;
pub(crate) mod key;
pub(crate) mod keygen;
pub(crate) mod log;
pub(crate) mod man;
pub(crate) mod mark;
pub(crate) mod marks;
pub(crate) mod page;
pub(crate) mod prune;
mod release;
pub(crate) mod restore;
pub(crate) mod rewrap;
pub(crate) mod set;
pub(crate) mod sql;
pub(crate) mod status;
pub(crate) mod sync;
pub(crate) mod undo;
pub(crate) mod unlock;
pub(crate) mod verify;
pub(crate) mod when;

mod answered;
mod changes;
mod choice;
mod drilled;
mod mark_id;
mod mark_line;
mod marked;
mod neighbours;
pub(crate) mod past;
pub(crate) mod quote;
mod remark;
mod sources;
mod states;
mod taken;
mod tally;
mod thinned;
mod unrowed;
mod wrapped;

use ebbtide_catalog::CatalogError;
use ebbtide_restore::Error;

use crate::exit::{Code, Failure};

/// An error of a restore or a verification with its exit code.
pub(crate) fn failure(error: Error) -> Failure {
    Failure::new(code_of(&error), error)
}

fn code_of(error: &Error) -> Code {
    match error {
        Error::Plan(plan) => Code::of_plan(plan),
        Error::Unsound { .. } => Code::Damaged,
        _ => Code::Failed,
    }
}

/// An error of a replica that cannot be read with its exit code.
pub(crate) fn unreadable(error: CatalogError) -> Failure {
    let code = match &error {
        CatalogError::Key(error) => Code::of_key(error),
        error if error.is_about_object() => Code::Damaged,
        _ => Code::Failed,
    };
    Failure::new(code, error)
}
