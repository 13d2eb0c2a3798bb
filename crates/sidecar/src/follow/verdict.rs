//! What follows from an error that ended a session.

use std::time::Duration;

use super::error::FollowError;
use super::nature::{Awaits, HoldAfter, Lasts};

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

/// Decides what follows from the end of a session by `error`.
pub(crate) fn verdict(error: &FollowError, ending: &Ending<'_>) -> Verdict {
    let nature = error.nature();
    let is_own_claim = error.claimed_by().is_some_and(|session| session == ending.session);
    let is_ours = match nature.awaits {
        // Whoever has had the local state is not the newcomer: a `replicate --once` that has it now ends soon.
        Awaits::OtherProcess => ending.is_successor || ending.has_begun,
        Awaits::Database | Awaits::Unlocked => ending.was_followed || ending.may_come,
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
        Awaits::Unlocked => Verdict::Retry { hold: nature.hold, awaits: Awaits::Pause },
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

#[cfg(test)]
mod tests;
