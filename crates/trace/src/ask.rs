//! Asks a question at one state.

use std::sync::{Arc, OnceLock};

use ebbtide_moment::Moment;
use ebbtide_rows::ValueRef;
use ebbtide_sql::{Error as SqlError, PageSet, Past, clock_was_read, forget_clock};
use rusqlite::fallible_iterator::FallibleIterator as _;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::{Batch, ErrorCode, Statement};

use crate::answer::{Answer, Answering};
use crate::error::{Result, TraceError};
use crate::question::{Question, Unsuitable, is_refused};

/// The answer at a state, and the pages that it depends on.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) answer: Answer,
    pub(crate) reads: PageSet,
}

/// Asks on a connection of its own, so that no page hides in SQLite's cache. On a thread that may wait.
pub(crate) fn ask(question: &Question, moment: &Moment) -> Result<Asked> {
    let mut past = Past::connect(moment).map_err(TraceError::Sql)?;
    let refused = refuse(&mut past)?;
    forget_clock();
    let answer = match answer(question, &past, &refused) {
        Ok(answer) => answer,
        Err(Stopped::Unsuitable(why)) => return Err(why.into()),
        Err(Stopped::Sqlite(error)) => match past.explain(error) {
            SqlError::Sqlite(error) => Answer::fault(fault(&error)?),
            SqlError::Moment(error) => return Err(error.into()),
            other => return Err(TraceError::Sql(other)),
        },
    };
    if clock_was_read() {
        return Err(Unsuitable::Clock.into());
    }
    Ok(Asked { answer, reads: past.main().take_reads() })
}

/// Why there is no answer.
enum Stopped {
    Unsuitable(Unsuitable),
    Sqlite(rusqlite::Error),
}

impl From<rusqlite::Error> for Stopped {
    fn from(error: rusqlite::Error) -> Stopped {
        Stopped::Sqlite(error)
    }
}

/// The first function that was refused.
type Refused = Arc<OnceLock<String>>;

/// Refuses functions whose value the database does not decide.
fn refuse(past: &mut Past) -> Result<Refused> {
    let refused = Refused::default();
    let noted = Arc::clone(&refused);
    let authorize = move |context: AuthContext<'_>| match context.action {
        AuthAction::Function { function_name } if is_refused(function_name) => {
            noted.get_or_init(|| function_name.to_owned());
            Authorization::Deny
        }
        _ => Authorization::Allow,
    };
    past.authorizer(Some(authorize)).map_err(|error| TraceError::Sql(error.into()))?;
    Ok(refused)
}

fn answer(question: &Question, past: &Past, refused: &Refused) -> Result<Answer, Stopped> {
    let mut batch = Batch::new(past, question.sql());
    let statement = match batch.next() {
        Err(_) if refused.get().is_some() => {
            let name = refused.get().cloned().unwrap_or_default();
            return Err(Stopped::Unsuitable(Unsuitable::Function(name)));
        }
        prepared => prepared?,
    };
    let Some(mut statement) = statement else {
        return Err(Stopped::Unsuitable(Unsuitable::NotOne));
    };
    if statement.column_count() == 0 || !statement.readonly() {
        return Err(Stopped::Unsuitable(Unsuitable::NoQuery));
    }
    let answer = rows(&mut statement, question.is_ordered())?;
    drop(statement);
    match batch.next() {
        Ok(None) => Ok(answer),
        _ => Err(Stopped::Unsuitable(Unsuitable::NotOne)),
    }
}

fn rows(statement: &mut Statement<'_>, is_ordered: bool) -> rusqlite::Result<Answer> {
    let columns: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let count = columns.len();
    let mut answering = Answering::new(columns, is_ordered);
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let values = (0..count).map(|at| row.get_ref(at).map(ValueRef::from));
        answering.take(&values.collect::<rusqlite::Result<Vec<_>>>()?);
    }
    Ok(answering.end())
}

/// What SQLite says in the place of an answer, if that is because of what the database has; what the question itself is
/// wrong in fails.
fn fault(error: &rusqlite::Error) -> Result<String> {
    let message = match error {
        rusqlite::Error::SqlInputError { msg, .. } => msg.clone(),
        rusqlite::Error::SqliteFailure(_, Some(message)) => message.clone(),
        other => other.to_string(),
    };
    let is_syntax = ["syntax error", "incomplete input", "unrecognized token"];
    if is_syntax.iter().any(|text| message.contains(text)) {
        return Err(Unsuitable::Syntax(message).into());
    }
    match error.sqlite_error_code() {
        None | Some(ErrorCode::Unknown | ErrorCode::TypeMismatch | ErrorCode::TooBig) => {
            Ok(message)
        }
        Some(_) => Err(TraceError::Sql(SqlError::Sqlite(rusqlite::Error::SqliteFailure(
            error.sqlite_error().copied().unwrap_or(rusqlite::ffi::Error::new(1)),
            Some(message),
        )))),
    }
}
