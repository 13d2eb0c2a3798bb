//! Ownership of a replica: a process claims it by putting a claim under the next name of the log. The previous owner is
//! fenced at its next put, because that name is taken.

use ebbtide_replica::container::Index;
use ebbtide_replica::{Claim, ClaimedFile, Entry, EntryKind, Timestamp, Vouch};

/// The identity of this process, as its claims have it.
#[derive(Debug, Clone)]
pub struct Owner {
    /// The name of this host.
    pub host: String,
    /// The process id.
    pub pid: u32,
    /// A random id, which distinguishes processes with the same host name and process id.
    pub session: String,
    /// The version of ebbtide.
    pub version: String,
}

impl Owner {
    pub(crate) fn claim(&self, time: Timestamp, database: Option<ClaimedFile>) -> Claim {
        Claim {
            host: self.host.clone(),
            pid: self.pid,
            session: self.session.clone(),
            version: self.version.clone(),
            time,
            database: database.map(Box::new),
            manifest: None,
        }
    }
}

/// The last claim in an object by which a process claimed the replica. A claim that vouches for a snapshot does not
/// count.
pub(crate) fn last_claim(index: &Index) -> Option<Claim> {
    index.entries().iter().rev().find_map(claim_of)
}

/// The claim that an entry is, under the same conditions.
pub(crate) fn claim_of(entry: &Entry) -> Option<Claim> {
    let is_claim = entry.kind == EntryKind::Claim && Vouch::all_of(entry).is_empty();
    is_claim.then(|| Claim::from_detail(&entry.detail).ok()).flatten()
}
