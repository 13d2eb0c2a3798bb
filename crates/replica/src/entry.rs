//! Entries: the steps of a replica's history.

use std::ops::BitOr;

use ebbtide_wal::{PageSize, lock_page};

use crate::{Digest, Point, Run, Timestamp, Txid};

/// One step of a replica's history, or, in a snapshot or delta, one state. An entry out of an
/// index keeps all rules that are stated at its fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// One more than that of the entry before.
    pub txid: Txid,
    /// What brought it about.
    pub kind: EntryKind,
    /// What is special about it.
    pub flags: EntryFlags,
    /// When it was seen, by the clock of the host; never before the time of the entry before.
    pub time: Timestamp,
    /// The size of the database after it. Pages beyond that are dropped; pages that are new are all carried, but for
    /// the lock page. For a claim, the size that the database had before.
    pub database_pages: u32,
    /// How many pages it carries: those of `runs`.
    pub page_count: u32,
    /// The whole database after it. For a claim, as it was before.
    pub digest: Digest,
    /// BLAKE3 of the hashes of the pages that it carries, one after the other. If its pages lie in a snapshot: of those
    /// that the snapshot's entry carries.
    pub content: [u8; 32],
    /// More about it, as JSON: at most [`Entry::DETAIL_MAX`] bytes, mostly none.
    pub detail: Vec<u8>,
    /// The pages that it carries: ascending, apart from each other, within the database, without the lock page.
    pub runs: Vec<Run>,
}

impl Entry {
    /// The most bytes of a detail.
    pub const DETAIL_MAX: usize = 64 * 1024;

    /// Its txid and its time.
    #[must_use]
    pub fn point(&self) -> Point {
        Point { txid: self.txid, time: self.time }
    }

    /// Whether it carries every page of the database.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.flags.contains(EntryFlags::COMPLETE)
    }

    /// The first page from which on it carries every page of the database after it, but for the lock page; one beyond the
    /// last page if it does not carry that one. The database before it must have had all pages before this one: else it
    /// would have pages now whose content is nowhere, and its size would be a mere claim.
    #[must_use]
    pub fn carries_from(&self, page_size: PageSize) -> u32 {
        if self.flags.contains(EntryFlags::IN_SNAPSHOT) {
            return 1;
        }
        let lock = lock_page(page_size).get();
        let mut from = self.database_pages.saturating_add(1);
        let mut runs = self.runs.iter().rev().peekable();
        loop {
            if from == lock + 1 {
                from = lock;
            }
            match runs.next_if(|run| run.last().get() + 1 == from) {
                Some(run) => from = run.first().get(),
                None => return from,
            }
        }
    }
}

/// What brought an entry about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum EntryKind {
    /// A transaction of the application.
    Commit = 1,
    /// The state was brought up to date by comparing pages, after history was missed.
    Resync = 2,
    /// A process took the replica over. Carries no pages; its detail is a [`Claim`](crate::Claim).
    Claim = 3,
    /// Not a step but a state: the one entry of a snapshot or delta.
    Image = 4,
}

impl EntryKind {
    /// The kind with this number in an entry's row.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<EntryKind> {
        match code {
            1 => Some(EntryKind::Commit),
            2 => Some(EntryKind::Resync),
            3 => Some(EntryKind::Claim),
            4 => Some(EntryKind::Image),
            _ => None,
        }
    }

    /// Its number in an entry's row.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// Its name, for people and for JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            EntryKind::Commit => "commit",
            EntryKind::Resync => "resync",
            EntryKind::Claim => "claim",
            EntryKind::Image => "image",
        }
    }
}

/// What is special about an entry; any set of the constants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EntryFlags(u8);

impl EntryFlags {
    /// Nothing.
    pub const NONE: EntryFlags = EntryFlags(0);
    /// It carries every page of the database, so that nothing before it is needed.
    pub const COMPLETE: EntryFlags = EntryFlags(1);
    /// A resync whose pages lie in the snapshot of the same txid, which has every page of the database.
    pub const IN_SNAPSHOT: EntryFlags = EntryFlags(2);
    /// A resync that went back: the replica had commits that the database no longer has.
    pub const FORK: EntryFlags = EntryFlags(4);

    const ALL: u8 = 7;

    /// The flags with these bits, unless there are others among them.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Option<EntryFlags> {
        if bits & !EntryFlags::ALL == 0 { Some(EntryFlags(bits)) } else { None }
    }

    /// Their bits in an entry's row.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Whether all of `others` are among them.
    #[must_use]
    pub const fn contains(self, others: EntryFlags) -> bool {
        self.0 & others.0 == others.0
    }
}

impl BitOr for EntryFlags {
    type Output = EntryFlags;

    fn bitor(self, others: EntryFlags) -> EntryFlags {
        EntryFlags(self.0 | others.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_and_flags_read_back_what_they_write() {
        for code in 0..=u8::MAX {
            assert_eq!(EntryKind::from_code(code).map_or(code, EntryKind::code), code);
            assert_eq!(EntryKind::from_code(code).is_some(), (1..=4).contains(&code));
            assert_eq!(EntryFlags::from_bits(code).map_or(code, EntryFlags::bits), code);
            assert_eq!(EntryFlags::from_bits(code).is_some(), code < 8);
        }
        let both = EntryFlags::COMPLETE | EntryFlags::FORK;
        assert!(both.contains(EntryFlags::FORK) && !both.contains(EntryFlags::IN_SNAPSHOT));
        assert!(both.contains(EntryFlags::NONE) && !EntryFlags::NONE.contains(both));
    }
}
