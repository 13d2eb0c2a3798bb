//! What is special in a history.

use ebbtide_catalog::{ResyncDetail, missed_since};
use ebbtide_replica::{Claim, Entry, EntryFlags, EntryKind, Point, Timestamp, Txid, Vouch};

/// Something that happened at an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    /// The entry.
    pub(crate) point: Point,
    /// What.
    pub(crate) kind: EventKind,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum EventKind {
    /// History was missed, since then.
    Gap(Timestamp),
    /// The database had lost what the replica has; to which entry it was set back, as far as that is known.
    Fork(Option<String>),
    /// A process took the replica over: its number, and the host.
    Restart(String),
}

impl Event {
    /// What an entry tells of.
    pub(crate) fn of(entry: &Entry) -> Vec<Event> {
        let event = |kind| Event { point: entry.point(), kind };
        let mut events = Vec::new();
        // The first claim begins the replica, and one that vouches for a snapshot is of the process that has it anyway.
        let is_takeover = entry.txid != Txid::FIRST && Vouch::all_of(entry).is_empty();
        if entry.kind == EntryKind::Claim && is_takeover {
            let by = Claim::from_detail(&entry.detail)
                .map(|claim| format!("process {} on {}", claim.pid, claim.host));
            events.push(event(EventKind::Restart(by.unwrap_or_else(|_| "a process".to_owned()))));
        }
        if let Some(since) = missed_since(entry) {
            events.push(event(EventKind::Gap(since)));
        }
        if entry.flags.contains(EntryFlags::FORK) {
            let to = ResyncDetail::of(entry).unwrap_or_default().set_back_to;
            events.push(event(EventKind::Fork(to.map(|to| format!("{:x}", to.get())))));
        }
        events
    }
}
