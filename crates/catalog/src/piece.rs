//! What a plan needs to know of an object, without its pages: small enough to keep for every object of a replica.

use std::collections::BTreeSet;

use crate::missed_since;
use ebbtide_replica::container::Index;
use ebbtide_replica::{
    Chain, Entry, EntryFlags, EntryKind, EntryState, Point, Timestamp, Txid, Vouch,
};
use ebbtide_seal::KeyId;

/// The summary of the index of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// The first entry.
    pub first: Txid,
    /// The last entry.
    pub last: Txid,
    /// The history before the first entry; segments and packs have it.
    pub before: Option<Chain>,
    /// The time of the first entry.
    pub first_time: Timestamp,
    /// Those states that were of [`Interest`], and always the last one. Ascending.
    pub points: Vec<IndexState>,
    /// The first page from which on the first entry carries all: see [`Entry::carries_from`].
    pub carries_from: u32,
    /// What it vouches for, and by which entry. Ascending.
    pub vouches: Vec<(Txid, Vouch)>,
    /// By which the same index is known again: the root in its footer.
    pub root: [u8; 32],
    /// The key that its pages are under, if it has any and they are encrypted.
    pub page_key: Option<KeyId>,
    /// The entries that need nothing before them. Ascending.
    pub bases: Vec<(Txid, Carrier)>,
    /// The first entry that is not a claim.
    pub first_change: Option<Change>,
    /// The last entry at or before the time of interest.
    pub at_time: Option<Txid>,
    /// The first entry after that one that is not a claim.
    pub change_after: Option<Change>,
}

/// A state that the database was in, with what its entry needs to be proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexState {
    /// The state.
    pub state: EntryState,
    /// The kind of the entry.
    pub kind: EntryKind,
    /// The content hash of the entry.
    pub content: [u8; 32],
}

/// Where an entry that needs nothing before it has its pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    /// In the entry itself.
    Entry,
    /// In the snapshot with the same txid.
    Snapshot,
}

/// An entry that may have changed the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// The entry.
    pub point: Point,
    /// If history was missed before it, from when on.
    pub missed_since: Option<Timestamp>,
}

/// Which states are of interest.
#[derive(Debug, Clone, Default)]
pub struct Interest {
    /// Those after these entries.
    pub txids: BTreeSet<Txid>,
    /// The one at this time.
    pub time: Option<Timestamp>,
}

impl Piece {
    /// The summary of `index`, with the states of `interest`.
    #[must_use]
    pub fn of(index: &Index, interest: &Interest) -> Option<Piece> {
        let (header, footer) = (index.header(), index.footer());
        let entries = index.entries();
        let (first, last) = (entries.first()?, entries.last()?);
        let end = IndexState::after(last, footer.chain);
        let inside = interest.txids.range(first.txid..last.txid).next().is_some();
        let mut points = Vec::new();
        if inside && header.kind().is_history() {
            let states = entries.iter().zip(index.chains());
            let wanted = states.filter(|(entry, _)| {
                entry.txid < last.txid && interest.txids.contains(&entry.txid)
            });
            points.extend(wanted.map(|(entry, chain)| IndexState::after(entry, chain)));
        }
        points.push(end);
        let at_time =
            interest.time.map_or(0, |time| entries.partition_point(|entry| entry.time <= time));
        Some(Piece {
            first: first.txid,
            last: last.txid,
            before: header.chain(),
            first_time: first.time,
            carries_from: first.carries_from(header.page_size),
            vouches: entries.iter().flat_map(vouches).collect(),
            root: footer.root,
            page_key: index.page_key(),
            points,
            bases: entries.iter().filter_map(base).collect(),
            first_change: entries.iter().find_map(change),
            at_time: entries[..at_time].last().map(|entry| entry.txid),
            change_after: entries[at_time..].iter().find_map(change),
        })
    }

    /// The state after entry `txid`, if it was of interest.
    #[must_use]
    pub fn point(&self, txid: Txid) -> Option<&IndexState> {
        self.points
            .binary_search_by_key(&txid, |point| point.state.txid())
            .ok()
            .map(|at| &self.points[at])
    }

    /// The state after the last entry.
    #[must_use]
    pub fn end(&self) -> Option<&IndexState> {
        self.points.last()
    }

    /// Whether `txid` is one of its entries.
    #[must_use]
    pub fn contains(&self, txid: Txid) -> bool {
        (self.first..=self.last).contains(&txid)
    }
}

impl IndexState {
    /// The state after `entry`, up to which the history is `chain`.
    #[must_use]
    pub fn after(entry: &Entry, chain: Chain) -> IndexState {
        IndexState {
            state: EntryState::after(entry, chain),
            kind: entry.kind,
            content: entry.content,
        }
    }
}

fn vouches(entry: &Entry) -> impl Iterator<Item = (Txid, Vouch)> {
    let by = entry.txid;
    Vouch::all_of(entry).into_iter().map(move |vouch| (by, vouch))
}

fn base(entry: &Entry) -> Option<(Txid, Carrier)> {
    let step = matches!(entry.kind, EntryKind::Commit | EntryKind::Resync);
    if step && entry.flags.contains(EntryFlags::IN_SNAPSHOT) {
        Some((entry.txid, Carrier::Snapshot))
    } else if step && entry.is_complete() {
        Some((entry.txid, Carrier::Entry))
    } else {
        None
    }
}

fn change(entry: &Entry) -> Option<Change> {
    let is_change = matches!(entry.kind, EntryKind::Commit | EntryKind::Resync);
    is_change.then(|| Change { point: entry.point(), missed_since: missed_since(entry) })
}
