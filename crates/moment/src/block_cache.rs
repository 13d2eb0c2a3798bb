//! Decoded blocks, shared by all moments of a process: what did not change between two moments is fetched once.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use ebbtide_replica::Key;

use crate::error::{Error, Stopped};
use crate::flight::{Flight, Landed};

/// Stands for the whole object in the place of an offset.
const WHOLE: u64 = u64::MAX;

/// Which block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct BlockId {
    /// The replica, as [`BlockCache::source`] numbered it.
    pub(crate) source: u32,
    pub(crate) key: Key,
    /// Where it begins in the object.
    pub(crate) offset: u64,
}

/// The cache: the blocks that were used last, up to a number of bytes, and those that are on their way.
#[derive(Debug)]
pub struct BlockCache {
    bytes_max: usize,
    sources: AtomicU32,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    kept: HashMap<BlockId, KeptBlock>,
    /// By when they were used last.
    by_use: BTreeMap<u64, BlockId>,
    uses: u64,
    bytes: usize,
    flights: HashMap<BlockId, Arc<Flight>>,
}

#[derive(Debug)]
struct KeptBlock {
    bytes: Kept,
    used: u64,
}

#[derive(Debug)]
enum Kept {
    Block(Arc<Vec<u8>>),
    /// A small object as it is in the store, which came along with its index.
    Body(Bytes),
}

/// What becomes of a wish for a block.
pub(crate) enum Claim {
    /// It is here.
    Ready(Arc<Vec<u8>>),
    /// It is on its way.
    Waits(Arc<Flight>),
    /// Nobody else fetches it.
    Leads(Lead),
}

/// The duty to fetch a block that others may wait for. They hear of it, whatever happens.
#[derive(Debug)]
pub(crate) struct Lead {
    cache: Arc<BlockCache>,
    id: BlockId,
    flight: Arc<Flight>,
}

impl BlockCache {
    /// A cache of so many bytes.
    #[must_use]
    pub fn new(bytes_max: usize) -> Arc<BlockCache> {
        let (sources, inner) = (AtomicU32::new(0), Mutex::default());
        Arc::new(BlockCache { bytes_max, sources, inner })
    }

    /// A number for one more replica.
    pub(crate) fn source(&self) -> u32 {
        self.sources.fetch_add(1, Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many bytes are kept.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.lock().bytes
    }

    pub(crate) fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    /// A block, if it is here.
    pub(crate) fn get(&self, id: BlockId) -> Option<Arc<Vec<u8>>> {
        match self.lock().touch(id)? {
            Kept::Block(block) => Some(Arc::clone(block)),
            Kept::Body(_) => None,
        }
    }

    /// Whether a block is here or on its way.
    pub(crate) fn has(&self, id: BlockId) -> bool {
        let inner = self.lock();
        inner.kept.contains_key(&id) || inner.flights.contains_key(&id)
    }

    /// A whole object, if it is here.
    pub(crate) fn body(&self, source: u32, key: Key) -> Option<Bytes> {
        match self.lock().touch(BlockId { source, key, offset: WHOLE })? {
            Kept::Body(body) => Some(body.clone()),
            Kept::Block(_) => None,
        }
    }

    /// Keeps a whole object, while there is room for it beside blocks.
    pub(crate) fn put_body(&self, source: u32, key: Key, body: Bytes) {
        let mut inner = self.lock();
        if inner.bytes + body.len() <= self.bytes_max / 2 {
            let id = BlockId { source, key, offset: WHOLE };
            inner.put(id, Kept::Body(body), self.bytes_max);
        }
    }

    /// Forgets a block, or the whole object.
    pub(crate) fn forget(&self, id: BlockId) {
        let mut inner = self.lock();
        inner.remove(id);
        inner.remove(BlockId { offset: WHOLE, ..id });
    }

    /// Asks for a block: it is here, or somebody fetches it, or the caller has to.
    pub(crate) fn claim(self: &Arc<Self>, id: BlockId) -> Claim {
        let mut inner = self.lock();
        if let Some(Kept::Block(block)) = inner.touch(id) {
            return Claim::Ready(Arc::clone(block));
        }
        if let Some(flight) = inner.flights.get(&id) {
            return Claim::Waits(Arc::clone(flight));
        }
        let flight = Arc::new(Flight::default());
        inner.flights.insert(id, Arc::clone(&flight));
        Claim::Leads(Lead { cache: Arc::clone(self), id, flight })
    }

    fn land(&self, id: BlockId, flight: &Flight, landed: Landed) {
        let mut inner = self.lock();
        inner.flights.remove(&id);
        if let Ok(block) = &landed {
            inner.put(id, Kept::Block(Arc::clone(block)), self.bytes_max);
        }
        drop(inner);
        flight.land(landed);
    }
}

impl Inner {
    fn touch(&mut self, id: BlockId) -> Option<&Kept> {
        let kept = self.kept.get_mut(&id)?;
        self.uses += 1;
        self.by_use.remove(&kept.used);
        kept.used = self.uses;
        self.by_use.insert(self.uses, id);
        Some(&kept.bytes)
    }

    fn put(&mut self, id: BlockId, bytes: Kept, bytes_max: usize) {
        self.remove(id);
        self.uses += 1;
        self.bytes += bytes.len();
        self.kept.insert(id, KeptBlock { bytes, used: self.uses });
        self.by_use.insert(self.uses, id);
        // The one at hand stays, however small the cache is.
        while self.bytes > bytes_max
            && self.kept.len() > 1
            && let Some((_, oldest)) = self.by_use.pop_first()
        {
            let dropped = self.kept.remove(&oldest);
            self.bytes -= dropped.map_or(0, |dropped| dropped.bytes.len());
        }
    }

    fn remove(&mut self, id: BlockId) {
        if let Some(kept) = self.kept.remove(&id) {
            self.by_use.remove(&kept.used);
            self.bytes -= kept.bytes.len();
        }
    }
}

impl Kept {
    fn len(&self) -> usize {
        match self {
            Kept::Block(block) => block.len(),
            Kept::Body(body) => body.len(),
        }
    }
}

impl Lead {
    /// By which the caller waits as everybody else does.
    pub(crate) fn flight(&self) -> Arc<Flight> {
        Arc::clone(&self.flight)
    }

    /// Hands the block to everybody who waits, and to the cache.
    pub(crate) fn land(self, landed: Landed) {
        self.cache.land(self.id, &self.flight, landed);
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        // After `land` nobody waits any more, and another flight may have its place.
        let mut inner = self.cache.lock();
        if inner.flights.get(&self.id).is_some_and(|flight| Arc::ptr_eq(flight, &self.flight)) {
            inner.flights.remove(&self.id);
        }
        drop(inner);
        self.flight.land(Err(Stopped::Failed(Error::BrokenOff)));
    }
}

#[cfg(test)]
mod tests {
    use ebbtide_replica::Txid;

    use super::*;

    fn id(offset: u64) -> BlockId {
        BlockId { source: 0, key: Key::Log(Txid::FIRST), offset }
    }

    fn put(cache: &Arc<BlockCache>, offset: u64, length: usize) {
        match cache.claim(id(offset)) {
            Claim::Leads(lead) => lead.land(Ok(Arc::new(vec![0; length]))),
            _ => panic!("{offset} is there"),
        }
    }

    #[test]
    fn what_was_used_last_stays_and_the_bytes_are_bounded() {
        let cache = BlockCache::new(1000);
        for offset in 0..10 {
            put(&cache, offset, 100);
        }
        assert!(cache.get(id(0)).is_some());
        put(&cache, 10, 250);
        assert!(cache.bytes() <= 1000, "{}", cache.bytes());
        let there: Vec<u64> = (0..11).filter(|&offset| cache.get(id(offset)).is_some()).collect();
        assert_eq!(there, [0, 4, 5, 6, 7, 8, 9, 10]);
        put(&cache, 11, 5000);
        assert_eq!(cache.bytes(), 5000, "the one at hand stays alone");
        cache.forget(id(11));
        assert_eq!(cache.bytes(), 0);
    }

    #[test]
    fn bodies_take_no_more_than_half_of_the_room() {
        let cache = BlockCache::new(1000);
        for number in 1..=10 {
            let key = Key::Log(Txid::new(number).unwrap());
            cache.put_body(0, key, Bytes::from(vec![1; 120]));
        }
        assert_eq!(cache.bytes(), 480);
        assert!(cache.body(0, Key::Log(Txid::FIRST)).is_some());
        assert!(cache.body(1, Key::Log(Txid::FIRST)).is_none(), "another replica");
    }

    #[tokio::test]
    async fn one_fetches_and_all_hear_of_it_also_of_one_that_was_dropped() {
        let cache = BlockCache::new(1000);
        let Claim::Leads(lead) = cache.claim(id(1)) else { panic!("nobody fetches it") };
        let Claim::Waits(first) = cache.claim(id(1)) else { panic!("somebody fetches it") };
        let waits = tokio::spawn(async move { first.wait().await });
        tokio::task::yield_now().await;
        lead.land(Ok(Arc::new(vec![7])));
        assert_eq!(*waits.await.unwrap().unwrap(), [7]);
        let Claim::Leads(lead) = cache.claim(id(2)) else { panic!("nobody fetches it") };
        let flight = lead.flight();
        drop(lead);
        assert!(matches!(flight.wait().await, Err(Stopped::Failed(Error::BrokenOff))));
        assert!(!cache.has(id(2)), "it can be fetched again");
    }
}
