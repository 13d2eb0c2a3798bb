//! Gaps: times from which the replica has no history, because nobody was following the database.

use serde::Deserialize;

use crate::{Entry, EntryKind, Timestamp};

/// As much of the detail of a rebase as a reader needs. Other keys are skipped.
#[derive(Deserialize)]
struct Detail {
    since: Option<Timestamp>,
}

/// From when on history was missed before `entry`, if it is a rebase that says so in its detail: `{"since": …}` with a
/// time as RFC 3339. Between that time and the entry's own the database may have had states that the replica never saw.
#[must_use]
pub fn missed_since(entry: &Entry) -> Option<Timestamp> {
    if entry.kind != EntryKind::Rebase || entry.detail.is_empty() {
        return None;
    }
    serde_json::from_slice::<Detail>(&entry.detail).ok()?.since
}
