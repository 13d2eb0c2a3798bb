//! Errors by what can be done about them: one table. The one in `docs/operations.md` is made from it.

use ebbtide_catalog::CatalogError;
use ebbtide_shipper as shipper;
use ebbtide_state::StateError;
use ebbtide_wal::Unfollowable;
use ebbtide_watcher::{self as watcher, Moved, Refusal};

use super::error::{FollowError, Gravity};

/// How long an error lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lasts {
    /// Another attempt may succeed.
    Passing,
    /// Another attempt would end the same way, unless the database was followed before: then what it, its directory or
    /// its replica has become may change back.
    UntilFollowed,
    /// Another attempt would end the same way.
    Always,
}

/// What becomes of the hold on the log after an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HoldAfter {
    /// The log is still what it was, and stays held until the next attempt reads it on.
    Kept,
    /// It stays held, but its commits cannot be shipped one by one: the next attempt compares pages.
    GivenUp,
    /// The log is not held any more, or what is held is not the database's.
    Released,
}

/// What the next attempt waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Awaits {
    /// A pause.
    Pause,
    /// A change of the database's files.
    Database,
    /// An answer of the store.
    Store,
    /// The end of another process's lock on the database.
    Unlocked,
    /// Another process that follows the database.
    OtherProcess,
    /// Nothing: the file that has the name now is followed.
    Nothing,
}

/// An error by what can be done about it: a row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Nature {
    pub(crate) lasts: Lasts,
    pub(crate) gravity: Gravity,
    pub(crate) hold: HoldAfter,
    pub(crate) awaits: Awaits,
    /// A process that is about to end tries once more.
    pub(crate) is_retried_at_end: bool,
}

const PASSING: Nature = Nature {
    lasts: Lasts::Passing,
    gravity: Gravity::Failed,
    hold: HoldAfter::Kept,
    awaits: Awaits::Pause,
    is_retried_at_end: false,
};
const RELEASED: Nature = Nature { hold: HoldAfter::Released, ..PASSING };
const LASTING: Nature = Nature { lasts: Lasts::Always, ..PASSING };
const AT_FIRST: Nature = Nature { lasts: Lasts::UntilFollowed, ..PASSING };
const FENCED: Nature = Nature { gravity: Gravity::Fenced, ..LASTING };
const DAMAGED: Nature = Nature { gravity: Gravity::Damaged, ..LASTING };
const AT_END_AS_WELL: Nature = Nature { is_retried_at_end: true, ..PASSING };

impl FollowError {
    /// Whether another attempt would end the same way, for a database that was not followed before.
    #[must_use]
    pub(crate) fn is_final(&self) -> bool {
        self.nature().lasts != Lasts::Passing
    }

    /// What it means for the replica.
    #[must_use]
    pub fn gravity(&self) -> Gravity {
        self.nature().gravity
    }

    /// The row of the error.
    pub(crate) fn nature(&self) -> Nature {
        match self {
            FollowError::Watch(error) => of_watcher(error),
            FollowError::Ship(error) => of_shipper(error),
            FollowError::State(error) => of_state(error),
            FollowError::LogReleased => Nature { awaits: Awaits::Store, ..RELEASED },
            FollowError::SnapshotGivenUp
            | FollowError::NoDescriptors { .. }
            | FollowError::Panicked(_) => RELEASED,
            FollowError::Absent(_) | FollowError::Undurable(_) => LASTING,
            FollowError::Unrestorable(_) => DAMAGED,
        }
    }

    /// The process that has claimed the replica, if that is the error.
    pub(super) fn claimed_by(&self) -> Option<&str> {
        match self {
            FollowError::Ship(shipper::Error::Fenced {
                owner: shipper::ReplicaOwner(Some(claim)),
            }) => Some(&claim.session),
            _ => None,
        }
    }
}

fn of_watcher(error: &watcher::Error) -> Nature {
    match error {
        watcher::Error::Refused { refusal, .. } => match refusal {
            Refusal::Missing | Refusal::Unfollowable(Unfollowable::Empty) => {
                Nature { awaits: Awaits::Database, ..RELEASED }
            }
            Refusal::RollbackJournal => {
                Nature { awaits: Awaits::Database, lasts: Lasts::UntilFollowed, ..RELEASED }
            }
            // A migration takes a while; an application that keeps the lock is told of as long as it does.
            Refusal::Exclusive => {
                Nature { awaits: Awaits::Unlocked, lasts: Lasts::UntilFollowed, ..RELEASED }
            }
            Refusal::Unfollowable(_)
            | Refusal::Kind(..)
            | Refusal::NetworkFileSystem(_)
            | Refusal::Locks(_)
            | Refusal::Directory(_)
            | Refusal::WalIndex(_)
            | Refusal::Claims { .. } => Nature { lasts: Lasts::UntilFollowed, ..RELEASED },
        },
        watcher::Error::Moved { moved, .. } => match moved {
            Moved::Replaced | Moved::Overwritten => Nature { awaits: Awaits::Nothing, ..RELEASED },
            Moved::Deleted => RELEASED,
        },
        watcher::Error::Broken { .. } => Nature { is_retried_at_end: true, ..RELEASED },
        watcher::Error::Sqlite { .. } | watcher::Error::Io { .. } => RELEASED,
    }
}

fn of_shipper(error: &shipper::Error) -> Nature {
    use shipper::Error;
    match error {
        Error::Fenced { .. }
        | Error::Behind { .. }
        | Error::Stale { .. }
        | Error::PageSize { .. }
        | Error::Unrelated(_) => FENCED,
        Error::RolledBack(_) | Error::NoLog { .. } => DAMAGED,
        Error::NotEncrypted { .. } | Error::Encrypted { .. } | Error::PlainText { .. } => LASTING,
        // What was there while it was followed may come back.
        Error::NoIndexKey { .. } => AT_FIRST,
        // What was there while it was followed may come back.
        Error::Gone { .. } => Nature { gravity: Gravity::Damaged, ..AT_FIRST },
        Error::Unproven { .. } => Nature { gravity: Gravity::Damaged, ..PASSING },
        Error::Lost(_) | Error::SupersededOwnPut { .. } => AT_END_AS_WELL,
        Error::Hole { .. } => Nature { hold: HoldAfter::GivenUp, ..PASSING },
        Error::Store(error) if error.is_permanent() => AT_FIRST,
        Error::Catalog(CatalogError::Store(error)) if !error.is_permanent() => PASSING,
        Error::Catalog(_) => AT_FIRST,
        Error::State(StateError::Refused(_)) => AT_FIRST,
        Error::Store(_)
        | Error::State(_)
        | Error::Changed(_)
        | Error::System { .. }
        | Error::Replica(_)
        | Error::Task(_) => PASSING,
    }
}

fn of_state(error: &StateError) -> Nature {
    match error {
        StateError::Busy { .. } => Nature { awaits: Awaits::OtherProcess, ..LASTING },
        StateError::Newer { .. } => LASTING,
        StateError::Refused(_) => AT_FIRST,
        _ => PASSING,
    }
}
