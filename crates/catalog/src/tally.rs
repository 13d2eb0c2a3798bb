//! What a history amounts to: how much of it there is, and what is missing.

use ebbtide_replica::{Entry, EntryFlags, EntryKind, Timestamp};
use serde::{Deserialize, Serialize};

use crate::gap::missed_since;

/// Counts entries as they come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Entries of any kind.
    pub entries: u64,
    /// Entries by which a process took the replica over, or vouched.
    pub claims: u64,
    /// Entries that brought the state up to date after history was missed.
    pub resyncs: u64,
    /// Resyncs after which the replica had commits that the database no longer has.
    pub forks: u64,
    /// Resyncs that say since when history was missed.
    pub gaps: u64,
    /// The longest gap: from when on history was missed, until when.
    pub longest: Option<(Timestamp, Timestamp)>,
}

impl Tally {
    /// Counts one more.
    pub fn add(&mut self, entry: &Entry) {
        self.entries += 1;
        self.claims += u64::from(entry.kind == EntryKind::Claim);
        self.resyncs += u64::from(entry.kind == EntryKind::Resync);
        self.forks += u64::from(entry.flags.contains(EntryFlags::FORK));
        let Some(since) = missed_since(entry) else { return };
        self.gaps += 1;
        let gap = (since, entry.time);
        if self.longest.is_none_or(|longest| micros(longest) < micros(gap)) {
            self.longest = Some(gap);
        }
    }

    /// How long the longest gap was, in µs.
    #[must_use]
    pub fn longest_micros(&self) -> Option<i64> {
        self.longest.map(micros)
    }
}

fn micros((since, until): (Timestamp, Timestamp)) -> i64 {
    until.as_micros().saturating_sub(since.as_micros())
}
