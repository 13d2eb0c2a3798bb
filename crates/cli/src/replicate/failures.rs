//! How the tasks of a process ended.

use ebbtide_sidecar::Ended;
use ebbtide_store::error_chain;

use crate::exit::{Code, Failure};

/// The gravest failure decides the exit code, the first one of several.
#[derive(Debug, Default)]
pub(super) struct Failures {
    gravest: Option<Failure>,
}

impl Failures {
    /// Notes how the following of a database ended. What ends the whole process is said once, by its end; while
    /// `others_go_on` it is logged.
    pub(super) fn take(&mut self, ended: Ended, others_go_on: bool) {
        let progress = ended.status.get();
        let Err(error) = ended.result else {
            tracing::info!(
                database = %progress.database.display(),
                txid = progress.durable.map(|durable| tracing::field::display(durable.txid)),
                "ended; everything that was committed is durable"
            );
            return;
        };
        let name = progress.database.display().to_string();
        let failure =
            Failure::new(Code::of(error.gravity()), format!("{name}: {}", error_chain(&error)));
        if others_go_on || self.is_graver_than(&failure) {
            tracing::error!(database = name, error = error_chain(&error), "stopped");
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
