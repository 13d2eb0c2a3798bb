//! The hash of every page, and the digest over them, updated with each entry.
//!
//! The current hash of a page is in one of three places, searched in this order: the overlay of the open segment, the
//! overlays of the segments in flight, the durable table beside the database. An overlay is written into the table when
//! its segment is confirmed, so the table always has the state of a txid that the replica has.

use std::collections::{HashMap, VecDeque};

use ebbtide_replica::{Digest, PageHash};
use ebbtide_state::{Position, State};
use ebbtide_wal::{PageNumber, lock_page};

use crate::error::Error;
use crate::levels::Levels;
use crate::levels_record;

/// How many hashes are looked up with one call when a database shrinks.
const SHRINK_BATCH_PAGES: u32 = 65_536;

/// A journal of levels that is longer than this, and than twice what it says, is begun again.
const JOURNAL_BYTES: u64 = 1024 * 1024;

const NONE: PageHash = PageHash::from_bytes([0; 16]);

/// The page hashes that one segment changed.
#[derive(Debug)]
struct Overlay {
    hashes: HashMap<PageNumber, PageHash>,
    /// The smallest size of the database within the segment. A page beyond it that is not in `hashes` does not exist,
    /// even if an older overlay or the table has a hash for it.
    smallest: u32,
}

impl Overlay {
    fn new() -> Overlay {
        Overlay { hashes: HashMap::new(), smallest: u32::MAX }
    }

    fn find(&self, page: PageNumber) -> Option<PageHash> {
        let beyond = || (page.get() > self.smallest).then_some(NONE);
        self.hashes.get(&page).copied().or_else(beyond)
    }

    /// Drops the hashes beyond the new size: if the database grows again, those pages are new.
    fn cut(&mut self, database_pages: u32) {
        self.smallest = self.smallest.min(database_pages);
        self.hashes.retain(|page, _| page.get() <= database_pages);
    }
}

/// The page hashes and the digest after the last recorded entry.
#[derive(Debug)]
pub(crate) struct PageHashes {
    state: State,
    /// Oldest first.
    in_flight: VecDeque<Overlay>,
    open: Overlay,
    digest: Digest,
    database_pages: u32,
    levels: Levels,
    /// A longer journal is begun again.
    journal_bytes_max: u64,
}

impl PageHashes {
    /// The page hashes at the position of `state`.
    pub(crate) fn new(mut state: State) -> PageHashes {
        let records = state.take_records();
        let base = state.position().state;
        let levels = levels_record::read(&records, &base);
        let (digest, database_pages) =
            (state.position().state.digest, state.position().state.database_pages);
        PageHashes {
            state,
            in_flight: VecDeque::new(),
            open: Overlay::new(),
            digest,
            database_pages,
            levels: levels.unwrap_or_else(|| Levels::new(base)),
            journal_bytes_max: JOURNAL_BYTES,
        }
    }

    /// What changed since the last deltas.
    pub(crate) fn levels(&self) -> &Levels {
        &self.levels
    }

    /// The same, to be changed.
    pub(crate) fn levels_mut(&mut self) -> &mut Levels {
        &mut self.levels
    }

    /// The durable position.
    pub(crate) fn durable(&self) -> &Position {
        self.state.position()
    }

    /// The digest after the last recorded entry.
    pub(crate) fn digest(&self) -> Digest {
        self.digest
    }

    /// The size of the database after the last recorded entry, in pages.
    pub(crate) fn database_pages(&self) -> u32 {
        self.database_pages
    }

    /// Records an entry, and returns the digest after it. `changed` has the new page hashes in ascending order of
    /// pages.
    pub(crate) fn record(
        &mut self,
        changed: &[(PageNumber, PageHash)],
        database_pages: u32,
    ) -> Result<Digest, Error> {
        self.check_growth(changed, database_pages)?;
        let mut digest = self.digest;
        let mut first = database_pages.saturating_add(1);
        while first <= self.database_pages {
            let last = self.database_pages.min(first.saturating_add(SHRINK_BATCH_PAGES - 1));
            let gone: Vec<PageNumber> = (first..=last).filter_map(PageNumber::new).collect();
            digest = self.take_out(digest, &gone)?;
            first = last.saturating_add(1);
        }
        let pages: Vec<PageNumber> = changed.iter().map(|&(page, _)| page).collect();
        digest = self.take_out(digest, &pages)?;
        digest = changed.iter().fold(digest, |digest, &(_, hash)| digest.toggle(hash));
        if database_pages < self.database_pages {
            self.open.cut(database_pages);
        }
        self.open.hashes.extend(changed.iter().copied());
        (self.digest, self.database_pages) = (digest, database_pages);
        Ok(digest)
    }

    /// Takes the present hashes of pages that are written or cut out of a digest.
    fn take_out(&mut self, digest: Digest, pages: &[PageNumber]) -> Result<Digest, Error> {
        let before = self.look_up(pages)?;
        for (&page, &hash) in pages.iter().zip(&before) {
            self.levels.note(page, hash);
        }
        Ok(before.into_iter().fold(digest, Digest::toggle))
    }

    /// Checks that the entry writes every page by which the database grew. The format relies on it.
    fn check_growth(
        &self,
        changed: &[(PageNumber, PageHash)],
        database_pages: u32,
    ) -> Result<(), Error> {
        let Some(grown) = database_pages.checked_sub(self.database_pages) else { return Ok(()) };
        let lock = lock_page(self.durable().page_size).get();
        let holds_lock = self.database_pages < lock && lock <= database_pages;
        let new = changed.partition_point(|&(page, _)| page.get() <= self.database_pages);
        if changed.len() - new == (grown - u32::from(holds_lock)) as usize {
            return Ok(());
        }
        Err(Error::Hole { from: self.database_pages, to: database_pages })
    }

    /// The current hashes of pages; zeros for pages that do not exist.
    fn look_up(&self, pages: &[PageNumber]) -> Result<Vec<PageHash>, Error> {
        let above = |page: PageNumber| {
            let below = || self.in_flight.iter().rev().find_map(|overlay| overlay.find(page));
            self.open.find(page).or_else(below)
        };
        let found: Vec<Option<PageHash>> = pages.iter().map(|&page| above(page)).collect();
        let missing: Vec<PageNumber> = pages
            .iter()
            .zip(&found)
            .filter_map(|(&page, hash)| hash.is_none().then_some(page))
            .collect();
        let mut durable = self.state.look_up(&missing)?.into_iter();
        Ok(found.into_iter().map(|hash| hash.or_else(|| durable.next()).unwrap_or(NONE)).collect())
    }

    /// The hashes of consecutive pages in the durable table.
    pub(crate) fn durable_pages(
        &self,
        first: PageNumber,
        count: u32,
    ) -> Result<Vec<PageHash>, Error> {
        Ok(self.state.pages(first, count)?)
    }

    /// Begins a new overlay: the open segment is sealed. Returns how many pages the segment changed.
    pub(crate) fn seal(&mut self) -> u64 {
        let sealed = std::mem::replace(&mut self.open, Overlay::new());
        let pages = sealed.hashes.len() as u64;
        self.in_flight.push_back(sealed);
        pages
    }

    /// Closes the file descriptors of the table until the next access.
    pub(crate) fn close_files(&mut self) {
        self.state.close_files();
    }

    /// Writes the oldest overlay into the table: its segment is durable, and `position` is the new durable position.
    pub(crate) fn confirm(&mut self, position: Position) -> Result<(), Error> {
        // What is written down of the levels is never older than the position.
        self.levels.confirm(position.state.txid());
        self.write_levels()?;
        let overlay = self.in_flight.pop_front().unwrap_or_else(Overlay::new);
        let updates: Vec<(PageNumber, PageHash)> = overlay.hashes.into_iter().collect();
        Ok(self.state.commit(position, &updates)?)
    }

    fn write_levels(&mut self) -> Result<(), Error> {
        let is_long = self.state.journal_bytes() > self.journal_bytes_max;
        if self.levels.restarts_journal || is_long {
            let record = levels_record::all(&mut self.levels);
            self.journal_bytes_max = JOURNAL_BYTES.max(2 * record.len() as u64);
            self.state.begin_journal(&record)?;
        } else if let Some(record) = levels_record::more(&mut self.levels) {
            self.state.append_to_journal(&record)?;
        }
        Ok(())
    }

    /// Makes the table durable on the local disk.
    pub(crate) fn sync(&mut self) -> Result<(), Error> {
        Ok(self.state.sync()?)
    }
}
