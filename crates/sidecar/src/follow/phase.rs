//! What the task that follows a database is doing.

use serde::{Deserialize, Serialize};

/// What a task is doing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Waiting for the database, or for the store.
    #[default]
    Starting,
    /// Making the first snapshot, or comparing the database with its replica.
    CatchingUp,
    /// Following.
    Following,
    /// Waiting for the next attempt after an error.
    Failing,
    /// The outage lasted so long that the log was released. After it the pages that differ are sent.
    LogReleased,
    /// A restore replaces its file; it is followed again afterwards.
    Released,
    /// Given up: another attempt would end the same way.
    Stopped,
    /// Everything is durable, and the task has ended.
    Ended,
}

impl Phase {
    /// Its name, as in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Phase::Starting => "starting",
            Phase::CatchingUp => "catching-up",
            Phase::Following => "following",
            Phase::Failing => "failing",
            Phase::LogReleased => "let-go",
            Phase::Released => "released",
            Phase::Stopped => "stopped",
            Phase::Ended => "ended",
        }
    }

    pub(super) fn is_over(self) -> bool {
        matches!(self, Phase::Stopped | Phase::Ended)
    }
}
