//! What follows from an error that ended a session: one table of errors, and one decision.

use std::time::Duration;

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

/// What is known about a session that ended, beside its error.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ending<'a> {
    /// The database was followed before, by this process.
    pub(crate) was_followed: bool,
    /// This process has had the local state before.
    pub(crate) has_begun: bool,
    /// A database that is not there yet is waited for.
    pub(crate) may_come: bool,
    /// Another process that follows the database is waited for.
    pub(crate) is_successor: bool,
    /// The process is about to end.
    pub(crate) is_finishing: bool,
    /// The id of this process, as its claims have it.
    pub(crate) session: &'a str,
}

/// What follows from the end of a session by an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The database is not followed any more.
    Stop,
    /// Another session begins.
    Retry {
        /// The hold until then.
        hold: HoldAfter,
        /// What it waits for.
        awaits: Awaits,
    },
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

/// Decides what follows from the end of a session by `error`.
pub(crate) fn verdict(error: &FollowError, ending: &Ending<'_>) -> Verdict {
    let nature = error.nature();
    let is_own_claim = error.claimed_by().is_some_and(|session| session == ending.session);
    let is_ours = match nature.awaits {
        // Whoever has had the local state is not the newcomer: a `replicate --once` that has it now ends soon.
        Awaits::OtherProcess => ending.is_successor || ending.has_begun,
        Awaits::Database => ending.was_followed || ending.may_come,
        Awaits::Pause | Awaits::Store | Awaits::Nothing => is_own_claim,
    };
    let is_final = match nature.lasts {
        Lasts::Passing => false,
        Lasts::UntilFollowed => !ending.was_followed && !is_ours,
        Lasts::Always => !is_ours,
    };
    if is_final || (ending.is_finishing && !nature.is_retried_at_end) {
        return Verdict::Stop;
    }
    match nature.awaits {
        // Two that hold the log would keep it from ending for as long as both are there.
        Awaits::OtherProcess if ending.is_successor => {
            Verdict::Retry { hold: HoldAfter::Released, awaits: Awaits::OtherProcess }
        }
        Awaits::OtherProcess => Verdict::Retry { hold: nature.hold, awaits: Awaits::Pause },
        Awaits::Database if !is_ours => Verdict::Retry { hold: nature.hold, awaits: Awaits::Pause },
        awaits => Verdict::Retry { hold: nature.hold, awaits },
    }
}

impl Verdict {
    /// The pause before the next session is as short as after the first error.
    pub(crate) fn is_fresh(self, lasted: Duration, steady: Duration) -> bool {
        let awaits_other = matches!(self, Verdict::Retry { awaits: Awaits::OtherProcess, .. });
        lasted >= steady || awaits_other
    }
}

impl FollowError {
    /// The row of the error.
    pub(crate) fn nature(&self) -> Nature {
        match self {
            FollowError::Watch(error) => of_watcher(error),
            FollowError::Ship(error) => of_shipper(error),
            FollowError::State(error) => of_state(error),
            FollowError::LogReleased => Nature { awaits: Awaits::Store, ..RELEASED },
            FollowError::SnapshotGivenUp | FollowError::Panicked(_) => RELEASED,
            FollowError::Absent(_) | FollowError::Undurable(_) => LASTING,
            FollowError::Unrestorable(_) => DAMAGED,
        }
    }

    /// The process that has claimed the replica, if that is the error.
    fn claimed_by(&self) -> Option<&str> {
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
            Refusal::Unfollowable(_)
            | Refusal::Kind(..)
            | Refusal::Exclusive
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
        Error::Fenced { .. } | Error::Behind { .. } | Error::Stale { .. } | Error::Unrelated(_) => {
            FENCED
        }
        Error::RolledBack(_) | Error::PageSize { .. } | Error::NoLog { .. } => DAMAGED,
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

#[cfg(test)]
mod tests;
