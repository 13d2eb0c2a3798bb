//! What ends a command, and the exit code that says so.

use std::fmt;
use std::process::ExitCode;

use crate::escape;

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
}

/// An error with the exit code that it leads to.
#[derive(Debug)]
pub struct Failure {
    code: Code,
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl Failure {
    /// `error` ends the command with `code`.
    pub fn new(code: Code, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Failure {
        Failure { code, source: error.into() }
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
        let text = self.source.to_string();
        f.write_str(&text)?;
        let mut cause = self.source.source();
        let mut said = text;
        while let Some(error) = cause {
            let text = error.to_string();
            // Some libraries repeat their cause in their own message.
            if !said.contains(&text) {
                write!(f, ": {text}")?;
                said = text;
            }
            cause = error.source();
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}

impl From<ebbtide_config::Error> for Failure {
    fn from(error: ebbtide_config::Error) -> Failure {
        Failure::new(Code::Usage, error)
    }
}

/// Ends the process's work: an error is printed, and either way there is a code.
#[must_use]
pub fn report(result: Result<Outcome, Failure>) -> ExitCode {
    match result {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Child(code)) => ExitCode::from(code),
        Err(failure) => {
            eprintln!("ebbtide: {}", escape::message(&failure.to_string()));
            ExitCode::from(failure.code as u8)
        }
    }
}
