//! The queue of sealed segments, oldest first. The oldest is being put; the others are in memory, in the spool, or
//! being streamed.
//!
//! The queue is short outside of the spooling mode: a segment is sealed when the one before is confirmed, or when it is
//! streamed.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use ebbtide_replica::Key;
use ebbtide_state::Position;
use tokio::task::JoinHandle;

use crate::error::Error;
use crate::presence::Presence;
use crate::put::put;
use crate::resend::resend;
use crate::spool::Spool;
use crate::spooled::QueuedBody;
use crate::visible::{Visible, visible};

/// A segment that is not confirmed yet.
#[derive(Debug)]
pub(crate) struct QueuedSegment {
    pub(crate) key: Key,
    /// The durable position once it is confirmed.
    pub(crate) position: Position,
    /// The number of pages that it changed.
    pub(crate) pages: u64,
    /// Its length.
    pub(crate) bytes: u64,
    work: Work,
    /// Its size in the spool; 0 if it is not there.
    spooled_bytes: u64,
}

#[derive(Debug)]
enum Work {
    /// A put is in flight. A streamed upload that follows waits until the object is `visible`.
    Sending { task: Task, visible: Visible, source: Source },
    /// A write into the spool is in flight.
    Spooling,
    /// It waits for the segments before it.
    Queued(QueuedBody),
}

/// Where a repeated put takes the bytes from.
#[derive(Debug)]
enum Source {
    Memory(Bytes),
    Spool,
    /// The bytes were streamed and are gone: if the upload fails, the transaction must be read from the log again.
    Stream,
}

/// A task that is aborted when this is dropped.
#[derive(Debug)]
struct Task(JoinHandle<Result<(), Error>>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A change of state of a segment.
pub(crate) enum Event {
    /// The oldest is durable.
    Landed(Box<QueuedSegment>),
    /// The newest is spooled, or stays in memory because the write failed.
    Spooled,
}

/// The sealed segments that are not confirmed yet, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    segments: VecDeque<QueuedSegment>,
    /// The write into the spool that is in flight.
    spooling: Option<(Key, JoinHandle<Result<QueuedBody, Error>>)>,
}

impl Drop for Queue {
    fn drop(&mut self) {
        if let Some((_, spooling)) = &self.spooling {
            spooling.abort();
        }
    }
}

impl Queue {
    pub(crate) fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.segments.len()
    }

    /// The newest segment.
    pub(crate) fn last(&self) -> Option<&QueuedSegment> {
        self.segments.back()
    }

    /// Whether a write into the spool is in flight.
    pub(crate) fn is_writing_spool(&self) -> bool {
        self.spooling.is_some()
    }

    /// Whether a streamed segment is in flight, which cannot be sent again from memory or from the spool.
    pub(crate) fn has_streamed(&self) -> bool {
        let streamed = |segment: &QueuedSegment| {
            matches!(segment.work, Work::Sending { source: Source::Stream, .. })
        };
        self.segments.iter().any(streamed)
    }

    /// Waits until the newest segment is visible in the store. Nothing if it is not being put.
    pub(crate) fn last_visible(&self) -> Option<Visible> {
        match &self.last()?.work {
            Work::Sending { visible, .. } => Some(visible.clone()),
            Work::Spooling | Work::Queued(_) => None,
        }
    }

    /// Queues a segment of so many changed pages and bytes, whose put is `land`. `body` is nothing for a streamed segment.
    pub(crate) fn send(
        &mut self,
        key: Key,
        position: Position,
        (pages, bytes): (u64, u64),
        body: Option<Bytes>,
        land: impl Future<Output = Result<(), Error>> + Send + 'static,
    ) {
        let source = body.map_or(Source::Stream, Source::Memory);
        let (task, visible) = start(land);
        self.push(key, position, (pages, bytes), Work::Sending { task, visible, source });
    }

    /// Queues a segment of so many changed pages and bytes that `write` puts into the spool.
    pub(crate) fn spool(
        &mut self,
        key: Key,
        position: Position,
        (pages, bytes): (u64, u64),
        write: impl Future<Output = Result<QueuedBody, Error>> + Send + 'static,
    ) {
        self.spool_also(key, write);
        self.push(key, position, (pages, bytes), Work::Spooling);
    }

    fn push(&mut self, key: Key, position: Position, (pages, bytes): (u64, u64), work: Work) {
        let spooled_bytes = 0;
        self.segments.push_back(QueuedSegment { key, position, pages, bytes, work, spooled_bytes });
    }

    /// The oldest segment with its body, if it is only in memory. It must be in the spool, too: otherwise, after a
    /// crash, the spool would not continue the replica.
    pub(crate) fn unspooled(&self) -> Option<(&QueuedSegment, Bytes)> {
        let front = self.segments.front()?;
        match &front.work {
            Work::Sending { source: Source::Memory(body), .. } => Some((front, body.clone())),
            Work::Sending { .. } | Work::Spooling | Work::Queued(_) => None,
        }
    }

    /// Writes a segment into the spool, too, whose put is in flight.
    pub(crate) fn spool_also(
        &mut self,
        key: Key,
        write: impl Future<Output = Result<QueuedBody, Error>> + Send + 'static,
    ) {
        self.spooling = Some((key, tokio::spawn(write)));
    }

    /// Queues a segment that an earlier run has spooled.
    pub(crate) fn push_spooled(&mut self, key: Key, position: Position, pages: u64, bytes: u64) {
        let work = Work::Queued(QueuedBody::Spooled(bytes));
        self.segments.push_back(QueuedSegment {
            key,
            position,
            pages,
            bytes,
            work,
            spooled_bytes: bytes,
        });
    }

    /// Waits for the next event. Never returns if the queue is empty and nothing is written into the spool. Cancel-safe.
    pub(crate) async fn next(
        &mut self,
        spool: &mut Spool,
        presence: &Arc<Presence>,
    ) -> Result<Event, Error> {
        let sending = self.segments.front_mut().and_then(|front| {
            front.start(spool, presence);
            match &mut front.work {
                Work::Sending { task, .. } => Some(&mut task.0),
                Work::Spooling | Work::Queued(_) => None,
            }
        });
        tokio::select! {
            landed = finished(sending) => {
                landed?;
                let landed = self.segments.pop_front().expect("it was just seen");
                if landed.spooled_bytes > 0 {
                    spool.release(landed.key, landed.spooled_bytes, landed.pages);
                }
                Ok(Event::Landed(Box::new(landed)))
            }
            written = finished(self.spooling.as_mut().map(|(_, task)| task)) => {
                let key = self.spooling.take().map(|(key, _)| key);
                self.spooled(spool, key, written?);
                Ok(Event::Spooled)
            }
        }
    }

    /// Waits for the write into the spool that is in flight.
    pub(crate) async fn spooled_next(&mut self, spool: &mut Spool) -> Result<(), Error> {
        if let Some((key, task)) = self.spooling.take() {
            self.spooled(spool, Some(key), task.await??);
        }
        Ok(())
    }

    /// Handles the end of a write into the spool. The segment may have been confirmed meanwhile.
    fn spooled(&mut self, spool: &mut Spool, key: Option<Key>, queued: QueuedBody) {
        spool.note_written(&queued);
        let written = if let QueuedBody::Spooled(bytes) = queued { bytes } else { 0 };
        let segment = self.segments.iter_mut().find(|segment| Some(segment.key) == key);
        match (segment, key) {
            (Some(segment), _) => {
                segment.spooled_bytes = written;
                if matches!(segment.work, Work::Spooling) {
                    segment.work = Work::Queued(queued);
                }
            }
            (None, Some(key)) if written > 0 => spool.release(key, written, 0),
            (None, _) => {}
        }
    }
}

impl QueuedSegment {
    /// Its bytes, if they are in memory.
    pub(crate) fn body(&self) -> Option<&Bytes> {
        match &self.work {
            Work::Sending { source: Source::Memory(body), .. } => Some(body),
            Work::Sending { .. } | Work::Spooling | Work::Queued(_) => None,
        }
    }

    /// Starts the put of the oldest segment, if it is queued.
    fn start(&mut self, spool: &Spool, presence: &Arc<Presence>) {
        let Work::Queued(queued) = &self.work else { return };
        let (key, last, presence) = (self.key, self.position.state.txid(), Arc::clone(presence));
        let (source, (task, visible)) = match queued {
            QueuedBody::Memory(body) => {
                let sent = body.clone();
                let land = async move {
                    put(presence.destination(), &key, sent).await?;
                    presence.confirm(key, last).await
                };
                (Source::Memory(body.clone()), start(land))
            }
            &QueuedBody::Spooled(bytes) => {
                let spool = Arc::clone(spool.store());
                let land = async move {
                    resend(&spool, presence.destination(), key, bytes).await?;
                    presence.confirm(key, last).await
                };
                (Source::Spool, start(land))
            }
        };
        self.work = Work::Sending { task, visible, source };
    }
}

/// Runs `land` as a task. Its object is visible once it has succeeded.
fn start(land: impl Future<Output = Result<(), Error>> + Send + 'static) -> (Task, Visible) {
    let (announcement, visible) = visible();
    let task = tokio::spawn(async move {
        land.await?;
        announcement.announce();
        Ok(())
    });
    (Task(task), visible)
}

/// The result of a task. Never returns if there is no task.
async fn finished<T>(task: Option<&mut JoinHandle<Result<T, Error>>>) -> Result<T, Error> {
    match task {
        Some(task) => task.await?,
        None => std::future::pending().await,
    }
}
