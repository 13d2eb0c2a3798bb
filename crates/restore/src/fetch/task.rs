//! One request: fetched, checked, decoded, hashed, written.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use ebbtide_catalog::{Expected, Progress, Request, WantedBlock, WantedRun};
use ebbtide_replica::container::Opener;
use ebbtide_replica::{Digest, Key, PageHash, hash_pages};
use ebbtide_store::{ByteStream, Store};
use ebbtide_wal::{PageNumber, PageSize};
use futures::future::ready;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use tokio::sync::Semaphore;

use super::stopped::{Stopped, acquire, broken_off, store_stopped};
use super::window::Window;
use crate::sink::{Scratch, Sink};

/// So many bytes are decoded at once: enough to be worth a thread's attention.
const BYTES_AT_ONCE: u64 = 1024 * 1024;

/// A request and what is done with its bytes.
pub(super) struct Task {
    pub(super) store: Arc<dyn Store>,
    pub(super) key: Key,
    /// What opens its blocks.
    pub(super) opener: Opener,
    /// What its pages must hash to.
    pub(super) expected: Expected,
    pub(super) page_size: PageSize,
    pub(super) sink: Arc<Sink>,
    pub(super) progress: Arc<Progress>,
    /// Cores that are free.
    pub(super) cores: Arc<Semaphore>,
}

/// What a task has written.
pub(super) struct Wrote {
    /// What the pages add up to.
    pub(super) digest: Digest,
    pub(super) bytes: u64,
}

/// How far a task is.
struct Work {
    window: Window,
    blocks: VecDeque<WantedBlock>,
    digest: Digest,
    written: u64,
}

impl Task {
    /// Fetches what is not at hand. What looks damaged is requested a second time: the damage may have come about on the
    /// way.
    pub(super) async fn run(
        self,
        request: Request,
        at_hand: Option<Bytes>,
    ) -> Result<Wrote, Stopped> {
        let task = Arc::new(self);
        let bytes = match at_hand {
            Some(bytes) => stream::once(ready(Ok(bytes))).boxed(),
            None => task.open(&request).await?,
        };
        match Task::write(&task, &request, bytes).await {
            Err(Stopped::Damaged(key, why)) => {
                tracing::warn!(object = %key, why, "requesting again what looks damaged");
                let bytes = task.open(&request).await?;
                Task::write(&task, &request, bytes).await
            }
            result => result,
        }
    }

    async fn open(self: &Arc<Self>, request: &Request) -> Result<ByteStream, Stopped> {
        let bytes = self.store.get_stream(&self.key, request.start..request.end).await;
        let bytes = bytes.map_err(|error| store_stopped(self.key, error))?;
        let progress = Arc::clone(&self.progress);
        Ok(bytes.inspect_ok(move |piece| progress.add_fetched(piece.len() as u64)).boxed())
    }

    /// Writes blocks as they come in, many at a time.
    async fn write(
        task: &Arc<Task>,
        request: &Request,
        mut bytes: ByteStream,
    ) -> Result<Wrote, Stopped> {
        let mut work = Work {
            window: Window::new(request.start),
            blocks: request.blocks.iter().cloned().collect(),
            digest: Digest::EMPTY,
            written: 0,
        };
        loop {
            let piece = bytes.try_next().await.map_err(|error| store_stopped(task.key, error))?;
            let ended = piece.is_none();
            if let Some(piece) = piece {
                work.window.push(piece);
            }
            if ended || work.window.len() >= BYTES_AT_ONCE {
                work = Task::advance(task, work, ended).await?;
            }
            if ended {
                return Ok(Wrote { digest: work.digest, bytes: work.written });
            }
        }
    }

    async fn advance(task: &Arc<Task>, mut work: Work, ended: bool) -> Result<Work, Stopped> {
        let permit = acquire(&task.cores, 1).await?;
        let task = Arc::clone(task);
        let advanced = tokio::task::spawn_blocking(move || {
            let mut scratch = task.sink.scratch();
            let written = task.write_blocks(&mut work, ended, &mut scratch);
            task.sink.keep_scratch(scratch);
            // Who has all cores knows that nobody has the sink in use any more.
            drop(task);
            drop(permit);
            written.map(|()| work)
        });
        advanced.await.map_err(|error| broken_off(&error))?
    }

    /// Those blocks that are there, and once everything has come, all: what is missing then is damage. Block by block, so
    /// that a block is still in the CPU's cache when it is hashed and written.
    fn write_blocks(
        &self,
        work: &mut Work,
        ended: bool,
        scratch: &mut Scratch,
    ) -> Result<(), Stopped> {
        let there = work.window.end();
        let is_next = |wanted: &mut WantedBlock| ended || wanted.block.end() <= there;
        while let Some(wanted) = work.blocks.pop_front_if(is_next) {
            let Scratch { stored, decoded } = &mut *scratch;
            let range = wanted.block.offset..wanted.block.end();
            let stored = work.window.slice(range, stored).unwrap_or_default();
            let raw = wanted.block.decode_into(&self.opener, stored, decoded);
            let raw = raw.map_err(|error| Stopped::Damaged(self.key, error.to_string()))?;
            for run in &wanted.runs {
                let hashes = self.write_run(run, raw)?;
                work.digest = hashes.into_iter().fold(work.digest, Digest::toggle);
                let bytes = u64::from(run.count) * self.page_size.offset();
                work.written += bytes;
                self.progress.add_done(bytes);
            }
            work.window.leave(wanted.block.end());
        }
        Ok(())
    }

    /// Writes consecutive pages. What is not what the entries carry is not written.
    fn write_run(&self, run: &WantedRun, raw: &[u8]) -> Result<Vec<PageHash>, Stopped> {
        let size = self.page_size.bytes();
        let start = run.slot as usize * size;
        let images = &raw[start..start + run.count as usize * size];
        let numbers = (run.first.get()..).filter_map(PageNumber::new);
        let numbers: Vec<PageNumber> = numbers.take(run.count as usize).collect();
        let mut hashes = Vec::with_capacity(numbers.len());
        hash_pages(&numbers, images, |_, hash| hashes.push(hash));
        if !self.expected.are(run.ordinal, &hashes) {
            let why = format!("page {} or one after it is not the one that was written", run.first);
            return Err(Stopped::Damaged(self.key, why));
        }
        self.sink.write(run.first, images, &hashes).map_err(Stopped::Failed)?;
        Ok(hashes)
    }
}
