//! The hashes that an object lists of its pages: proved against the entries that carry the pages, and handed out to those
//! who compare the pages with them.
//!
//! The entries are under the chain and the digest is not enough: it is a sum, and whoever may write to the store can make
//! up pages that add up to it. The list is 16 bytes a page, and most of it is in memory for a moment only.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use ebbtide_replica::container::{Block, ContentCheck, page_hashes};
use ebbtide_replica::{Error, Key, PageHash};
use ebbtide_store::{Store, StoreError};
use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesOrdered;

use crate::{CatalogError, Fetched};

/// So many hashes are kept for the next time: those of a gibibyte of pages of 4 KiB.
const KEPT_MAX: usize = 256 * 1024;

/// A list of no more bytes is read ahead, so that nobody waits for each of many.
const AHEAD_MAX: u64 = 256 * 1024;

/// So many blocks of a long list are on their way at once, each a mebibyte at most.
const BLOCKS_AT_ONCE: usize = 6;

/// The hashes of one block, and how many there are in the object before them.
#[derive(Debug)]
pub(crate) struct Listed {
    first: u64,
    hashes: Vec<PageHash>,
}

impl Listed {
    /// Those of `count` pages before which there are `ordinal` others, as far as they are here.
    fn of(&self, ordinal: u64, count: u64) -> &[PageHash] {
        let length = self.hashes.len();
        let at = |ordinal: u64| {
            usize::try_from(ordinal.saturating_sub(self.first)).unwrap_or(length).min(length)
        };
        &self.hashes[at(ordinal)..at(ordinal.saturating_add(count))]
    }
}

/// What the pages of a request must hash to.
#[derive(Debug, Clone, Default)]
pub struct Expected(Vec<Arc<Listed>>);

impl Expected {
    /// Whether the pages before which there are `ordinal` others in their object have these hashes.
    #[must_use]
    pub fn are(&self, ordinal: u64, hashes: &[PageHash]) -> bool {
        self.hashes(ordinal, hashes.len() as u64).eq(hashes)
    }

    /// The hashes of `count` pages before which there are `ordinal` others in their object, as far as they are here.
    pub fn hashes(&self, ordinal: u64, count: u64) -> impl Iterator<Item = &PageHash> {
        let begin = self.0.partition_point(|listed| listed.first <= ordinal).saturating_sub(1);
        let listed = self.0[begin..].iter();
        let listed = listed.take_while(move |listed| listed.first < ordinal.saturating_add(count));
        listed.flat_map(move |listed| listed.of(ordinal, count))
    }
}

/// The list of an object as it is in the object, if it is short and not at hand. A block that cannot be read is left to
/// whoever needs it.
pub async fn read_ahead(store: &dyn Store, key: Key, fetched: &Fetched) -> Vec<Bytes> {
    let blocks = fetched.index.hash_blocks();
    let bytes: u64 = blocks.iter().map(|block| u64::from(block.stored_len)).sum();
    let at_hand = |block: &Block| fetched.at_hand(block.offset..block.end()).is_some();
    let mut ahead = Vec::new();
    if bytes <= AHEAD_MAX && !blocks.iter().all(at_hand) {
        for block in blocks {
            match store.get_range(&key, block.offset..block.end()).await {
                Ok(stored) => ahead.push(stored),
                Err(_) => break,
            }
        }
    }
    ahead
}

/// The list of one object.
pub struct HashList<'a> {
    store: &'a dyn Store,
    key: Key,
    fetched: &'a Fetched,
    /// The blocks as they are in the object, if they were read ahead.
    ahead: Vec<Bytes>,
    /// Blocks that are on their way, in their order…
    coming: FuturesOrdered<BoxFuture<'a, Result<Bytes, StoreError>>>,
    /// …and how many were asked for.
    asked: usize,
    check: Option<ContentCheck<'a>>,
    /// BLAKE3 of each block that is proved: a block that is read again must be the same.
    proved: Vec<[u8; 32]>,
    /// The last that were read, by their numbers.
    kept: VecDeque<(usize, Arc<Listed>)>,
    kept_hashes: usize,
}

impl<'a> HashList<'a> {
    /// That of the object `key`, of which `fetched` is the index, and `ahead` what [`read_ahead`] gave.
    pub fn new(
        store: &'a dyn Store,
        key: Key,
        fetched: &'a Fetched,
        ahead: Vec<Bytes>,
    ) -> HashList<'a> {
        let check = Some(fetched.index.content_check());
        let (coming, proved, kept) = (FuturesOrdered::new(), Vec::new(), VecDeque::new());
        HashList {
            store,
            key,
            fetched,
            ahead,
            coming,
            asked: 0,
            check,
            proved,
            kept,
            kept_hashes: 0,
        }
    }

    /// What the pages in `blocks`, which are blocks of pages in ascending order, must hash to.
    pub async fn expected(
        &mut self,
        blocks: impl Iterator<Item = &Block>,
    ) -> Result<Expected, CatalogError> {
        let list = self.fetched.index.hash_blocks();
        let mut expected = Expected::default();
        if self.fetched.index.is_by_page() {
            // The hashes of a block are all over the list, which is a short one.
            for number in 0..list.len() {
                expected.0.push(self.block(number).await?);
            }
            return Ok(expected);
        }
        let mut next = 0;
        for block in blocks {
            let end = block.first + u64::from(block.count);
            let first = list.partition_point(|listed| listed.first <= block.first);
            let last = list.partition_point(|listed| listed.first < end);
            for number in first.saturating_sub(1).max(next)..last {
                expected.0.push(self.block(number).await?);
                next = number + 1;
            }
        }
        Ok(expected)
    }

    /// Proves what is not proved yet. BLAKE3 of each block of the list.
    pub async fn finish(mut self) -> Result<Vec<[u8; 32]>, CatalogError> {
        if let Some(last) = self.fetched.index.hash_blocks().len().checked_sub(1) {
            self.prove_through(last).await?;
        }
        let damaged = |source| CatalogError::Object { key: self.key, source };
        self.check.take().map_or(Ok(()), ContentCheck::finish).map_err(damaged)?;
        Ok(self.proved)
    }

    async fn block(&mut self, number: usize) -> Result<Arc<Listed>, CatalogError> {
        self.prove_through(number).await?;
        if let Some((_, listed)) = self.kept.iter().find(|(kept, _)| *kept == number) {
            return Ok(Arc::clone(listed));
        }
        let (raw, listed) = self.read(number, None).await?;
        if self.proved.get(number) != Some(blake3::hash(&raw).as_bytes()) {
            let why = "its list of hashes is another one than before";
            return Err(self.damaged(Error::damaged("the object", why)));
        }
        Ok(self.keep(number, listed))
    }

    /// In their order, because an entry's content is the hash of the hashes of all its pages.
    async fn prove_through(&mut self, number: usize) -> Result<(), CatalogError> {
        while self.proved.len() <= number {
            let next = self.proved.len();
            let stored = self.next_stored(next).await?;
            let (raw, listed) = self.read(next, stored).await?;
            let check = self.check.as_mut();
            let pushed = check.map_or(Ok(()), |check| {
                listed.hashes.iter().try_for_each(|&hash| check.push(hash))
            });
            pushed.map_err(|source| self.damaged(source))?;
            self.proved.push(*blake3::hash(&raw).as_bytes());
            self.keep(next, listed);
        }
        Ok(())
    }

    /// A block as it is in the object, if it is not at hand. The next ones are asked for with it, as the list is read to
    /// its end.
    async fn next_stored(&mut self, number: usize) -> Result<Option<Bytes>, CatalogError> {
        if self.at_hand(number).is_some() {
            return Ok(None);
        }
        let list = self.fetched.index.hash_blocks();
        self.asked = self.asked.max(number);
        while self.coming.len() < BLOCKS_AT_ONCE
            && let Some(block) = list.get(self.asked)
            && self.at_hand(self.asked).is_none()
        {
            let (store, key, range) = (self.store, self.key, block.offset..block.end());
            self.coming.push_back(Box::pin(async move { store.get_range(&key, range).await }));
            self.asked += 1;
        }
        Ok(self.coming.next().await.transpose()?)
    }

    fn at_hand(&self, number: usize) -> Option<Bytes> {
        let block = self.fetched.index.hash_blocks().get(number)?;
        let at_hand = self.fetched.at_hand(block.offset..block.end());
        at_hand.or_else(|| self.ahead.get(number).cloned())
    }

    /// A block, of which `stored` may be what is in the object.
    async fn read(
        &mut self,
        number: usize,
        stored: Option<Bytes>,
    ) -> Result<(Vec<u8>, Listed), CatalogError> {
        let index = &self.fetched.index;
        let block = index.hash_blocks()[number];
        let raw = match stored.or_else(|| self.at_hand(number)) {
            Some(stored) => block.decode(index.opener(), &stored),
            None => Err(Error::damaged("the hashes", "they were not read ahead")),
        };
        // What looks damaged is read a second time: the damage may have come about on the way.
        let raw = match raw {
            Ok(raw) => raw,
            Err(_) => {
                let stored = self.store.get_range(&self.key, block.offset..block.end()).await?;
                block.decode(index.opener(), &stored).map_err(|source| self.damaged(source))?
            }
        };
        let listed = Listed { first: block.first, hashes: page_hashes(&raw).collect() };
        Ok((raw, listed))
    }

    fn keep(&mut self, number: usize, listed: Listed) -> Arc<Listed> {
        let listed = Arc::new(listed);
        self.kept_hashes += listed.hashes.len();
        self.kept.push_back((number, Arc::clone(&listed)));
        while self.kept_hashes > KEPT_MAX
            && self.kept.len() > 1
            && let Some((_, oldest)) = self.kept.pop_front()
        {
            self.kept_hashes -= oldest.hashes.len();
        }
        listed
    }

    fn damaged(&self, source: Error) -> CatalogError {
        CatalogError::Object { key: self.key, source }
    }
}
