//! Fetches what a plan names and writes each page once, with bounded memory, on all cores.
//!
//! Objects are gone through from the newest to the oldest. Ranges of them are requested from the store, many at a time
//! because a store takes long to answer; what has arrived of each is decoded, hashed and written on as many threads as
//! there are cores. Between the two stands a budget of bytes. Writing back to the disk begins long before the last page, so that the
//! final flush has little to do.

mod proof;
mod task;
mod window;

use std::num::NonZero;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ebbtide_catalog::{CatalogError, Fetched};
use ebbtide_replica::{Digest, Key};
use ebbtide_store::{ErrorKind, Store, StoreError};
use ebbtide_wal::PageSize;
use futures::{StreamExt as _, stream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinError, JoinSet};

use crate::error::{Error, Result};
use crate::jobs::{Request, requests};
use crate::sink::Sink;
use crate::wanted::Wanted;
use ebbtide_catalog::Progress;
use ebbtide_catalog::{Ahead, Survey};
use ebbtide_catalog::{Part, Plan};
use proof::{Expected, HashList, read_ahead};
use task::Task;

/// How many bytes are fetched and not yet written: what arrives at this rate within the time that the store takes to
/// answer. From a disk, more would only lie in memory; from afar, less would leave it waiting.
const BYTES_PER_SECOND: u64 = 1536 * 1024 * 1024;
/// …but not fewer than this,
const BYTES_IN_FLIGHT_MIN: u64 = 8 * 1024 * 1024;
/// and not more.
const BYTES_IN_FLIGHT_MAX: u64 = 32 * 1024 * 1024;

/// A request, however long, has no more bytes than this in memory: those that are being decoded, and the next.
const BYTES_OF_REQUEST_MAX: u32 = 2 * 1024 * 1024;

/// How many requests are under way at most.
const REQUESTS_IN_FLIGHT: usize = 96;

/// How many indexes are read ahead of the one whose pages are being requested.
const INDEXES_AHEAD: usize = 32;

/// After so many written bytes the disk is asked to write them back.
const WRITE_BACK_BYTES: u64 = 64 * 1024 * 1024;

/// What stopped a fetch.
#[derive(Debug)]
pub(crate) enum Stopped {
    /// This object is damaged. Others may serve in its place.
    Damaged(Key, String),
    /// This object is no longer there. What was listed may be out of date.
    Gone(Key),
    /// Anything else.
    Failed(Error),
}

/// What was written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Written {
    /// What the pages add up to.
    pub(crate) digest: Digest,
    /// How many pages of the database no object had.
    pub(crate) missing: u64,
}

/// Writes all pages of the state that `plan` leads to.
pub(crate) async fn fetch(
    survey: &Survey,
    plan: &Plan,
    sink: &Arc<Sink>,
    progress: &Arc<Progress>,
) -> Result<Written, Stopped> {
    let mut wanted = Wanted::new(plan.stop.state.database_pages, survey.manifest().page_size);
    progress.start_pages(wanted.left());
    let mut pool = Pool::new(survey, sink, progress);
    let submitted = submit_all(survey, plan, &mut wanted, &mut pool).await;
    let finished = match submitted {
        Ok(()) => pool.finish().await,
        Err(stopped) => Err(stopped),
    };
    if let Err(stopped) = finished {
        pool.stop().await;
        return Err(stopped);
    }
    Ok(Written { digest: pool.digest, missing: wanted.left() })
}

async fn submit_all(
    survey: &Survey,
    plan: &Plan,
    wanted: &mut Wanted,
    pool: &mut Pool,
) -> Result<(), Stopped> {
    let mut parts =
        stream::iter(parts(plan)).map(|part| read_part(survey, part)).buffered(INDEXES_AHEAD);
    while wanted.left() > 0
        && let Some((part, index, hashes)) = parts.next().await
    {
        let fetched = survey.index_of(index).await;
        let fetched = fetched.map_err(|error| index_stopped(part.object.key, error))?;
        submit_part(survey, part, (&fetched, hashes), wanted, pool).await?;
        go_back(wanted, part, &fetched);
    }
    Ok(())
}

async fn submit_part(
    survey: &Survey,
    part: Part,
    (fetched, ahead): (&Fetched, Vec<Bytes>),
    wanted: &mut Wanted,
    pool: &mut Pool,
) -> Result<(), Stopped> {
    let key = part.object.key;
    let mut list = HashList::new(&**survey.store(), key, fetched, ahead);
    let mut used = false;
    for request in requests(&fetched.index, part.first, part.last, wanted) {
        used = true;
        let blocks = request.blocks.iter().map(|wanted| &wanted.block);
        let expected = list.expected(blocks).await;
        let expected = expected.map_err(|error| index_stopped(key, error))?;
        let at_hand = fetched.at_hand(request.start..request.end);
        pool.submit(key, request, expected, at_hand).await?;
    }
    match used {
        true => list.finish().await.map_err(|error| index_stopped(key, error)),
        false => Ok(()),
    }
}

/// Reads the index of a part and the list of its hashes ahead, if they are short.
async fn read_part(survey: &Survey, part: Part) -> (Part, Ahead, Vec<Bytes>) {
    let index = survey.index_ahead(part.object).await;
    let hashes = match &index.fetched {
        Some(fetched) => read_ahead(&**survey.store(), part.object.key, fetched).await,
        None => Vec::new(),
    };
    (part, index, hashes)
}

/// How many bytes are requested and not yet written, of a store that answers after `latency`.
fn bytes_in_flight(latency: Duration) -> u32 {
    let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
    let product = micros.saturating_mul(BYTES_PER_SECOND / 1_000_000);
    u32::try_from(product.clamp(BYTES_IN_FLIGHT_MIN, BYTES_IN_FLIGHT_MAX)).unwrap_or(u32::MAX)
}

/// The objects of a plan from the newest to the oldest.
fn parts(plan: &Plan) -> Vec<Part> {
    let snapshot = plan.snapshot.map(|object| {
        // The one entry of a snapshot applies whatever its number.
        Part { object, first: ebbtide_replica::Txid::FIRST, last: plan.stop.state.txid() }
    });
    plan.history.iter().rev().copied().chain(snapshot).collect()
}

/// Leaves the entries of a part behind, also those that have no pages.
fn go_back(wanted: &mut Wanted, part: Part, fetched: &Fetched) {
    let entries = fetched.index.entries().iter();
    let applied = entries.filter(|entry| (part.first..=part.last).contains(&entry.txid));
    if let Some(least) = applied.map(|entry| entry.database_pages).min() {
        wanted.go_back_to(least);
    }
}

fn index_stopped(key: Key, error: CatalogError) -> Stopped {
    match error {
        CatalogError::Store(error) => store_stopped(key, error),
        error if error.is_about_object() => Stopped::Damaged(key, error.to_string()),
        error => Stopped::Failed(error.into()),
    }
}

fn store_stopped(key: Key, error: StoreError) -> Stopped {
    match error.kind() {
        ErrorKind::NotFound => Stopped::Gone(key),
        ErrorKind::Damaged => Stopped::Damaged(key, error.to_string()),
        _ => Stopped::Failed(error.into()),
    }
}

/// The requests under way.
struct Pool {
    store: Arc<dyn Store>,
    page_size: PageSize,
    sink: Arc<Sink>,
    progress: Arc<Progress>,
    tasks: JoinSet<Result<Outcome, Stopped>>,
    /// Bytes that may still be requested.
    bytes: Arc<Semaphore>,
    /// Requests that may still be begun.
    slots: Arc<Semaphore>,
    /// Cores that are free.
    cores: Arc<Semaphore>,
    cores_total: u32,
    digest: Digest,
    unflushed: u64,
}

/// What became of a task.
enum Outcome {
    Wrote { digest: Digest, bytes: u64 },
    Flushed,
}

impl Pool {
    fn new(survey: &Survey, sink: &Arc<Sink>, progress: &Arc<Progress>) -> Pool {
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        let cores_total = u32::try_from(cores).unwrap_or(u32::MAX);
        let bytes_total = bytes_in_flight(survey.latency());
        Pool {
            store: Arc::clone(survey.store()),
            page_size: survey.manifest().page_size,
            sink: Arc::clone(sink),
            progress: Arc::clone(progress),
            tasks: JoinSet::new(),
            bytes: Arc::new(Semaphore::new(bytes_total as usize)),
            slots: Arc::new(Semaphore::new(REQUESTS_IN_FLIGHT)),
            cores: Arc::new(Semaphore::new(cores)),
            cores_total,
            digest: Digest::EMPTY,
            unflushed: 0,
        }
    }

    /// Begins a request as soon as there is room for it: its pages must be those that are `expected`. `at_hand` are its
    /// bytes, if they were read before.
    async fn submit(
        &mut self,
        key: Key,
        request: Request,
        expected: Expected,
        at_hand: Option<Bytes>,
    ) -> Result<(), Stopped> {
        while let Some(done) = self.tasks.try_join_next() {
            self.take(done)?;
        }
        let length = u32::try_from(request.end - request.start).unwrap_or(u32::MAX);
        let length = length.min(BYTES_OF_REQUEST_MAX);
        let permits = [acquire(&self.slots, 1).await?, acquire(&self.bytes, length).await?];
        let task = Task {
            store: Arc::clone(&self.store),
            key,
            expected,
            page_size: self.page_size,
            sink: Arc::clone(&self.sink),
            progress: Arc::clone(&self.progress),
            cores: Arc::clone(&self.cores),
        };
        self.tasks.spawn(async move {
            let outcome = task.run(request, at_hand).await;
            drop(permits);
            outcome
        });
        Ok(())
    }

    /// Waits for all requests.
    async fn finish(&mut self) -> Result<(), Stopped> {
        while let Some(done) = self.tasks.join_next().await {
            self.take(done)?;
        }
        Ok(())
    }

    /// Gives up. When this returns, nothing is written any more, and nobody else has the sink: what is being written
    /// holds a core.
    async fn stop(&mut self) {
        self.tasks.shutdown().await;
        drop(self.cores.acquire_many(self.cores_total).await);
    }

    fn take(&mut self, done: Result<Result<Outcome, Stopped>, JoinError>) -> Result<(), Stopped> {
        match done.map_err(|error| broken_off(&error))?? {
            Outcome::Flushed => {}
            Outcome::Wrote { digest, bytes } => {
                self.digest =
                    self.digest.toggle(ebbtide_replica::PageHash::from_bytes(*digest.as_bytes()));
                self.unflushed += bytes;
                if self.unflushed >= WRITE_BACK_BYTES {
                    self.unflushed = 0;
                    self.flush();
                }
            }
        }
        Ok(())
    }

    /// Has the disk write back what was written so far, beside everything else.
    fn flush(&mut self) {
        let sink = Arc::clone(&self.sink);
        self.tasks.spawn_blocking(move || {
            sink.write_back().map_err(Stopped::Failed)?;
            Ok(Outcome::Flushed)
        });
    }
}

async fn acquire(
    semaphore: &Arc<Semaphore>,
    permits: u32,
) -> Result<OwnedSemaphorePermit, Stopped> {
    let permit = Arc::clone(semaphore).acquire_many_owned(permits).await;
    permit.map_err(|_| Stopped::Failed(Error::interrupted()))
}

fn broken_off(error: &JoinError) -> Stopped {
    tracing::error!(%error, "a part of the restore broke off");
    Stopped::Failed(Error::interrupted())
}
