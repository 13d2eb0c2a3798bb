//! What to do about each reason why somebody should look.

use ebbtide_sidecar::control::HealthIssue;

/// The name of a reason, for people.
pub(super) fn title(issue: HealthIssue) -> &'static str {
    match issue {
        HealthIssue::NotFollowed => "Nobody follows it",
        HealthIssue::Failing => "It is not followed",
        HealthIssue::Failed => "Following it failed lately",
        HealthIssue::Starting => "It does not get to follow",
        HealthIssue::Store => "The store is away",
        HealthIssue::Lag => "Commits wait for long",
        HealthIssue::Disk => "The disk is full",
        HealthIssue::WalIndex => "The log is damaged",
        HealthIssue::OtherName => "The file has another name",
        HealthIssue::Clock => "A clock was ahead",
        HealthIssue::Snapshot => "There is no new snapshot",
        HealthIssue::Manifest => "ebbtide.json was missing or is damaged",
        HealthIssue::Prune => "The replica is not pruned",
        HealthIssue::Mirror => "A mirror is behind",
        HealthIssue::Drill => "The last drill failed",
    }
}

/// What to do, where all these need attention.
pub(super) fn remedy(issue: HealthIssue, all: &[HealthIssue]) -> &'static str {
    match issue {
        HealthIssue::Lag | HealthIssue::Prune if all.contains(&HealthIssue::Store) => {
            "Nothing by itself: this lasts until the store is back."
        }
        HealthIssue::NotFollowed => "Start ebbtide replicate for it.",
        HealthIssue::Failing | HealthIssue::Failed | HealthIssue::Starting => {
            "It is tried again by itself. If it stays, the error says what is missing."
        }
        HealthIssue::Store => {
            "Commits wait on this machine and nothing is lost. Check the network, the credentials and the rights of the store."
        }
        HealthIssue::Lag => "Raise puts-per-second, or look whether the store is slow.",
        HealthIssue::Disk => "Make room: commits of the application fail.",
        HealthIssue::WalIndex => {
            "Stop the application, restore the newest state, and let the application go on with that."
        }
        HealthIssue::OtherName => {
            "Remove the other name: who opens the file by it writes another log."
        }
        HealthIssue::Clock => "Choose states by txid until that time has come.",
        HealthIssue::Snapshot => {
            "What was shipped is right. If pages are others than were shipped, stop the application and restore the newest state."
        }
        HealthIssue::Manifest => "Find out what deletes or changes objects in the replica.",
        HealthIssue::Prune => {
            "Run ebbtide prune: it says what is missing, or what has to be confirmed."
        }
        HealthIssue::Mirror => "The replica itself is not affected. Check the mirror's store.",
        HealthIssue::Drill => {
            "A restore would fail, too: run ebbtide verify, and restore from a mirror if need be."
        }
    }
}
