//! The decision of a start: from what was found in the log, the local state, the spool and the replica to how the
//! database is followed on. The table in `docs/architecture.md` has the same cases.

use ebbtide_replica::EntryState;
use ebbtide_shipper::{Consent, Evidence, HeadRelation, KnownEvidence, Refusal, ReplicaEvidence};
use ebbtide_watcher::LogEvidence;

/// How a database is followed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StartPlan {
    /// A replica is created: the first snapshot is put.
    Create,
    /// The log is read on where the local state ends.
    Continue,
    /// The spool is sent, and the log is read on where the spool ends.
    SendSpool,
    /// Commits whose confirmation was lost are read from the log once more, for their page hashes.
    Replay,
    /// The pages of the database are compared, and those that differ are sent as one entry.
    Compare {
        /// Whose page hashes they are compared with.
        hashes: Hashes,
        /// The history since then.
        past: Past,
    },
    /// The pages are compared with the replica's, to find out whether the replica is the database's own.
    Verify,
    /// The database is not followed.
    Refuse(Refusal),
}

/// Page hashes to compare the database with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hashes {
    /// The table of the local state, after the segments of the spool, if there are any.
    Local,
    /// They are read from the replica.
    Replica,
}

/// The history of a database between the replica's last entry and now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Past {
    /// Unknown: commits may be missing in the log.
    Missed,
    /// The log has lost commits that the replica has.
    Truncated,
    /// The database was restored to this earlier state.
    Restored(EntryState),
    /// The database continues from an earlier state because the user asked for it.
    TakenBack,
}

/// Decides how a database is followed on.
pub(crate) fn start_plan(evidence: &Evidence, log: LogEvidence, consent: Consent) -> StartPlan {
    let known = match evidence.replica {
        ReplicaEvidence::Empty { is_known_here: true, .. } if !consent.begin_anew => {
            return StartPlan::Refuse(Refusal::Gone);
        }
        ReplicaEvidence::Empty { has_leftovers: true, .. } => {
            return StartPlan::Refuse(Refusal::NoLog);
        }
        ReplicaEvidence::Empty { .. } => return StartPlan::Create,
        ReplicaEvidence::Unknown if evidence.page_size_differs => {
            return StartPlan::Refuse(Refusal::PageSize);
        }
        ReplicaEvidence::Unknown => return StartPlan::Verify,
        ReplicaEvidence::Known(known) => known,
    };
    match refusal(evidence, &known, consent) {
        Some(refusal) => StartPlan::Refuse(refusal),
        None => follow_on(&known, log, consent),
    }
}

/// Why a replica that the local state names must not be written.
fn refusal(evidence: &Evidence, known: &KnownEvidence, consent: Consent) -> Option<Refusal> {
    use HeadRelation::{EndsEarlier, OthersSince, Overwritten, Unread};
    match known.head {
        _ if !known.has_base && !consent.begin_anew => Some(Refusal::Gone),
        _ if evidence.page_size_differs => Some(Refusal::PageSize),
        _ if evidence.is_copy && !consent.may_move() => Some(Refusal::Copy),
        EndsEarlier => Some(Refusal::RolledBack),
        Overwritten => Some(Refusal::Overwritten),
        OthersSince | Unread if !known.is_set_back(consent) => Some(Refusal::Behind),
        _ if !known.has_entry && !consent.begin_anew => Some(Refusal::Gone),
        _ => None,
    }
}

/// How a database with a replica of its own is followed on.
fn follow_on(known: &KnownEvidence, log: LogEvidence, consent: Consent) -> StartPlan {
    let past = match log {
        LogEvidence::Continues => None,
        LogEvidence::Truncated => Some(Past::Truncated),
        LogEvidence::Restarted => Some(Past::Missed),
    };
    let compare = |hashes, past| StartPlan::Compare { hashes, past };
    let from_replica = || compare(Hashes::Replica, past.unwrap_or(Past::Missed));
    match known.head {
        HeadRelation::Same | HeadRelation::ClaimsSince if !known.has_page_hashes => from_replica(),
        HeadRelation::Same | HeadRelation::ClaimsSince => match past {
            Some(past) => compare(Hashes::Local, past),
            None if known.spool_continues => StartPlan::SendSpool,
            None => StartPlan::Continue,
        },
        HeadRelation::OwnCommitsSince if !known.is_set_back(consent) => {
            match past.is_none() && known.has_page_hashes {
                true => StartPlan::Replay,
                false => from_replica(),
            }
        }
        _ => {
            let restored = known.restored.map(|restored| Past::Restored(restored.to));
            compare(Hashes::Replica, restored.unwrap_or(Past::TakenBack))
        }
    }
}

#[cfg(test)]
mod tests;
