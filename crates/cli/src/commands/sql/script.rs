//! Statements one after the other, until one fails.

use std::io::BufRead;

use ebbtide_sql::{Past, is_complete};
use rusqlite::Batch;
use rusqlite::fallible_iterator::FallibleIterator as _;

use super::answer::Answers;
use crate::commands::past::sql_failure;
use crate::exit::{Code, Failure};
use crate::output;

/// No statement of a script is longer than SQLite takes.
const STATEMENT_BYTES_MAX: usize = 1_000_000_000;

/// Runs all statements of a text.
pub(super) fn run(past: &Past, sql: &str, answers: &mut Answers) -> Result<(), Failure> {
    let mut batch = Batch::new(past, sql);
    let explained = |error| sql_failure(past.explain(error));
    while let Some(mut statement) = batch.next().map_err(explained)? {
        let before = past.total_changes();
        answers.print(&mut statement).map_err(explained)?;
        answers.changed(past.total_changes() - before);
        if output::is_gone() {
            break;
        }
    }
    Ok(())
}

/// The same as they come in, each as soon as it is complete.
pub(super) fn run_all(
    past: &Past,
    mut input: impl BufRead,
    answers: &mut Answers,
) -> Result<(), Failure> {
    let mut statement = String::new();
    loop {
        let read = input.read_line(&mut statement);
        let read = read
            .map_err(|error| Failure::new(Code::Failed, format!("read standard input: {error}")))?;
        if statement.len() > STATEMENT_BYTES_MAX {
            return Err(Failure::new(Code::Usage, "a statement of more than a billion bytes"));
        }
        if read == 0 || is_complete(&statement) {
            run(past, &statement, answers)?;
            statement.clear();
        }
        if read == 0 || output::is_gone() {
            return Ok(());
        }
    }
}
