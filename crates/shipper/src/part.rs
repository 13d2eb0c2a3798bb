//! An object that is sent while it is being written, a part at a time, so that memory does not grow with it.

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
use crate::outage::Outage;
use crate::put::{Lookup, is_there, pause, put};

/// How long a part is, but for the last: the least that S3 takes, so that the store need not cut it.
pub(crate) const PART_BYTES: usize = 5 << 20;

/// From how many encoded bytes on an object is streamed at all: one put is cheaper than the requests of an upload.
pub(crate) const STREAM_BYTES: usize = 8 << 20;

/// Where the parts go.
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
    /// The last part; the object has so many bytes with it.
    Last(Bytes, u64),
}

impl Parts {
    /// Begins an upload. It becomes visible only after `before` has been: objects appear in order.
    pub(crate) fn begin(
        store: Arc<dyn Store>,
        key: Key,
        expected: u64,
        before: Option<oneshot::Receiver<()>>,
        outage: Arc<Outage>,
    ) -> Parts {
        // None waits here for long, see `hand_over`.
        let (sender, receiver) = mpsc::channel(1);
        let task = tokio::spawn(async move {
            upload(&*store, &key, expected, before, receiver, &outage).await
        });
        Parts { sender, task, buffers: Buffers::default(), sent: 0 }
    }

    /// Takes a part, again and again, from what a writer has encoded; blocks while the store is slower than we are. An
    /// upload that has ended will say why when it is finished.
    fn drain(&mut self, writer: &mut Writer) {
        while writer.buffered() >= PART_BYTES {
            let part = writer.take(PART_BYTES, self.buffers.take());
            self.sent += part.len() as u64;
            self.hand_over(Message::Part(self.buffers.lend(part)));
        }
    }

    /// The rest; the task that ends once the object is there.
    pub(crate) fn finish(self, rest: Vec<u8>) -> JoinHandle<Result<(), Error>> {
        let length = self.sent + rest.len() as u64;
        self.hand_over(Message::Last(rest.into(), length));
        self.task
    }

    /// Hands over a part, in a task that has nothing else to do.
    pub(crate) async fn feed(&mut self, part: Bytes) {
        self.sent += part.len() as u64;
        ended_early(self.sender.send(Message::Part(part)).await);
    }

    /// As [`Parts::finish`], in a task that has nothing else to do.
    pub(crate) async fn end(self, rest: Bytes) -> JoinHandle<Result<(), Error>> {
        let length = self.sent + rest.len() as u64;
        ended_early(self.sender.send(Message::Last(rest, length)).await);
        self.task
    }

    /// Returns once the store has it in its hands: a part that waited in between would be one more in memory.
    fn hand_over(&self, message: Message) {
        let handed_over = async {
            ended_early(self.sender.send(message).await);
            drop(self.sender.reserve().await);
        };
        tokio::task::block_in_place(|| Handle::current().block_on(handed_over));
    }

    /// Nothing is to be seen of it.
    pub(crate) fn abandon(self) {
        // The task sees the channel close and aborts the upload.
        drop(self.sender);
    }
}

/// An upload that takes no more says why when it is waited for.
fn ended_early(sent: Result<(), mpsc::error::SendError<Message>>) {
    if sent.is_err() {
        tracing::debug!("the upload ended early");
    }
}

/// An object that is being written: whole in memory if it stays small, else streamed.
#[derive(Debug)]
pub(crate) struct Outgoing {
    key: Key,
    parts: Option<Parts>,
}

/// Where an object goes, should it have to be streamed.
pub(crate) struct Route<'a> {
    pub(crate) store: &'a Arc<dyn Store>,
    pub(crate) outage: &'a Arc<Outage>,
    /// Fires when the object that must appear before this one has.
    pub(crate) before: Option<oneshot::Receiver<()>>,
    /// How many bytes are likely to come.
    pub(crate) expected: u64,
    /// Whether everything stays in memory: it is little, or somebody waits for us.
    pub(crate) at_once: bool,
}

/// An object that is complete.
pub(crate) enum Sealed {
    /// In memory, still to be put.
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

    /// Sends what is encoded, once that is a part. Blocks while the store is slower than we are.
    pub(crate) fn drain(&mut self, writer: &mut Writer, route: &mut Route<'_>) {
        let enough = if self.is_streaming() { PART_BYTES } else { STREAM_BYTES };
        if writer.buffered() < enough || route.at_once && !self.is_streaming() {
            return;
        }
        let parts = self.parts.get_or_insert_with(|| {
            let (store, outage) = (Arc::clone(route.store), Arc::clone(route.outage));
            Parts::begin(store, self.key, route.expected, route.before.take(), outage)
        });
        parts.drain(writer);
    }

    /// The last bytes.
    pub(crate) fn seal(self, rest: Vec<u8>) -> Sealed {
        match self.parts {
            None => Sealed::Whole(rest.into()),
            Some(parts) => Sealed::Streamed(parts.finish(rest)),
        }
    }

    /// Nothing is to be seen of it.
    pub(crate) fn abandon(self) {
        if let Some(parts) = self.parts {
            parts.abandon();
        }
    }
}

impl Sealed {
    /// Waits until the object is there.
    pub(crate) async fn land(
        self,
        store: &dyn Store,
        key: &Key,
        outage: &Outage,
    ) -> Result<(), Error> {
        match self {
            Sealed::Whole(body) => put(store, key, body, outage).await,
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
    outage: &Outage,
) -> Result<(), Error> {
    let mut failures = 0;
    let mut upload = loop {
        match store.upload(key, expected).await {
            Ok(upload) => break upload,
            Err(error) => {
                outage.note(store, &error);
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
                    outage.note(store, &error);
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
        // An error means that the object before was never put: then this must not appear either.
        if before.await.is_err() {
            upload.abort().await;
            return Ok(());
        }
    }
    point("shipper.part.sent");
    match upload.finish().await {
        Ok(()) => {}
        Err(error) => {
            // After a failure that may pass it is open whether the object is there: look.
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
    outage.end(store);
    Ok(())
}
