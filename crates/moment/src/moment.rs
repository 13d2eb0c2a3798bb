//! The database as it was after one entry.

use std::sync::{Arc, Mutex, PoisonError};

use ebbtide_catalog::{IndexState, Outline, Target};
use ebbtide_replica::{PageHash, Timestamp, Txid, page_hash};
use ebbtide_wal::{PageNumber, PageSize, lock_page};

use crate::build::build;
use crate::error::{Error, Result, Stopped, Tried};
use crate::layer::ListedHashes;
use crate::map::{Listed, Map, Place};
use crate::page::Page;
use crate::proof::Proof;
use crate::proved_lists::ProvedLists;
use crate::readahead::Readahead;
use crate::replica::{Replica, turn_down};

/// How often the map is made again at most because objects were gone or damaged. Each time does without one more of them.
const MAPS_MAX: u32 = 64;

/// The database after one entry. It never changes; clones are the same.
#[derive(Debug, Clone)]
pub struct Moment {
    shared: Arc<MomentParts>,
}

#[derive(Debug)]
struct MomentParts {
    replica: Replica,
    outline: Outline,
    proof: Proof,
    /// By which it is planned for again, and as of when.
    again: (Target, Timestamp),
    mapped: Mutex<Arc<Mapped>>,
}

/// The map, and what was learned while it was used.
#[derive(Debug)]
struct Mapped {
    map: Map,
    lists: ProvedLists,
    readahead: Readahead,
    /// How many maps there were before it.
    before: u32,
}

impl Mapped {
    fn new(map: Map, before: u32, replica: &Replica) -> Arc<Mapped> {
        let cache_bytes = replica.blocks().cache().bytes_max();
        let (lists, readahead) = (ProvedLists::default(), Readahead::new(cache_bytes));
        Arc::new(Mapped { map, lists, readahead, before })
    }
}

impl Moment {
    pub(crate) fn new(
        replica: Replica,
        outline: Outline,
        proof: Proof,
        again: (Target, Timestamp),
        map: Map,
    ) -> Moment {
        let mapped = Mutex::new(Mapped::new(map, 0, &replica));
        Moment { shared: Arc::new(MomentParts { replica, outline, proof, again, mapped }) }
    }

    /// The replica that it is a moment of.
    #[must_use]
    pub fn replica(&self) -> &Replica {
        &self.shared.replica
    }

    /// Which state it is, what it is built from, and what the user ought to know.
    #[must_use]
    pub fn outline(&self) -> &Outline {
        &self.shared.outline
    }

    /// The entry.
    #[must_use]
    pub fn txid(&self) -> Txid {
        self.state().state.txid()
    }

    /// When the entry was made.
    #[must_use]
    pub fn time(&self) -> Timestamp {
        self.state().state.time()
    }

    fn state(&self) -> &IndexState {
        &self.shared.outline.point
    }

    /// How far what is read is proved.
    #[must_use]
    pub fn proof(&self) -> Proof {
        self.shared.proof
    }

    /// The size of a page.
    #[must_use]
    pub fn page_size(&self) -> PageSize {
        self.shared.outline.page_size
    }

    /// How many pages the database has.
    #[must_use]
    pub fn pages(&self) -> u32 {
        self.state().state.database_pages
    }

    /// How many bytes the database has.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        u64::from(self.pages()) * self.page_size().offset()
    }

    /// One page. An object that is gone or damaged is asked for once more, and then planned around.
    ///
    /// # Errors
    /// When the store fails, nothing serves in the place of an object, or there is no such page.
    pub async fn page(&self, number: PageNumber) -> Result<Page> {
        if number.get() > self.pages() {
            let (page, txid, pages) = (number.get(), self.txid(), self.pages());
            return Err(Error::NoPage { page, txid, pages });
        }
        loop {
            let mapped = self.mapped();
            match self.read(&mapped, number).await {
                Ok(page) => return Ok(page),
                Err(stopped) => self.map_again(mapped.before, stopped).await?,
            }
        }
    }

    /// The same if it is here and need not be waited for.
    #[must_use]
    pub fn page_at_hand(&self, number: PageNumber) -> Option<Page> {
        if number == lock_page(self.page_size()) {
            return None;
        }
        let mapped = self.mapped();
        let place = mapped.map.place(number.get())?;
        let page = self.at_hand(&place)?;
        if self.proof() == Proof::Page {
            let hash = match place.hash {
                Listed::Here(hash) => hash?,
                Listed::InLayer { layer, position } => {
                    let hashes = mapped.map.layer(layer)?.0.hashes.as_ref()?;
                    let (list, slot) = hashes.find(position)?;
                    ListedHashes::hash(&mapped.lists.get(layer, list)?, slot)?
                }
            };
            if page_hash(number, &page) != hash {
                return None;
            }
        }
        self.read_ahead(&mapped, number, &page, &place);
        Some(page)
    }

    /// A page of a block that is here, not proved by its hash.
    fn at_hand(&self, place: &Place) -> Option<Page> {
        let block = self.shared.replica.blocks().at_hand(place.key, &place.block)?;
        Page::of(block, place.slot, self.page_size().bytes())
    }

    async fn read(&self, mapped: &Mapped, number: PageNumber) -> Tried<Page> {
        let page_size = self.page_size();
        if number == lock_page(page_size) {
            return Ok(Page::zeros(page_size.bytes()));
        }
        let place = mapped.map.place(number.get()).ok_or_else(|| self.without(number))?;
        let blocks = self.shared.replica.blocks();
        let mut asked_again = false;
        loop {
            let block = blocks.block(place.key, &place.block).await?;
            let page = Page::of(block, place.slot, page_size.bytes());
            let page = page.ok_or_else(|| self.without(number))?;
            if self.proof() == Proof::Block
                || self.listed(mapped, &place).await? == Some(page_hash(number, &page))
            {
                self.read_ahead(mapped, number, &page, &place);
                return Ok(page);
            }
            blocks.forget(place.key, &place.block);
            if std::mem::replace(&mut asked_again, true) {
                let why = format!("page {number} is not the one that was written");
                return Err(Stopped::Damaged(place.key, why));
            }
        }
    }

    /// The hash that was proved for a page.
    async fn listed(&self, mapped: &Mapped, place: &Place) -> Tried<Option<PageHash>> {
        let (layer, position) = match place.hash {
            Listed::Here(hash) => return Ok(hash),
            Listed::InLayer { layer, position } => (layer, position),
        };
        let Some((rows, key)) = mapped.map.layer(layer) else { return Ok(None) };
        let Some(hashes) = &rows.hashes else { return Ok(None) };
        let Some((number, slot)) = hashes.find(position) else { return Ok(None) };
        if let Some(raw) = mapped.lists.get(layer, number) {
            return Ok(ListedHashes::hash(&raw, slot));
        }
        let blocks = self.shared.replica.blocks();
        let raw = blocks.block(key, &hashes.blocks[number]).await?;
        if !hashes.is_proved(number, &raw) {
            blocks.forget(key, &hashes.blocks[number]);
            let why = "its list of hashes is another one than before".to_owned();
            return Err(Stopped::Damaged(key, why));
        }
        mapped.lists.put(layer, number, &raw);
        Ok(ListedHashes::hash(&raw, slot))
    }

    /// Begins to read what will probably be read next.
    fn read_ahead(&self, mapped: &Mapped, number: PageNumber, page: &Page, place: &Place) {
        let map = &mapped.map;
        let guess = mapped.readahead.note(
            (number.get(), page),
            (place.object, place.number),
            |page| map.place(page).map(|place| (place.object, place.number)),
            |page| map.place(page).and_then(|place| self.at_hand(&place)),
        );
        for (object, numbers) in guess {
            if let Some(object) = map.object(object) {
                let rows = numbers.into_iter().filter_map(|number| object.blocks.get(number));
                self.shared.replica.blocks().read_ahead(object.key, rows);
            }
        }
    }

    /// The map has no such page, which building it has shown not to happen.
    fn without(&self, number: PageNumber) -> Stopped {
        let why = format!("page {number} is in no object that gives txid {}", self.txid());
        let key = ebbtide_replica::Key::Log(self.txid());
        Stopped::Failed(Error::Object { key, why })
    }

    fn mapped(&self) -> Arc<Mapped> {
        Arc::clone(&self.shared.mapped.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes another map, without an object, for the same entry and the same chain; nothing if somebody did since there
    /// were `before`.
    async fn map_again(&self, before: u32, stopped: Stopped) -> Result<()> {
        if let Stopped::Failed(error) = stopped {
            return Err(error);
        }
        let told = stopped.clone().into_error();
        let (target, now) = self.shared.again;
        let mut survey = self.shared.replica.survey().await;
        if self.mapped().before != before {
            return Ok(());
        }
        if before >= MAPS_MAX {
            return Err(told);
        }
        turn_down(&mut survey, stopped).await?;
        loop {
            let plan = survey.plan_to_read(target, now).await?;
            let (ours, theirs) = (&self.state().state, &plan.stop.state);
            if ours.chain != theirs.chain || !ours.has_same_pages(theirs) {
                return Err(told);
            }
            let blocks = self.shared.replica.blocks();
            match build(&survey, &plan, self.proof(), blocks).await {
                Ok(map) => {
                    let mapped = Mapped::new(map, before + 1, self.replica());
                    *self.shared.mapped.lock().unwrap_or_else(PoisonError::into_inner) = mapped;
                    return Ok(());
                }
                Err(stopped) => turn_down(&mut survey, stopped).await?,
            }
        }
    }
}
