//! What ends a command, and the exit code that says so.

use std::fmt;
use std::io::{self, ErrorKind};
use std::process::ExitCode;

use ebbtide_catalog::PlanError;
use ebbtide_sidecar::Gravity;
use ebbtide_store::{KeyError, error_chain};
use rusqlite::ErrorCode;

use crate::{logging, output};

/// How a command that did not fail ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It did what was asked.
    Done,
    /// The child of `--exec` ended with this code.
    Child(u8),
}

/// Why a command failed, as far as the exit code tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Code {
    /// It failed.
    Failed = 1,
    /// It was used wrongly.
    Usage = 2,
    /// There is nothing to restore.
    Nothing = 3,
    /// Something is damaged, or cannot be proved.
    Damaged = 4,
    /// Another writer owns the replica.
    Fenced = 5,
    /// It was not done, or not all of it, because of conflicts, differences or losses that were not allowed.
    NotAllowed = 6,
}

impl Code {
    /// The exit code of what stopped the following of a database.
    #[must_use]
    pub fn of(gravity: Gravity) -> Code {
        match gravity {
            Gravity::Failed => Code::Failed,
            Gravity::Damaged => Code::Damaged,
            Gravity::Fenced => Code::Fenced,
        }
    }
}

impl Code {
    /// The exit code of a state that cannot be planned for, whoever wanted it.
    pub(crate) fn of_plan(error: &PlanError) -> Code {
        match error {
            PlanError::Nothing(_) => Code::Nothing,
            PlanError::Key(error) => Code::of_key(error),
            PlanError::Damaged { .. } | PlanError::Newer { .. } | PlanError::Unexpected { .. } => {
                Code::Damaged
            }
            _ => Code::Failed,
        }
    }

    /// The exit code of a secret key that is not to be had.
    pub(crate) fn of_key(error: &KeyError) -> Code {
        match error {
            KeyError::NoIdentity { .. } | KeyError::Identity(_) => Code::Usage,
            KeyError::Foreign { .. }
            | KeyError::Missing { .. }
            | KeyError::Damaged { .. }
            | KeyError::Stray { .. } => Code::Damaged,
            KeyError::Store(_) => Code::Failed,
        }
    }

    /// The exit code of what SQLite says of a database that it reads.
    pub(crate) fn of_sqlite(error: &rusqlite::Error) -> Code {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Code::Damaged,
            _ => Code::Failed,
        }
    }
}

/// An error with the exit code that it leads to.
#[derive(Debug)]
pub struct Failure {
    code: Code,
    source: Box<dyn std::error::Error + Send + Sync>,
    is_told: bool,
}

impl Failure {
    /// `error` ends the command with `code`.
    pub fn new(code: Code, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Failure {
        Failure { code, source: error.into(), is_told: false }
    }

    /// The same, after it was logged: it is not said again at the end.
    #[must_use]
    pub fn told(self) -> Failure {
        Failure { is_told: true, ..self }
    }

    /// The exit code.
    #[must_use]
    pub fn code(&self) -> Code {
        self.code
    }
}

impl fmt::Display for Failure {
    /// The whole chain of causes, in one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&error_chain(self.source.as_ref()))
    }
}

impl std::error::Error for Failure {}

impl From<ebbtide_config::Error> for Failure {
    fn from(error: ebbtide_config::Error) -> Failure {
        Failure::new(Code::Usage, error)
    }
}

/// Says what went wrong, unless it was said before.
pub(crate) fn say(failure: &Failure) {
    if !failure.is_told {
        logging::fail(failure);
    }
}

/// Ends a process that was asked for help or its version, or was used wrongly.
#[must_use]
pub fn answer(answer: &clap::Error) -> ExitCode {
    let is_refusal = answer.use_stderr();
    match answer.print() {
        _ if is_refusal => ExitCode::from(Code::Usage as u8),
        Err(error) if error.kind() != ErrorKind::BrokenPipe => report(Err(unwritten(&error))),
        _ => ExitCode::SUCCESS,
    }
}

/// A result could not be written.
fn unwritten(error: &io::Error) -> Failure {
    Failure::new(Code::Failed, format!("write to standard output: {error}"))
}

/// Ends the process's work: an error is said, once, and either way there is a code.
#[must_use]
pub fn report(result: Result<Outcome, Failure>) -> ExitCode {
    // Whatever else went wrong is graver than a result that could not be written.
    let result = match (result, output::finish()) {
        (Ok(_), Some(error)) => Err(unwritten(&error)),
        (result, _) => result,
    };
    match result {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Child(code)) => ExitCode::from(code),
        Err(failure) => {
            say(&failure);
            ExitCode::from(failure.code as u8)
        }
    }
}
