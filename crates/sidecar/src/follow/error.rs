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
    #[error(
        "the store was away for longer than the log and the spool may wait: the log was let go"
    )]
    LogReleased,
    /// The log could not wait for a snapshot to be made.
    #[error("the log became too long while the snapshot was made")]
    SnapshotGivenUp,
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
    /// Whether another attempt would end the same way. `ran` says that the database was followed before: then what it
    /// has become may change back.
    #[must_use]
    pub fn is_final(&self, ran: bool) -> bool {
        match self {
            FollowError::Watch(watcher::Error::Refused { refusal, .. }) => {
                let may_come = matches!(
                    refusal,
                    watcher::Refusal::Missing
                        | watcher::Refusal::Unfollowable(ebbtide_wal::Unfollowable::Empty)
                );
                !ran && !may_come
            }
            FollowError::Watch(_) => false,
            FollowError::Ship(error) => match error {
                shipper::Error::Fenced { .. }
                | shipper::Error::Behind { .. }
                | shipper::Error::Stale { .. }
                | shipper::Error::Unrelated(_)
                | shipper::Error::RolledBack(_)
                | shipper::Error::PageSize { .. }
                | shipper::Error::NoLog { .. } => true,
                shipper::Error::State(StateError::Refused(_)) => !ran,
                // What was there while it was followed may come back.
                shipper::Error::Gone { .. } => !ran,
                shipper::Error::Store(error) => !ran && error.is_permanent(),
                shipper::Error::Catalog(error) => !ran && is_permanent(error),
                _ => false,
            },
            FollowError::State(StateError::Newer { .. } | StateError::Busy { .. }) => true,
            FollowError::State(StateError::Refused(_)) => !ran,
            FollowError::State(_)
            | FollowError::LogReleased
            | FollowError::Panicked(_)
            | FollowError::SnapshotGivenUp => false,
            FollowError::Absent(_) | FollowError::Undurable(_) | FollowError::Unrestorable(_) => {
                true
            }
        }
    }

    /// The same where nobody said that the database will come: then a file that is not there has another name.
    #[must_use]
    pub(crate) fn of_absent(self) -> FollowError {
        match self {
            FollowError::Watch(
                missing @ watcher::Error::Refused { refusal: watcher::Refusal::Missing, .. },
            ) => FollowError::Absent(missing),
            error => error,
        }
    }

    /// Whether another process on this machine follows the database.
    #[must_use]
    pub(crate) fn is_anothers_turn(&self) -> bool {
        matches!(self, FollowError::State(StateError::Busy { .. }))
    }

    /// Whether the database is not there, or not what it is going to be, so that its next change matters.
    #[must_use]
    pub(crate) fn awaits_database(&self) -> bool {
        let FollowError::Watch(watcher::Error::Refused { refusal, .. }) = self else {
            return false;
        };
        matches!(
            refusal,
            watcher::Refusal::Missing
                | watcher::Refusal::RollbackJournal
                | watcher::Refusal::Unfollowable(ebbtide_wal::Unfollowable::Empty)
        )
    }

    /// Whether another file, or another content, has taken the database's place.
    #[must_use]
    pub(crate) fn is_of_another_file(&self) -> bool {
        use watcher::Moved::{Overwritten, Replaced};
        matches!(
            self,
            FollowError::Watch(watcher::Error::Moved { moved: Replaced | Overwritten, .. })
        )
    }

    /// What a session panicked with.
    pub(crate) fn panicked(panic: &(dyn Any + Send)) -> FollowError {
        let text = panic.downcast_ref::<&str>().map(ToString::to_string);
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        FollowError::Panicked(text.unwrap_or_else(|| "it did not say why".to_owned()))
    }

    /// Whether the claim that stopped us is our own, put by an attempt of this process that was given up.
    #[must_use]
    pub(crate) fn is_own_claim(&self, session: &str) -> bool {
        match self {
            FollowError::Ship(shipper::Error::Fenced {
                owner: shipper::ReplicaOwner(Some(claim)),
            }) => claim.session == session,
            _ => false,
        }
    }

    /// Whether the log is still what it was and stays held until the next attempt.
    #[must_use]
    pub(crate) fn keeps_hold(&self) -> bool {
        matches!(self, FollowError::Ship(_) | FollowError::State(_))
    }

    /// Whether a process that is about to end should still try again.
    #[must_use]
    pub fn is_worth_one_more(&self) -> bool {
        matches!(
            self,
            FollowError::Ship(shipper::Error::Lost(_) | shipper::Error::SupersededOwnPut { .. })
                | FollowError::Watch(watcher::Error::Broken { .. })
        )
    }

    /// What it means for the replica.
    #[must_use]
    pub fn gravity(&self) -> Gravity {
        match self {
            FollowError::Ship(
                shipper::Error::Fenced { .. }
                | shipper::Error::Behind { .. }
                | shipper::Error::Stale { .. }
                | shipper::Error::Unrelated(_),
            ) => Gravity::Fenced,
            FollowError::Ship(
                shipper::Error::RolledBack(_)
                | shipper::Error::PageSize { .. }
                | shipper::Error::NoLog { .. }
                | shipper::Error::Unproven { .. }
                | shipper::Error::Gone { .. },
            )
            | FollowError::Unrestorable(_) => Gravity::Damaged,
            _ => Gravity::Failed,
        }
    }
}

fn is_permanent(error: &ebbtide_catalog::CatalogError) -> bool {
    match error {
        ebbtide_catalog::CatalogError::Store(error) => error.is_permanent(),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use ebbtide_wal::PageSize;

    use super::*;

    /// Would catch a database that is not followed any more, as damaged, because of what is over in a moment.
    #[test]
    fn what_may_pass_is_tried_again_and_is_no_damage() {
        let refused = std::io::Error::from(std::io::ErrorKind::StorageFull);
        let passing = [
            shipper::Error::Changed("the replica changed while it was read"),
            shipper::Error::System { doing: "draw random numbers", source: refused },
        ];
        for error in passing.map(FollowError::Ship) {
            assert!(!error.is_final(false), "{error}");
            assert_eq!(error.gravity(), Gravity::Failed, "{error}");
        }
        let page_size = |bytes| PageSize::new(bytes).unwrap();
        let (replica, database) = (page_size(4096), page_size(512));
        let lasting = [
            shipper::Error::RolledBack("it ends too early".to_owned()),
            shipper::Error::PageSize { replica, database },
        ];
        for error in lasting.map(FollowError::Ship) {
            assert!(error.is_final(true), "{error}");
            assert_eq!(error.gravity(), Gravity::Damaged, "{error}");
        }
    }
}
