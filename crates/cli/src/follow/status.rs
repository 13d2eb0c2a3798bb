//! What is known of each database's progress, for whoever asks.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use ebbtide_shipper::Durable;
use serde::Serialize;

use super::error::{FollowError, chain};

/// What a task is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Waiting for the database, or for the store.
    Starting,
    /// Making the first snapshot, or comparing the database with its replica.
    CatchingUp,
    /// Following.
    Following,
    /// Waiting to begin again after an error.
    Failing,
    /// Everything is durable, nothing more will come.
    Ended,
}

/// One database's progress.
#[derive(Debug, Clone, Serialize)]
pub struct Progress {
    /// The database.
    pub database: PathBuf,
    /// Its replica.
    pub replica: String,
    /// What is being done.
    pub phase: Phase,
    /// The last transaction that was captured.
    pub captured: Option<String>,
    /// The last transaction that the store has confirmed.
    pub durable: Option<String>,
    /// When that was committed.
    pub durable_time: Option<String>,
    /// What is wrong.
    pub error: Option<String>,
}

/// One database's progress, shared between its task and whoever asks.
#[derive(Debug, Clone)]
pub struct Status(Arc<Mutex<Progress>>);

/// The progress of all databases of a process.
pub type Statuses = Vec<Status>;

impl Status {
    /// A database about which nothing is known yet.
    #[must_use]
    pub fn new(database: PathBuf, replica: String) -> Status {
        Status(Arc::new(Mutex::new(Progress {
            database,
            replica,
            phase: Phase::Starting,
            captured: None,
            durable: None,
            durable_time: None,
            error: None,
        })))
    }

    /// What is known now.
    #[must_use]
    pub fn get(&self) -> Progress {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn change(&self, change: impl FnOnce(&mut Progress)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(crate) fn set(&self, phase: Phase) {
        self.change(|progress| (progress.phase, progress.error) = (phase, None));
    }

    pub(crate) fn fail(&self, error: &FollowError) {
        let text = chain(error);
        self.change(|progress| (progress.phase, progress.error) = (Phase::Failing, Some(text)));
    }

    pub(crate) fn captured(&self, last: Durable) {
        self.change(|progress| progress.captured = Some(last.txid.to_string()));
    }

    pub(crate) fn durable(&self, durable: Durable) {
        self.change(|progress| {
            progress.durable = Some(durable.txid.to_string());
            progress.durable_time = Some(durable.time.to_string());
        });
    }
}
