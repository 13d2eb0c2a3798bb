//! How the tasks of a process ended.

use ebbtide_config::Database;
use tokio::task::{JoinError, JoinSet};

use crate::exit::{Code, Failure};
use crate::follow::{FollowError, Status, chain};

/// The database of a task, and how it ended.
pub(super) type Ended = (Status, Result<(), FollowError>);

/// The tasks.
pub(super) type Tasks = JoinSet<Ended>;

/// The gravest failure decides the exit code, the first one of several.
#[derive(Debug, Default)]
pub(super) struct Failures {
    gravest: Option<Failure>,
}

impl Failures {
    /// Notes how a task ended. What ends the whole process is said once, by its end; while `others_go_on` it is logged.
    pub(super) fn take(&mut self, ended: Result<Ended, JoinError>, others_go_on: bool) {
        let (status, error) = match ended {
            Ok((status, Ok(()))) => {
                let progress = status.get();
                tracing::info!(
                    database = %progress.database.display(),
                    txid = progress.durable.map(|durable| tracing::field::display(durable.txid)),
                    "ended; everything that was committed is durable"
                );
                return;
            }
            Ok((status, Err(error))) => (status, error),
            Err(error) => {
                let failure =
                    Failure::new(Code::Failed, "the task of a database ended unexpectedly");
                tracing::error!(%error, "{failure}");
                return self.keep(failure.told());
            }
        };
        let name = status.get().database.display().to_string();
        let failure = Failure::new(error.code(), format!("{name}: {}", chain(&error)));
        if others_go_on || self.is_graver_than(&failure) {
            tracing::error!(database = name, error = chain(&error), "stopped");
            return self.keep(failure.told());
        }
        self.keep(failure);
    }

    /// Not everything is durable, or not everything went as it should have.
    pub(super) fn keep(&mut self, failure: Failure) {
        if !self.is_graver_than(&failure) {
            self.gravest = Some(failure);
        }
    }

    /// The same, if there is one.
    pub(super) fn keep_if_any(&mut self, failure: Option<Failure>) {
        if let Some(failure) = failure {
            self.keep(failure);
        }
    }

    fn is_graver_than(&self, failure: &Failure) -> bool {
        self.gravest.as_ref().is_some_and(|gravest| gravest.code() >= failure.code())
    }

    /// The gravest.
    pub(super) fn gravest(self) -> Option<Failure> {
        self.gravest
    }
}

/// The databases of a configuration, about which nothing is known yet.
pub(super) fn statuses(databases: &[Database]) -> Vec<Status> {
    let status =
        |database: &Database| Status::new(database.path.clone(), database.location.to_string());
    databases.iter().map(status).collect()
}
