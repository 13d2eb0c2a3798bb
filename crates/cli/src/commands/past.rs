//! States of a replica for the commands that ask the past.

use std::sync::Arc;

use ebbtide_moment::{Error, IndexCache, Moment, Options, Proof, Replica};
use ebbtide_sql::Error as SqlError;

use super::choice::target;
use crate::exit::{Code, Failure};
use crate::source::Source;
use crate::when::When;
use crate::{logging, user_directory};

/// Looks at the replica.
///
/// # Errors
/// When there is none, or it cannot be read.
pub(crate) async fn open(source: &Source) -> Result<Replica, Failure> {
    let store = source.open().await?;
    let options = Options { indexes: indexes(), ..Options::default() };
    Replica::open(store, options).await.map_err(failure)
}

/// Indexes of replicas in the user's cache directory; nothing where there is no such place.
fn indexes() -> Option<Arc<IndexCache>> {
    let opened = IndexCache::open(&user_directory::cache("indexes")?);
    opened.inspect_err(|error| tracing::debug!(%error, "indexes are not kept")).ok()
}

/// The state that is meant, with how that was read, if the argument does not say it itself. What the user ought to know is
/// said.
///
/// # Errors
/// When there is no such state, or it cannot be read.
pub(crate) async fn moment(
    replica: &Replica,
    when: &When,
    proof: Proof,
) -> Result<(Moment, Option<String>), Failure> {
    let now = ebbtide_sidecar::clock::now();
    let (target, read_as) = target(Some(when), None, now)?;
    if let Some(read_as) = &read_as {
        logging::note(read_as);
    }
    let moment = replica.at(target, now, proof).await.map_err(failure)?;
    for notice in &moment.outline().notices {
        logging::note(notice);
    }
    Ok((moment, read_as))
}

/// How far what is read is proved, by `--prove`.
pub(crate) fn proof(prove: bool) -> Proof {
    if prove { Proof::Page } else { Proof::Block }
}

/// An error of reading with its exit code.
pub(crate) fn failure(error: Error) -> Failure {
    let code = match &error {
        Error::Plan(plan) => Code::of_plan(plan),
        error if error.is_damage() => Code::Damaged,
        _ => Code::Failed,
    };
    Failure::new(code, error)
}

/// An error of a connection with its exit code.
pub(crate) fn sql_failure(error: SqlError) -> Failure {
    match error {
        SqlError::Moment(error) => failure(error),
        SqlError::Sqlite(error) => Failure::new(Code::of_sqlite(&error), error),
        error => Failure::new(Code::Failed, error),
    }
}
