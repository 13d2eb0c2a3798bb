//! Segments on their way, oldest first: one is being put, the others wait behind it, in memory or in the spool.
//!
//! There are never many: a segment is sealed when the one before has landed, or when it is streamed, or into the spool.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use ebbtide_replica::Key;
use ebbtide_state::Position;
use ebbtide_store::Store;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::error::Error;
use crate::outage::Outage;
use crate::presence::Presence;
use crate::put::put;
use crate::spool::{Spool, Waiting, send};

/// A sealed segment that is not confirmed yet.
#[derive(Debug)]
pub(crate) struct OnItsWay {
    pub(crate) key: Key,
    /// Where the local state will stand with it.
    pub(crate) position: Position,
    /// How many pages it changed.
    pub(crate) pages: u64,
    work: Work,
    /// What it takes up in the spool.
    spooled_bytes: u64,
}

#[derive(Debug)]
enum Work {
    /// It is being put. `landed` fires then, for a streamed one after it to wait for.
    Sending { task: Task, landed: Option<oneshot::Receiver<()>>, source: Source },
    /// It is being written into the spool.
    Spooling,
    /// It is complete, and has others before it.
    Waiting(Waiting),
}

/// Where the bytes of a segment come from that is being put.
#[derive(Debug)]
enum Source {
    Memory(Bytes),
    Spool,
    /// From nowhere again: if the upload is lost, it has to be made again from the log.
    Stream,
}

/// A task that ends with whatever waits for it.
#[derive(Debug)]
struct Task(JoinHandle<Result<(), Error>>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What happened to a segment.
pub(crate) enum Event {
    /// The oldest is durable.
    Landed(Box<OnItsWay>),
    /// The newest is in the spool.
    Spooled,
}

/// The segments on their way.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    segments: VecDeque<OnItsWay>,
    /// The one that is being written into the spool.
    spooling: Option<(Key, JoinHandle<Result<Waiting, Error>>)>,
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
    pub(crate) fn last(&self) -> Option<&OnItsWay> {
        self.segments.back()
    }

    /// Whether a segment is being written into the spool.
    pub(crate) fn is_spooling(&self) -> bool {
        self.spooling.is_some()
    }

    /// Whether a segment is on its way that could not be sent again if it were lost.
    pub(crate) fn has_streamed(&self) -> bool {
        let streamed = |segment: &OnItsWay| {
            matches!(segment.work, Work::Sending { source: Source::Stream, .. })
        };
        self.segments.iter().any(streamed)
    }

    /// Takes what fires when the newest segment has landed.
    pub(crate) fn take_landed(&mut self) -> Option<oneshot::Receiver<()>> {
        match &mut self.segments.back_mut()?.work {
            Work::Sending { landed, .. } => landed.take(),
            Work::Spooling | Work::Waiting(_) => None,
        }
    }

    /// Gives it back unused.
    pub(crate) fn return_landed(&mut self, receiver: oneshot::Receiver<()>) {
        if let Some(OnItsWay { work: Work::Sending { landed, .. }, .. }) = self.segments.back_mut()
        {
            *landed = Some(receiver);
        }
    }

    /// Sends a segment, which has this body unless it is streamed. `land` ends once it is durable.
    pub(crate) fn send(
        &mut self,
        key: Key,
        position: Position,
        pages: u64,
        body: Option<Bytes>,
        land: impl Future<Output = Result<(), Error>> + Send + 'static,
    ) {
        let source = body.map_or(Source::Stream, Source::Memory);
        let (task, landed) = start(key, land);
        let work = Work::Sending { task, landed: Some(landed), source };
        self.segments.push_back(OnItsWay { key, position, pages, work, spooled_bytes: 0 });
    }

    /// Writes a segment into the spool.
    pub(crate) fn spool(
        &mut self,
        key: Key,
        position: Position,
        pages: u64,
        keep: impl Future<Output = Result<Waiting, Error>> + Send + 'static,
    ) {
        self.spool_besides(key, keep);
        let work = Work::Spooling;
        self.segments.push_back(OnItsWay { key, position, pages, work, spooled_bytes: 0 });
    }

    /// The oldest segment with its body, to be written into the spool besides, so that what lies there continues the
    /// replica's history should this process end.
    pub(crate) fn unspooled(&self) -> Option<(&OnItsWay, Bytes)> {
        let front = self.segments.front()?;
        match &front.work {
            Work::Sending { source: Source::Memory(body), .. } => Some((front, body.clone())),
            Work::Sending { .. } | Work::Spooling | Work::Waiting(_) => None,
        }
    }

    /// Writes a segment there that is on its way already.
    pub(crate) fn spool_besides(
        &mut self,
        key: Key,
        keep: impl Future<Output = Result<Waiting, Error>> + Send + 'static,
    ) {
        self.spooling = Some((key, tokio::spawn(keep)));
    }

    /// Takes up a segment that was found in the spool.
    pub(crate) fn found(&mut self, key: Key, position: Position, pages: u64, bytes: u64) {
        let work = Work::Waiting(Waiting::Spooled(bytes));
        self.segments.push_back(OnItsWay { key, position, pages, work, spooled_bytes: bytes });
    }

    /// Waits until something happens; for ever if nothing is on its way. May be dropped and called again.
    pub(crate) async fn next(
        &mut self,
        spool: &mut Spool,
        store: &Arc<dyn Store>,
        outage: &Arc<Outage>,
        presence: &Arc<Presence>,
    ) -> Result<Event, Error> {
        let Some(front) = self.segments.front_mut() else { return std::future::pending().await };
        front.start(spool, store, outage, presence);
        let sending = match &mut front.work {
            Work::Sending { task, .. } => Some(&mut task.0),
            Work::Spooling | Work::Waiting(_) => None,
        };
        tokio::select! {
            landed = finished(sending) => {
                landed?;
                let landed = self.segments.pop_front().expect("it was just seen");
                if landed.spooled_bytes > 0 {
                    spool.release(landed.key, landed.spooled_bytes, landed.pages);
                }
                Ok(Event::Landed(Box::new(landed)))
            }
            kept = finished(self.spooling.as_mut().map(|(_, task)| task)) => {
                let key = self.spooling.take().map(|(key, _)| key);
                self.spooled(spool, key, kept?);
                Ok(Event::Spooled)
            }
        }
    }

    /// Waits until nothing is being written into the spool.
    pub(crate) async fn spooled_next(&mut self, spool: &mut Spool) -> Result<(), Error> {
        if let Some((key, task)) = self.spooling.take() {
            self.spooled(spool, Some(key), task.await??);
        }
        Ok(())
    }

    /// A segment was written into the spool, or has to stay in memory. It may have landed meanwhile.
    fn spooled(&mut self, spool: &mut Spool, key: Option<Key>, waiting: Waiting) {
        spool.kept(&waiting);
        let written = if let Waiting::Spooled(bytes) = waiting { bytes } else { 0 };
        let segment = self.segments.iter_mut().find(|segment| Some(segment.key) == key);
        match (segment, key) {
            (Some(segment), _) => {
                segment.spooled_bytes = written;
                if matches!(segment.work, Work::Spooling) {
                    segment.work = Work::Waiting(waiting);
                }
            }
            (None, Some(key)) if written > 0 => spool.release(key, written, 0),
            (None, _) => {}
        }
    }
}

impl OnItsWay {
    /// Sends the oldest segment, if it waited for its turn.
    fn start(
        &mut self,
        spool: &Spool,
        store: &Arc<dyn Store>,
        outage: &Arc<Outage>,
        presence: &Arc<Presence>,
    ) {
        let Work::Waiting(waiting) = &self.work else { return };
        let (key, store, outage) = (self.key, Arc::clone(store), Arc::clone(outage));
        let presence = Arc::clone(presence);
        let (source, (task, landed)) = match waiting {
            Waiting::Memory(body) => {
                let sent = body.clone();
                let land = async move {
                    put(&*store, &key, sent, &outage).await?;
                    presence.confirm(&*store, &outage).await
                };
                (Source::Memory(body.clone()), start(key, land))
            }
            &Waiting::Spooled(bytes) => {
                let spool = Arc::clone(spool.store());
                let land = async move {
                    send(&spool, &store, key, bytes, &outage).await?;
                    presence.confirm(&*store, &outage).await
                };
                (Source::Spool, start(key, land))
            }
        };
        self.work = Work::Sending { task, landed: Some(landed), source };
    }
}

/// Runs `land`; fires when it has ended well.
fn start(
    key: Key,
    land: impl Future<Output = Result<(), Error>> + Send + 'static,
) -> (Task, oneshot::Receiver<()>) {
    let (fire, landed) = oneshot::channel();
    let task = tokio::spawn(async move {
        land.await?;
        if fire.send(()).is_err() {
            tracing::trace!(%key, "nothing waited for it");
        }
        Ok(())
    });
    (Task(task), landed)
}

/// The result of a task; never of none.
async fn finished<T>(task: Option<&mut JoinHandle<Result<T, Error>>>) -> Result<T, Error> {
    match task {
        Some(task) => task.await?,
        None => std::future::pending().await,
    }
}
