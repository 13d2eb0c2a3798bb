//! What people call the newest commit: a claim, which only says that a process has begun, leaves the database as it was.

use ebbtide_replica::{Entry, EntryKind, Point};

use super::Survey;
use crate::piece::IndexState;

/// So many objects are looked through, from the state on backwards.
const OBJECTS_MAX: usize = 8;

impl Survey {
    /// The last entry up to `state` that is no claim, if it is in one of the newest objects before it. What is read for
    /// that is only to be told, so nothing fails because of it.
    pub(crate) async fn last_change(&self, state: &IndexState) -> Option<Point> {
        if state.kind != EntryKind::Claim {
            return Some(state.state.point);
        }
        let mut until = state.state.txid();
        for _ in 0..OBJECTS_MAX {
            let listing = self.known().listing();
            let pack = listing.packs_with(until).next();
            let object = pack.or_else(|| listing.segment_of(until))?;
            let fetched = self.index(object).await;
            let fetched =
                fetched.inspect_err(|error| tracing::debug!(%error, "no commit is told")).ok()?;
            let entries = fetched.index.entries();
            let is_it = |entry: &&Entry| entry.txid <= until && entry.kind != EntryKind::Claim;
            if let Some(entry) = entries.iter().rev().find(is_it) {
                return Some(entry.point());
            }
            until = entries.first()?.txid.previous()?;
        }
        None
    }
}
