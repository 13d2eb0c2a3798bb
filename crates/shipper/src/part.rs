//! Uploads an object in parts while it is being encoded, so that memory use does not grow with the object.

use std::sync::Arc;

use bytes::Bytes;
use ebbtide_fault::point;
use ebbtide_replica::Key;
use ebbtide_replica::container::{Footer, Writer};
use ebbtide_store::{ErrorKind, Store};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::buffers::Buffers;
use crate::error::Error;
use crate::put::{Lookup, is_there, pause, put};
use crate::store_health::StoreHealth;

/// The size of a part except the last: the minimum of S3, so that the store does not have to split it.
pub(crate) const PART_BYTES: usize = 5 << 20;

/// The encoded size from which on an object is streamed: below it one put is cheaper than a multipart upload.
pub(crate) const STREAM_BYTES: usize = 8 << 20;

/// A multipart upload in progress.
#[derive(Debug)]
pub(crate) struct Parts {
    sender: mpsc::Sender<Message>,
    task: JoinHandle<Result<(), Error>>,
    buffers: Buffers,
    sent: u64,
}

#[derive(Debug)]
enum Message {
    Part(Bytes),
    /// The last part, and the total size of the object.
    Last(Bytes, u64),
}

impl Parts {
    /// Begins an upload. The object becomes visible only after `before` has fired, so that objects appear in order.
    pub(crate) fn begin(
        store: Arc<dyn Store>,
        key: Key,
        expected: u64,
        before: Option<oneshot::Receiver<()>>,
        health: Arc<StoreHealth>,
    ) -> Parts {
        // The channel holds at most one part, and only briefly: see `hand_over`.
        let (sender, receiver) = mpsc::channel(1);
        let task = tokio::spawn(async move {
            upload(&*store, &key, expected, before, receiver, &health).await
        });
        Parts { sender, task, buffers: Buffers::default(), sent: 0 }
    }

    /// Sends the writer's complete parts. Blocks while the store is slower than the encoder (backpressure). The error
    /// of a failed upload is returned by the task of [`Parts::finish`].
    fn drain(&mut self, writer: &mut Writer) {
        while writer.buffered() >= PART_BYTES {
            let part = writer.take(PART_BYTES, self.buffers.take());
            self.sent += part.len() as u64;
            self.hand_over(Message::Part(self.buffers.lend(part)));
        }
    }

    /// Sends the last part. The returned task ends once the object is visible.
    pub(crate) fn finish(self, rest: Vec<u8>) -> JoinHandle<Result<(), Error>> {
        let length = self.sent + rest.len() as u64;
        self.hand_over(Message::Last(rest.into(), length));
        self.task
    }

    /// Sends a part from an async task.
    pub(crate) async fn feed(&mut self, part: Bytes) {
        self.sent += part.len() as u64;
        ended_early(self.sender.send(Message::Part(part)).await);
    }

    /// [`Parts::finish`] for an async task.
    pub(crate) async fn end(self, rest: Bytes) -> JoinHandle<Result<(), Error>> {
        let length = self.sent + rest.len() as u64;
        ended_early(self.sender.send(Message::Last(rest, length)).await);
        self.task
    }

    /// Returns once the upload task has taken the message: a part in the channel would be one more in memory.
    fn hand_over(&self, message: Message) {
        let handed_over = async {
            ended_early(self.sender.send(message).await);
            drop(self.sender.reserve().await);
        };
        tokio::task::block_in_place(|| Handle::current().block_on(handed_over));
    }

    /// Aborts the upload: the object does not become visible.
    pub(crate) fn abandon(self) {
        // The task sees the channel close and aborts the upload.
        drop(self.sender);
    }
}

/// Logs that the upload task has ended. Its result has the error.
fn ended_early(sent: Result<(), mpsc::error::SendError<Message>>) {
    if sent.is_err() {
        tracing::debug!("the upload ended early");
    }
}

/// An object that is being encoded: in memory if it stays small, otherwise streamed.
#[derive(Debug)]
pub(crate) struct Outgoing {
    key: Key,
    parts: Option<Parts>,
}

/// The destination of an object, in case it is streamed.
pub(crate) struct Route<'a> {
    pub(crate) store: &'a Arc<dyn Store>,
    pub(crate) health: &'a Arc<StoreHealth>,
    /// Fires once the object is visible that must appear before this one.
    pub(crate) before: Option<oneshot::Receiver<()>>,
    /// The expected size in bytes.
    pub(crate) expected: u64,
    /// Whether the object stays in memory, because it is small or because the application's writers are blocked.
    pub(crate) in_memory: bool,
}

/// A complete object.
pub(crate) enum Sealed {
    /// In memory, not put yet.
    Whole(Bytes),
    /// Streamed; the task that makes it visible.
    Streamed(JoinHandle<Result<(), Error>>),
}

impl Outgoing {
    pub(crate) fn new(key: Key) -> Outgoing {
        Outgoing { key, parts: None }
    }

    pub(crate) fn key(&self) -> Key {
        self.key
    }

    pub(crate) fn is_streaming(&self) -> bool {
        self.parts.is_some()
    }

    /// Sends the encoded bytes once they fill a part. Blocks while the store is slower than the encoder.
    pub(crate) fn drain(&mut self, writer: &mut Writer, route: &mut Route<'_>) {
        let enough = if self.is_streaming() { PART_BYTES } else { STREAM_BYTES };
        if writer.buffered() < enough || route.in_memory && !self.is_streaming() {
            return;
        }
        let parts = self.parts.get_or_insert_with(|| {
            let (store, health) = (Arc::clone(route.store), Arc::clone(route.health));
            Parts::begin(store, self.key, route.expected, route.before.take(), health)
        });
        parts.drain(writer);
    }

    /// Completes the object with the last bytes.
    pub(crate) fn seal(self, rest: Vec<u8>) -> Sealed {
        match self.parts {
            None => Sealed::Whole(rest.into()),
            Some(parts) => Sealed::Streamed(parts.finish(rest)),
        }
    }

    /// Aborts the upload: the object does not become visible.
    pub(crate) fn abandon(self) {
        if let Some(parts) = self.parts {
            parts.abandon();
        }
    }
}

impl Sealed {
    /// Puts the object, or waits for its upload. Returns once the object is visible.
    pub(crate) async fn land(
        self,
        store: &dyn Store,
        key: &Key,
        health: &StoreHealth,
    ) -> Result<(), Error> {
        match self {
            Sealed::Whole(body) => put(store, key, body, health).await,
            Sealed::Streamed(task) => task.await?,
        }
    }
}

async fn upload(
    store: &dyn Store,
    key: &Key,
    expected: u64,
    before: Option<oneshot::Receiver<()>>,
    mut parts: mpsc::Receiver<Message>,
    health: &StoreHealth,
) -> Result<(), Error> {
    let mut failures = 0;
    let mut upload = loop {
        match store.upload(key, expected).await {
            Ok(upload) => break upload,
            Err(error) => {
                health.note_failure(store, &error);
                failures += 1;
                pause(failures, error.kind()).await;
            }
        }
    };
    let (last, length) = loop {
        match parts.recv().await {
            None => {
                upload.abort().await;
                return Ok(());
            }
            Some(Message::Part(part)) => {
                point("shipper.part.begin");
                if let Err(error) = upload.write(part).await {
                    health.note_failure(store, &error);
                    upload.abort().await;
                    return Err(Error::Lost(error));
                }
            }
            Some(Message::Last(part, length)) => break (part, length),
        }
    };
    point("shipper.part.last");
    let end = last.slice(last.len().saturating_sub(Footer::SIZE)..);
    if let Err(error) = upload.write(last).await {
        upload.abort().await;
        return Err(Error::Lost(error));
    }
    if let Some(before) = before {
        // An error means that the object before was never put: then this one must not become visible either.
        if before.await.is_err() {
            upload.abort().await;
            return Ok(());
        }
    }
    point("shipper.part.sent");
    match upload.finish().await {
        Ok(()) => {}
        Err(error) => {
            // After a transient failure the object may exist nevertheless: check.
            let open = error.kind() == ErrorKind::Exists || store.size(key).await? == Some(length);
            let taken = ebbtide_store::StoreError::new(
                if open { ErrorKind::Exists } else { error.kind() },
                format!("put {key}"),
                error.with_causes(),
            );
            match is_there(store, key, &end, length, taken).await? {
                Lookup::Ours => {}
                Lookup::Failed(error) => return Err(Error::Lost(error)),
            }
        }
    }
    health.note_success(store);
    Ok(())
}
