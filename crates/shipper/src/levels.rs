//! What changed since the last hour's and the last day's delta, so that the next one is made from the live database
//! without reading the replica.
//!
//! Of each level there is the state that it began with, the pages that were written or cut since, and the sum of the
//! hashes that those pages had in that state. So at any time
//!
//! ```text
//! digest of the base ⊕ sum ⊕ hashes of those pages that are still there = digest now
//! ```
//!
//! and a delta for which this holds lacks no page that changed, and has the right image of each. A level that has a page too
//! many is right all the same; one that lost a page fails, and begins again.
//!
//! While a delta or a snapshot is being made, the level that begins with it is kept beside the present one. It takes its
//! place once an entry that vouches for the object is durable; until then nothing was begun that would be missed.

use std::ops::Range;

use ebbtide_replica::{Digest, EntryState, PageHash, Txid};
use ebbtide_wal::PageNumber;

use crate::page_set::PageSet;

/// How often deltas are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Each hour.
    Hour,
    /// Each day.
    Day,
}

impl Level {
    pub(crate) const ALL: [Level; 2] = [Level::Hour, Level::Day];
}

/// What changed since a state.
#[derive(Debug, Clone)]
pub(crate) struct Changes {
    /// The state.
    pub(crate) base: EntryState,
    /// The pages that were written or cut.
    pub(crate) pages: PageSet,
    /// The sum of the hashes that they had in the state.
    pub(crate) sum: Digest,
}

impl Changes {
    /// Nothing has changed since `base`.
    pub(crate) fn new(base: EntryState) -> Changes {
        Changes { base, pages: PageSet::default(), sum: Digest::EMPTY }
    }

    /// A page is written or cut; `before` is its hash until now. Whether it is the first time.
    pub(crate) fn note(&mut self, page: PageNumber, before: PageHash) -> bool {
        let is_new = self.pages.insert(page);
        if is_new {
            self.sum = self.sum.toggle(before);
        }
        is_new
    }

    /// What the hashes of those pages that are still there must be added to, to give the digest of the present state.
    pub(crate) fn rest(&self) -> Digest {
        self.base.digest.toggle(PageHash::from_bytes(*self.sum.as_bytes()))
    }
}

/// One level.
#[derive(Debug, Default)]
pub(crate) struct Tracked {
    /// Nothing if it is not known what changed: a snapshot begins it again.
    pub(crate) changes: Option<Changes>,
    /// The one that takes its place.
    next: Option<Changes>,
    /// The pages that were added since the last record of the journal.
    pub(crate) news: Vec<Range<u32>>,
}

impl Tracked {
    fn note(&mut self, page: PageNumber, before: PageHash) {
        if let Some(changes) = &mut self.changes
            && changes.note(page, before)
        {
            match self.news.last_mut() {
                Some(range) if range.end == page.get() => range.end += 1,
                _ => self.news.push(page.get()..page.get().saturating_add(1)),
            }
        }
        if let Some(next) = &mut self.next {
            next.note(page, before);
        }
    }
}

/// Both levels.
#[derive(Debug, Default)]
pub(crate) struct Levels {
    tracked: [Tracked; 2],
    /// The entry with which the next ones take their place.
    adopts: Option<Txid>,
    /// Whether the journal has to begin again.
    pub(crate) restarts_journal: bool,
}

impl Levels {
    /// Both begin with `base`.
    pub(crate) fn new(base: EntryState) -> Levels {
        Levels::of(Level::ALL.map(|_| Some(Changes::new(base))))
    }

    /// As they were left.
    pub(crate) fn of(changes: [Option<Changes>; 2]) -> Levels {
        let tracked = changes.map(|changes| Tracked { changes, ..Tracked::default() });
        Levels { tracked, adopts: None, restarts_journal: true }
    }

    /// A page is written or cut; `before` is its hash until now.
    pub(crate) fn note(&mut self, page: PageNumber, before: PageHash) {
        self.tracked.iter_mut().for_each(|tracked| tracked.note(page, before));
    }

    /// What changed since the base of a level, if that is known.
    pub(crate) fn changes(&self, level: Level) -> Option<&Changes> {
        self.tracked[level as usize].changes.as_ref()
    }

    /// All levels, to be written down.
    pub(crate) fn tracked(&mut self) -> &mut [Tracked; 2] {
        &mut self.tracked
    }

    /// An object of the state `now` is being made: levels up to `level` begin with it.
    pub(crate) fn begin(&mut self, level: Level, now: EntryState) {
        for each in Level::ALL.into_iter().filter(|each| *each <= level) {
            self.tracked[each as usize].next = Some(Changes::new(now));
        }
        self.adopts = None;
    }

    /// The object is durable, and entry `by` vouches for it.
    pub(crate) fn vouched(&mut self, by: Txid) {
        self.adopts = Some(by);
    }

    /// There is no such object.
    pub(crate) fn give_up(&mut self) {
        self.tracked.iter_mut().for_each(|tracked| tracked.next = None);
        self.adopts = None;
    }

    /// What was known of a level is wrong.
    pub(crate) fn forget(&mut self, level: Level) {
        self.give_up();
        self.tracked[level as usize] = Tracked::default();
        self.restarts_journal = true;
    }

    /// Entries up to `durable` are durable.
    pub(crate) fn confirm(&mut self, durable: Txid) {
        if self.adopts.is_none_or(|by| by > durable) {
            return;
        }
        self.adopts = None;
        for tracked in &mut self.tracked {
            if let Some(next) = tracked.next.take() {
                *tracked = Tracked { changes: Some(next), ..Tracked::default() };
            }
        }
        self.restarts_journal = true;
    }

    /// Whether an object is being made, or its entry is not durable yet.
    pub(crate) fn is_busy(&self) -> bool {
        self.tracked.iter().any(|tracked| tracked.next.is_some())
    }
}
