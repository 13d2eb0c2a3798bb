//! The digest of the database, kept up to date entry by entry from the hashes of the pages that each changed.
//!
//! The hash that a page had before stands in one of three places: in the open segment's layer, in the layer of a
//! segment on its way, or in the durable table beside the database. A layer reaches the table when its segment is
//! confirmed, so that the table always tells the state of a txid that the replica has.

use std::collections::{HashMap, VecDeque};

use ebbtide_replica::{Digest, PageHash};
use ebbtide_state::{Position, State};
use ebbtide_wal::{PageNumber, lock_page};

use crate::error::Error;

/// How many hashes are looked up at once when a database shrinks.
const SHRINK_PAGES_AT_ONCE: u32 = 65_536;

const NONE: PageHash = PageHash::from_bytes([0; 16]);

/// What one segment changed.
#[derive(Debug)]
struct Layer {
    hashes: HashMap<PageNumber, PageHash>,
    /// The smallest size that the database had within the segment: a page beyond it that is not in `hashes` did not
    /// exist when the segment began to be written, whatever the layers below say.
    smallest: u32,
}

impl Layer {
    fn new() -> Layer {
        Layer { hashes: HashMap::new(), smallest: u32::MAX }
    }

    fn find(&self, page: PageNumber) -> Option<PageHash> {
        let beyond = || (page.get() > self.smallest).then_some(NONE);
        self.hashes.get(&page).copied().or_else(beyond)
    }

    /// The database shrank: what it grows again has nothing to do with what was there.
    fn cut(&mut self, database_pages: u32) {
        self.smallest = self.smallest.min(database_pages);
        self.hashes.retain(|page, _| page.get() <= database_pages);
    }
}

/// The hashes of all pages, and the digest over them, as of the last entry recorded.
#[derive(Debug)]
pub(crate) struct Ledger {
    state: State,
    /// Oldest first.
    on_their_way: VecDeque<Layer>,
    open: Layer,
    digest: Digest,
    database_pages: u32,
}

impl Ledger {
    /// As of the position that `state` holds.
    pub(crate) fn new(state: State) -> Ledger {
        let (digest, database_pages) = (state.position().digest, state.position().database_pages);
        Ledger { state, on_their_way: VecDeque::new(), open: Layer::new(), digest, database_pages }
    }

    /// The durable position.
    pub(crate) fn durable(&self) -> &Position {
        self.state.position()
    }

    /// The digest after the last entry recorded.
    pub(crate) fn digest(&self) -> Digest {
        self.digest
    }

    /// The size of the database after the last entry recorded, in pages.
    pub(crate) fn database_pages(&self) -> u32 {
        self.database_pages
    }

    /// Records an entry that leaves `database_pages` and set the hashes of the pages in `changed`, which ascend; the
    /// digest after it.
    pub(crate) fn record(
        &mut self,
        changed: &[(PageNumber, PageHash)],
        database_pages: u32,
    ) -> Result<Digest, Error> {
        self.check_growth(changed, database_pages)?;
        let mut digest = self.digest;
        let mut first = database_pages.saturating_add(1);
        while first <= self.database_pages {
            let last = self.database_pages.min(first.saturating_add(SHRINK_PAGES_AT_ONCE - 1));
            let gone: Vec<PageNumber> = (first..=last).filter_map(PageNumber::new).collect();
            digest = self.look_up(&gone)?.into_iter().fold(digest, Digest::toggle);
            first = last.saturating_add(1);
        }
        let pages: Vec<PageNumber> = changed.iter().map(|&(page, _)| page).collect();
        digest = self.look_up(&pages)?.into_iter().fold(digest, Digest::toggle);
        digest = changed.iter().fold(digest, |digest, &(_, hash)| digest.toggle(hash));
        if database_pages < self.database_pages {
            self.open.cut(database_pages);
        }
        self.open.hashes.extend(changed.iter().copied());
        (self.digest, self.database_pages) = (digest, database_pages);
        Ok(digest)
    }

    /// A database never grows by a page that is not written; the format relies on it.
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

    /// The hashes that pages have now; zeros for those that do not exist.
    fn look_up(&self, pages: &[PageNumber]) -> Result<Vec<PageHash>, Error> {
        let above = |page: PageNumber| {
            let below = || self.on_their_way.iter().rev().find_map(|layer| layer.find(page));
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

    /// The hashes that consecutive pages have in the durable table.
    pub(crate) fn durable_pages(
        &self,
        first: PageNumber,
        count: u32,
    ) -> Result<Vec<PageHash>, Error> {
        Ok(self.state.pages(first, count)?)
    }

    /// The open segment is complete and goes on its way; how many pages it changed.
    pub(crate) fn seal(&mut self) -> u64 {
        let sealed = std::mem::replace(&mut self.open, Layer::new());
        let pages = sealed.hashes.len() as u64;
        self.on_their_way.push_back(sealed);
        pages
    }

    /// Closes the table's files until they are needed again.
    pub(crate) fn rest(&mut self) {
        self.state.rest();
    }

    /// The oldest segment on its way is durable, and `position` with it.
    pub(crate) fn confirm(&mut self, position: Position) -> Result<(), Error> {
        let layer = self.on_their_way.pop_front().unwrap_or_else(Layer::new);
        let updates: Vec<(PageNumber, PageHash)> = layer.hashes.into_iter().collect();
        Ok(self.state.commit(position, &updates)?)
    }

    /// What is durable in the store is so in the local state, too.
    pub(crate) fn sync(&mut self) -> Result<(), Error> {
        Ok(self.state.sync()?)
    }
}
