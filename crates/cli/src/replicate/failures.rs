//! How the tasks of a process ended.

use ebbtide_sidecar::Ended;
use ebbtide_store::error_chain;

use crate::exit::{Code, Failure};

/// The gravest failure decides the exit code, the first one of several.
#[derive(Debug, Default)]
pub(super) struct Failures {
    /// Of databases, by their names: one that is followed again has none.
    of_databases: Vec<(String, Failure)>,
    others: Vec<Failure>,
}

impl Failures {
    /// Notes how the following of a database ended. What ends the whole process is said once, by its end; while
    /// `others_go_on` it is logged.
    pub(super) fn take(&mut self, ended: Ended, others_go_on: bool) {
        let progress = ended.status.get();
        let name = progress.database.display().to_string();
        self.of_databases.retain(|(other, _)| *other != name);
        let Err(error) = ended.result else {
            let database = progress.database.display();
            match progress.durable {
                Some(durable) => tracing::info!(
                    %database,
                    txid = %durable.txid,
                    "ended; everything that was committed is durable"
                ),
                None => tracing::warn!(
                    %database,
                    "its file was gone before it was followed: nothing that was committed since the last time is in its replica"
                ),
            }
            return;
        };
        let failure =
            Failure::new(Code::of(error.gravity()), format!("{name}: {}", error_chain(&error)));
        let is_logged = others_go_on || self.is_graver_than(&failure);
        if is_logged {
            tracing::error!(database = name, error = error_chain(&error), "stopped");
        }
        let failure = if is_logged { failure.told() } else { failure };
        self.of_databases.push((name, failure));
    }

    /// Not everything is durable, or not everything went as it should have.
    pub(super) fn keep(&mut self, failure: Failure) {
        self.others.push(failure);
    }

    /// The same, if there is one.
    pub(super) fn keep_if_any(&mut self, failure: Option<Failure>) {
        self.others.extend(failure);
    }

    fn is_graver_than(&self, failure: &Failure) -> bool {
        let all = self.of_databases.iter().map(|(_, known)| known).chain(&self.others);
        all.into_iter().any(|known| known.code() >= failure.code())
    }

    /// The gravest.
    pub(super) fn gravest(self) -> Option<Failure> {
        let all = self.of_databases.into_iter().map(|(_, failure)| failure).chain(self.others);
        all.fold(None, |gravest: Option<Failure>, failure| match gravest {
            Some(gravest) if gravest.code() >= failure.code() => Some(gravest),
            _ => Some(failure),
        })
    }
}
