//! A database that is read in one state, from the first statement to the last: a file as it is, or a state of a replica.

use std::path::{Path, PathBuf};

use ebbtide_export::{ExportError, read_past_orders};
use ebbtide_moment::{Moment, Proof};
use ebbtide_rows::{RowsError, Schema};
use ebbtide_sql::Past;
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::args::Read;
use crate::commands::past;
use crate::database_file::{DatabaseFile, Looked};
use crate::exit::{Code, Failure, Outcome};
use crate::logging;
use crate::source::Source;
use crate::when::When;

/// What was named, found and not opened yet.
#[derive(Debug)]
enum ToBeRead {
    File(PathBuf),
    State { source: String, moment: Moment, read_as: Option<String> },
}

/// The database.
#[derive(Debug)]
pub(crate) enum OneState {
    /// A file.
    File { name: String, file: Box<DatabaseFile> },
    /// A state of a replica, each page of which is proved as it is read.
    State { source: String, moment: Moment, read_as: Option<String>, past: Box<Past> },
}

/// Finds what was named, and works on it on a thread that may wait for pages.
///
/// # Errors
/// When there is nothing, or the work fails.
pub(crate) async fn with(
    read: &Read,
    work: impl FnOnce(&OneState) -> Result<Outcome, Failure> + Send + 'static,
) -> Result<Outcome, Failure> {
    let place = find(read).await?;
    let working = tokio::task::spawn_blocking(move || work(&OneState::open(place)?));
    working.await.map_err(|error| Failure::new(Code::Failed, error))?
}

/// A file that is there is read as it is, unless a time is named.
async fn find(read: &Read) -> Result<ToBeRead, Failure> {
    let path = Path::new(&read.source);
    if read.at.is_none() && path.is_file() {
        return Ok(ToBeRead::File(path.to_path_buf()));
    }
    let source = Source::find(&read.source, &read.access)?;
    let replica = past::open(&source).await?;
    let when = match &read.at {
        Some(when) => when.clone(),
        None => "now".parse::<When>().map_err(|error| Failure::new(Code::Usage, error))?,
    };
    // What is written elsewhere is proved page by page.
    let (moment, read_as) = past::moment(&replica, &when, Proof::Page).await?;
    logging::note(format_args!(
        "read txid {} of {}, {}",
        moment.txid(),
        moment.time(),
        moment.proof()
    ));
    Ok(ToBeRead::State { source: read.source.clone(), moment, read_as })
}

impl OneState {
    fn open(place: ToBeRead) -> Result<OneState, Failure> {
        match place {
            ToBeRead::File(path) => {
                let file = Box::new(Looked::at(&path)?.open()?);
                Ok(OneState::File { name: path.display().to_string(), file })
            }
            ToBeRead::State { source, moment, read_as } => {
                let past = Box::new(Past::connect(&moment).map_err(past::sql_failure)?);
                Ok(OneState::State { source, moment, read_as, past })
            }
        }
    }

    /// A connection that sees one state.
    pub(crate) fn connection(&self) -> &Connection {
        match self {
            OneState::File { file, .. } => &file.connection,
            OneState::State { past, .. } => past,
        }
    }

    /// Its schema.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) fn schema(&self) -> Result<Schema, Failure> {
        Schema::read(self.connection(), "main").map_err(|error| self.failure(error.into()))
    }

    /// The same, after which tables are read whose orders only their application knows.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) fn schema_of_all(&self) -> Result<Schema, Failure> {
        let schema = self.schema()?;
        let connection = self.connection();
        read_past_orders(connection, &schema).map_err(|error| self.failure(error))?;
        Ok(schema)
    }

    /// Sees to it that what was read by now was one state.
    ///
    /// # Errors
    /// When it was not.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        match self {
            OneState::File { file, .. } => file.check(),
            // It cannot change.
            OneState::State { .. } => Ok(()),
        }
    }

    /// An error with its exit code, and with the object that could not be read.
    pub(crate) fn failure(&self, error: ExportError) -> Failure {
        let code = match &error {
            ExportError::Usage(_) => Code::Usage,
            ExportError::Sqlite { source, .. }
            | ExportError::Schema(RowsError::Sqlite { source, .. }) => Code::of_sqlite(source),
            _ => Code::Failed,
        };
        let cause = match self {
            OneState::State { past, .. } => past.main().take_failure(),
            OneState::File { .. } => None,
        };
        match cause {
            Some(cause) => past::failure(cause),
            None => Failure::new(code, error),
        }
    }

    /// What it is, in words.
    pub(crate) fn describe(&self) -> String {
        match self {
            OneState::File { name, .. } => name.clone(),
            OneState::State { source, moment, .. } => {
                format!("{source} at txid {} of {}", moment.txid(), moment.time())
            }
        }
    }

    /// What it is, for programs.
    pub(crate) fn as_json(&self) -> Value {
        match self {
            OneState::File { name, .. } => json!({ "file": name }),
            OneState::State { source, moment, read_as, .. } => json!({
                "replica": source,
                "txid": moment.txid().to_string(),
                "time": moment.time().to_string(),
                "proof": moment.proof().name(),
                "read_as": read_as,
            }),
        }
    }
}
