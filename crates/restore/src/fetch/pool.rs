//! The requests that are under way, and the bounds of what they take at once.

use std::num::NonZero;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ebbtide_catalog::{Expected, Progress, Request, Survey};
use ebbtide_replica::container::Opener;
use ebbtide_replica::{Digest, Key, PageHash};
use ebbtide_store::{Pace, Store};
use ebbtide_wal::PageSize;
use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinSet};

use super::stopped::{Stopped, acquire, broken_off};
use super::task::{Task, Wrote};
use crate::sink::Sink;

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

/// After so many written bytes the disk is asked to write them back.
const WRITE_BACK_BYTES: u64 = 64 * 1024 * 1024;

/// The requests under way.
pub(super) struct Pool {
    store: Arc<dyn Store>,
    page_size: PageSize,
    sink: Arc<Sink>,
    pace: Arc<Pace>,
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
    Wrote(Wrote),
    Flushed,
}

impl Pool {
    pub(super) fn new(
        survey: &Survey,
        sink: &Arc<Sink>,
        pace: &Arc<Pace>,
        progress: &Arc<Progress>,
    ) -> Pool {
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        let cores_total = u32::try_from(cores).unwrap_or(u32::MAX);
        let bytes_total = bytes_in_flight(survey.latency());
        Pool {
            store: Arc::clone(survey.store()),
            page_size: survey.manifest().page_size,
            sink: Arc::clone(sink),
            pace: Arc::clone(pace),
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
    pub(super) async fn submit(
        &mut self,
        (key, opener): (Key, &Opener),
        request: Request,
        expected: Expected,
        at_hand: Option<Bytes>,
    ) -> Result<(), Stopped> {
        while let Some(done) = self.tasks.try_join_next() {
            self.take(done)?;
        }
        if at_hand.is_none() {
            self.pace.pass(request.end - request.start).await;
        }
        let length = u32::try_from(request.end - request.start).unwrap_or(u32::MAX);
        let length = length.min(BYTES_OF_REQUEST_MAX);
        let permits = [acquire(&self.slots, 1).await?, acquire(&self.bytes, length).await?];
        let task = Task {
            store: Arc::clone(&self.store),
            key,
            opener: opener.clone(),
            expected,
            page_size: self.page_size,
            sink: Arc::clone(&self.sink),
            progress: Arc::clone(&self.progress),
            cores: Arc::clone(&self.cores),
        };
        self.tasks.spawn(async move {
            let wrote = task.run(request, at_hand).await;
            drop(permits);
            wrote.map(Outcome::Wrote)
        });
        Ok(())
    }

    /// Waits for all requests.
    pub(super) async fn finish(&mut self) -> Result<(), Stopped> {
        while let Some(done) = self.tasks.join_next().await {
            self.take(done)?;
        }
        Ok(())
    }

    /// Gives up. When this returns, nothing is written any more, and nobody else has the sink: what is being written
    /// holds a core.
    pub(super) async fn stop(&mut self) {
        self.tasks.shutdown().await;
        drop(self.cores.acquire_many(self.cores_total).await);
    }

    /// What all pages that were written add up to.
    pub(super) fn digest(&self) -> Digest {
        self.digest
    }

    fn take(&mut self, done: Result<Result<Outcome, Stopped>, JoinError>) -> Result<(), Stopped> {
        match done.map_err(|error| broken_off(&error))?? {
            Outcome::Flushed => {}
            Outcome::Wrote(Wrote { digest, bytes }) => {
                self.digest = self.digest.toggle(PageHash::from_bytes(*digest.as_bytes()));
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

/// How many bytes are requested and not yet written, of a store that answers after `latency`.
fn bytes_in_flight(latency: Duration) -> u32 {
    let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
    let product = micros.saturating_mul(BYTES_PER_SECOND / 1_000_000);
    u32::try_from(product.clamp(BYTES_IN_FLIGHT_MIN, BYTES_IN_FLIGHT_MAX)).unwrap_or(u32::MAX)
}
