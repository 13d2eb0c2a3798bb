//! Why a database is not followed any more.

use std::any::Any;

use ebbtide_shipper as shipper;
use ebbtide_state::StateError;
use ebbtide_watcher as watcher;

/// An error of either side.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// The database.
    #[error(transparent)]
    Watch(#[from] watcher::Error),
    /// The database is not there, and nobody said that it will be.
    #[error("{0}; check its name, or wait for it with --wait")]
    Absent(watcher::Error),
    /// The replica.
    #[error(transparent)]
    Ship(#[from] shipper::Error),
    /// What is remembered beside the database.
    #[error(transparent)]
    State(#[from] StateError),
    /// The store was away for longer than the log and the spool could wait, so the log is not held any more. What the
    /// application writes from here on comes as one step of history once the store is back.
    #[error("more waits to be shipped than log-max and spool-max allow: the log was let go")]
    LogReleased,
    /// The log could not wait for a snapshot or delta to be made.
    #[error("the log became too long while it was made")]
    SnapshotGivenUp,
    /// So many databases are followed that the process may open no more files for another one.
    #[error(
        "too few files may be open: {open} of {limit} are; raise the hard limit (`ulimit -Hn`, LimitNOFILE= of systemd)"
    )]
    NoDescriptors {
        /// How many are open.
        open: u64,
        /// How many may be.
        limit: u64,
    },
    /// Following it panicked: a fault of ours. What is known after that is read again from the start.
    #[error("a fault in ebbtide itself ended this database's session: {0}")]
    Panicked(String),
    /// Everything is in the replica, and yet its newest state could not be restored from it.
    #[error("the replica was brought up to date, and its newest state cannot be restored: {0}")]
    Unrestorable(String),
    /// Not everything could be confirmed in the time that was given.
    #[error("not everything is durable: {0}")]
    Undurable(String),
}

/// What an error means, for an exit code or an alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Gravity {
    /// It could not be done, and the replica is not to blame.
    Failed,
    /// The replica is damaged, missing, or not what it had been.
    Damaged,
    /// The replica belongs to another writer.
    Fenced,
}

impl From<tokio::sync::AcquireError> for FollowError {
    /// The semaphore lives as long as the process does.
    fn from(error: tokio::sync::AcquireError) -> FollowError {
        FollowError::Panicked(error.to_string())
    }
}

impl From<watcher::CaptureError<FollowError>> for FollowError {
    fn from(error: watcher::CaptureError<FollowError>) -> FollowError {
        match error {
            watcher::CaptureError::Follow(error) => FollowError::Watch(error),
            watcher::CaptureError::Sink(error) => error,
        }
    }
}

impl FollowError {
    /// The error for a database that nobody said will come: a file that is not there has another name.
    #[must_use]
    pub(crate) fn of_absent(self) -> FollowError {
        match self {
            FollowError::Watch(
                missing @ watcher::Error::Refused { refusal: watcher::Refusal::Missing, .. },
            ) => FollowError::Absent(missing),
            error => error,
        }
    }

    /// Whether the database's file is not there, or another one has its name.
    pub(crate) fn is_gone(&self) -> bool {
        use watcher::{Error, Refusal};
        matches!(
            self,
            FollowError::Absent(_)
                | FollowError::Watch(
                    Error::Moved { .. } | Error::Refused { refusal: Refusal::Missing, .. }
                )
        )
    }

    /// What a session panicked with.
    pub(crate) fn panicked(panic: &(dyn Any + Send)) -> FollowError {
        let text = panic.downcast_ref::<&str>().map(ToString::to_string);
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        FollowError::Panicked(text.unwrap_or_else(|| "it did not say why".to_owned()))
    }
}
