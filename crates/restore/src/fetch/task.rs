//! One request: fetched, checked, decoded, hashed, written.

use std::sync::Arc;

use ebbtide_replica::store::{Chunks, Store};
use ebbtide_replica::{Digest, Key, PageHash, hash_pages};
use ebbtide_wal::{PageNumber, PageSize};
use tokio::sync::Semaphore;

use super::{Outcome, Stopped, acquire, broken_off, store_stopped};
use crate::error::Result;
use crate::jobs::{Request, WantedBlock, WantedRun};
use crate::progress::Progress;
use crate::sink::{Scratch, Sink};

/// A request and what is done with its bytes.
pub(super) struct Task {
    pub(super) store: Arc<dyn Store>,
    pub(super) key: Key,
    pub(super) page_size: PageSize,
    pub(super) sink: Arc<Sink>,
    pub(super) progress: Arc<Progress>,
    /// Cores that are free.
    pub(super) cores: Arc<Semaphore>,
}

impl Task {
    /// Fetches what is not at hand. What looks damaged is requested a second time: the damage may have come about on the
    /// way.
    pub(super) async fn run(
        self,
        request: Request,
        at_hand: Option<Chunks>,
    ) -> Result<Outcome, Stopped> {
        let task = Arc::new(self);
        let request = Arc::new(request);
        let bytes = match at_hand {
            Some(bytes) => bytes,
            None => task.get(&request).await?,
        };
        match Task::write(&task, &request, bytes).await {
            Err(Stopped::Damaged(key, why)) => {
                tracing::warn!(object = %key, why, "requesting again what looks damaged");
                let bytes = task.get(&request).await?;
                Task::write(&task, &request, bytes).await
            }
            result => result,
        }
    }

    async fn get(&self, request: &Request) -> Result<Chunks, Stopped> {
        let bytes = self.store.get_chunks(&self.key, request.start..request.end).await;
        let bytes = bytes.map_err(|error| store_stopped(self.key, error))?;
        self.progress.add_bytes(bytes.len() as u64);
        Ok(bytes)
    }

    async fn write(
        task: &Arc<Task>,
        request: &Arc<Request>,
        bytes: Chunks,
    ) -> Result<Outcome, Stopped> {
        let permit = acquire(&task.cores, 1).await?;
        let (task, request) = (Arc::clone(task), Arc::clone(request));
        let written = tokio::task::spawn_blocking(move || {
            let mut scratch = task.sink.scratch();
            let outcome = task.write_blocks(&request, &bytes, &mut scratch);
            task.sink.keep_scratch(scratch);
            // Who has all cores knows that nobody has the sink in use any more.
            drop(task);
            drop(permit);
            outcome
        });
        written.await.map_err(|error| broken_off(&error))?
    }

    /// Block by block, so that a block is still in the processor's cache when it is hashed and written.
    fn write_blocks(
        &self,
        request: &Request,
        bytes: &Chunks,
        scratch: &mut Scratch,
    ) -> Result<Outcome, Stopped> {
        let mut digest = Digest::EMPTY;
        let mut written = 0;
        for wanted in &request.blocks {
            let Scratch { stored, raw } = &mut *scratch;
            let stored = self::stored(bytes, request.start, wanted, stored);
            let raw = wanted.block.decode_into(stored, raw);
            let raw = raw.map_err(|error| Stopped::Damaged(self.key, error.to_string()))?;
            for run in &wanted.runs {
                let hashes = self.write_run(run, raw).map_err(Stopped::Failed)?;
                digest = hashes.into_iter().fold(digest, Digest::toggle);
                written += u64::from(run.count) * self.page_size.offset();
                self.progress.add_pages(u64::from(run.count));
            }
        }
        Ok(Outcome::Wrote { digest, bytes: written })
    }

    fn write_run(&self, run: &WantedRun, raw: &[u8]) -> Result<Vec<PageHash>> {
        let size = self.page_size.bytes();
        let start = run.slot as usize * size;
        let images = &raw[start..start + run.count as usize * size];
        let numbers = (run.first.get()..).filter_map(PageNumber::new);
        let numbers: Vec<PageNumber> = numbers.take(run.count as usize).collect();
        let mut hashes = Vec::with_capacity(numbers.len());
        hash_pages(&numbers, images, |_, hash| hashes.push(hash));
        self.sink.write(run.first, images, &hashes)?;
        Ok(hashes)
    }
}

/// The stored bytes of a block, out of a range that begins at `start`; too few if the range is too short.
fn stored<'a>(
    bytes: &'a Chunks,
    start: u64,
    wanted: &WantedBlock,
    scratch: &'a mut Vec<u8>,
) -> &'a [u8] {
    let begin = usize::try_from(wanted.block.offset - start).unwrap_or(usize::MAX);
    let end = begin.saturating_add(wanted.block.stored_len as usize);
    bytes.slice(begin..end, scratch).unwrap_or_default()
}
