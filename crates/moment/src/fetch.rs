//! Fetches blocks: one that somebody waits for, and those that will probably be wanted next.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Buf as _, BytesMut};
use ebbtide_replica::Key;
use ebbtide_replica::container::{Block, Opener};
use ebbtide_store::{ByteStream, Store};
use futures::future::ready;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use crate::block_cache::{BlockCache, BlockId, Claim, Lead};
use crate::error::{Error, Stopped};
use crate::flight::Landed;
use crate::openers::Openers;

/// How many bytes are read ahead at once, as they are in the store: what a wrong guess costs at most.
const AHEAD_BYTES_MAX: usize = 16 * 1024 * 1024;

/// How many requests may wait for their turn to read ahead; more are not made.
const AHEAD_REQUESTS_MAX: usize = 64;

/// No request is for more bytes than this, unless a single block is larger.
const REQUEST_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Bytes between two blocks that are rather read along than left to another request.
const GAP_BYTES_MAX: u64 = 32 * 1024;

/// The blocks of one replica.
#[derive(Debug, Clone)]
pub(crate) struct Blocks {
    store: Arc<dyn Store>,
    cache: Arc<BlockCache>,
    source: u32,
    /// What opens the blocks of encrypted objects.
    openers: Arc<Openers>,
    /// Bytes that may still be read ahead.
    ahead: Arc<Semaphore>,
    ahead_max: u32,
    /// Requests to read ahead that are under way or wait.
    guesses: Arc<Semaphore>,
    /// The blocks of those that wait for their turn, which nobody fetches yet.
    awaited: Arc<Mutex<HashSet<BlockId>>>,
    /// On which blocks are fetched, whoever asks.
    runtime: Handle,
}

/// Consecutive blocks of one object that one request fetches.
struct Fetch {
    key: Key,
    blocks: Vec<(Lead, Block)>,
}

impl Blocks {
    /// Within the runtime that fetches them.
    pub(crate) fn new(store: Arc<dyn Store>, cache: Arc<BlockCache>) -> Blocks {
        let source = cache.source();
        let ahead_max = AHEAD_BYTES_MAX.min(cache.bytes_max() / 4);
        let ahead = Arc::new(Semaphore::new(ahead_max));
        let ahead_max = u32::try_from(ahead_max).unwrap_or(u32::MAX);
        let guesses = Arc::new(Semaphore::new(AHEAD_REQUESTS_MAX));
        let (openers, awaited, runtime) = (Arc::default(), Arc::default(), Handle::current());
        Blocks { store, cache, source, openers, ahead, ahead_max, guesses, awaited, runtime }
    }

    pub(crate) fn cache(&self) -> &BlockCache {
        &self.cache
    }

    pub(crate) fn runtime(&self) -> &Handle {
        &self.runtime
    }

    pub(crate) fn source(&self) -> u32 {
        self.source
    }

    /// Says how the blocks of an object are opened, before any is asked for.
    pub(crate) fn open_with(&self, key: Key, opener: &Opener) {
        self.openers.put(key, opener);
    }

    fn id(&self, key: Key, block: &Block) -> BlockId {
        BlockId { source: self.source, key, offset: block.offset }
    }

    fn awaited(&self) -> MutexGuard<'_, HashSet<BlockId>> {
        self.awaited.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A block, if it is here.
    pub(crate) fn at_hand(&self, key: Key, block: &Block) -> Option<Arc<Vec<u8>>> {
        self.cache.get(self.id(key, block))
    }

    /// Forgets a block that turned out not to be what it ought to be.
    pub(crate) fn forget(&self, key: Key, block: &Block) {
        self.cache.forget(self.id(key, block));
    }

    /// A block. What looks damaged, or is gone, is asked for once more: the damage may have come about on the way.
    pub(crate) async fn block(&self, key: Key, block: &Block) -> Landed {
        match self.once(key, block).await {
            Err(Stopped::Damaged(key, why)) => {
                tracing::warn!(object = %key, why, "requesting again what looks damaged");
                self.forget(key, block);
                self.once(key, block).await
            }
            // Others who waited for a task that broke off were only unlucky.
            Err(Stopped::Failed(Error::BrokenOff)) => self.once(key, block).await,
            landed => landed,
        }
    }

    async fn once(&self, key: Key, block: &Block) -> Landed {
        let flight = match self.cache.claim(self.id(key, block)) {
            Claim::Ready(block) => return Ok(block),
            Claim::Waits(flight) => flight,
            Claim::Leads(lead) => {
                let flight = lead.flight();
                self.begin(Fetch { key, blocks: vec![(lead, *block)] });
                flight
            }
        };
        flight.wait().await
    }

    /// Begins to read blocks of an object, given in ascending order, that are not here and that nobody will fetch soon, as
    /// far as there is room for guesses.
    pub(crate) fn read_ahead(&self, key: Key, blocks: impl Iterator<Item = Block>) {
        let is_missing = |block: &Block| {
            let id = self.id(key, block);
            !self.cache.has(id) && !self.awaited().contains(&id)
        };
        let mut missing = blocks.filter(is_missing).peekable();
        while let Some(first) = missing.next() {
            let (start, mut end) = (first.offset, first.end());
            let mut row = vec![first];
            while let Some(next) = missing.next_if(|next| {
                next.end() - start <= REQUEST_BYTES_MAX
                    && next.offset.saturating_sub(end) <= GAP_BYTES_MAX
            }) {
                end = next.end();
                row.push(next);
            }
            if !self.guess(key, row, end - start) {
                return;
            }
        }
    }

    /// Fetches these blocks when their turn comes, unless somebody did by then; whether there is room to wait for that.
    fn guess(&self, key: Key, row: Vec<Block>, bytes: u64) -> bool {
        let Ok(place) = Arc::clone(&self.guesses).try_acquire_owned() else { return false };
        let (blocks, ahead) = (self.clone(), Arc::clone(&self.ahead));
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).min(self.ahead_max);
        self.awaited().extend(row.iter().map(|block| self.id(key, block)));
        self.runtime.spawn(async move {
            let Ok(permit) = ahead.acquire_many_owned(bytes).await else { return };
            for block in &row {
                blocks.awaited().remove(&blocks.id(key, block));
            }
            let claim = |block: Block| match blocks.cache.claim(blocks.id(key, &block)) {
                Claim::Leads(lead) => Some((lead, block)),
                _ => None,
            };
            let claimed = row.into_iter().filter_map(claim).collect();
            Fetch { key, blocks: claimed }.run(&blocks).await;
            drop((permit, place));
        });
        true
    }

    /// Fetches on a task of its own, so that whoever stops waiting takes it from nobody else. What nobody waits for any more
    /// ends, so that a store that never answers keeps nothing.
    fn begin(&self, fetch: Fetch) {
        let blocks = self.clone();
        let flight = fetch.blocks.first().map(|(lead, _)| lead.flight());
        self.runtime.spawn(async move {
            let Some(flight) = flight else { return };
            tokio::select! {
                () = fetch.run(&blocks) => {}
                () = flight.abandoned() => {}
            }
        });
    }

    async fn open(&self, key: Key, range: Range<u64>) -> Result<ByteStream, Stopped> {
        if let Some(body) = self.cache.body(self.source, key)
            && let Ok(start) = usize::try_from(range.start)
            && let Ok(end) = usize::try_from(range.end)
            && end <= body.len()
        {
            return Ok(stream::once(ready(Ok(body.slice(start..end)))).boxed());
        }
        let bytes = self.store.get_stream(&key, range).await;
        bytes.map_err(|error| Stopped::by_store(key, error))
    }
}

impl Fetch {
    /// Decodes each block as soon as it has come.
    async fn run(self, from: &Blocks) {
        let Fetch { key, blocks } = self;
        let Some(((_, first), (_, last))) = blocks.first().zip(blocks.last()) else { return };
        let range = first.offset..last.end();
        let (mut at, mut buffer) = (range.start, BytesMut::new());
        let opener = from.openers.get(key);
        let mut opened = from.open(key, range).await;
        for (lead, block) in blocks {
            let landed = match &mut opened {
                Ok(bytes) => next((key, &opener), &block, (&mut at, &mut buffer), bytes).await,
                Err(stopped) => Err(stopped.clone()),
            };
            // After a broken stream the rest fails alike; after a damaged block the next one may be sound.
            if let Err(stopped) = &landed
                && at < block.end()
            {
                opened = Err(stopped.clone());
            }
            lead.land(landed.map(Arc::new));
        }
    }
}

/// The next block of a stream that is at `at`, of which `buffer` has what came in already.
async fn next(
    (key, opener): (Key, &Opener),
    block: &Block,
    (at, buffer): (&mut u64, &mut BytesMut),
    bytes: &mut ByteStream,
) -> Result<Vec<u8>, Stopped> {
    while *at + (buffer.len() as u64) < block.end() {
        let piece = bytes.try_next().await.map_err(|error| Stopped::by_store(key, error))?;
        let Some(piece) = piece else {
            let why = format!("it ends within the block at {}", block.offset);
            return Err(Stopped::Damaged(key, why));
        };
        buffer.extend_from_slice(&piece);
    }
    buffer.advance(usize::try_from(block.offset - *at).unwrap_or(usize::MAX).min(buffer.len()));
    let stored = buffer.split_to(block.stored_len as usize);
    *at = block.end();
    block.decode(opener, &stored).map_err(|error| Stopped::Damaged(key, error.to_string()))
}
