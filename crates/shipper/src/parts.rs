//! The parts of an object that is uploaded while it is being encoded, so that memory use does not grow with the object.

use bytes::Bytes;
use ebbtide_replica::Key;
use ebbtide_replica::container::Writer;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::buffers::Buffers;
use crate::destination::Destination;
use crate::error::Error;
use crate::upload::{Message, upload};
use crate::visible::Visible;

/// The size of a part except the last: the minimum of S3, so that the store does not have to split it.
pub(crate) const PART_BYTES: usize = 5 << 20;

/// A part, and the bytes by which its last block exceeds it.
const BUFFER_BYTES: usize = PART_BYTES + (128 << 10);

/// A multipart upload in progress.
#[derive(Debug)]
pub(crate) struct Parts {
    sender: mpsc::Sender<Message>,
    task: JoinHandle<Result<(), Error>>,
    buffers: Buffers,
    sent: u64,
}

impl Parts {
    /// Begins an upload of about `expected` bytes. The object becomes visible only after the one that `before` waits
    /// for, so that objects appear in order.
    pub(crate) fn begin(
        to: &Destination,
        key: Key,
        expected: u64,
        before: Option<Visible>,
    ) -> Parts {
        // The channel holds at most one part, and only briefly: see `hand_over`.
        let (sender, receiver) = mpsc::channel(1);
        let to = to.clone();
        let task = tokio::spawn(async move { upload(&to, &key, expected, before, receiver).await });
        Parts { sender, task, buffers: Buffers::new(BUFFER_BYTES), sent: 0 }
    }

    /// Sends the writer's complete parts. Blocks while the store is slower than the encoder (backpressure). The error
    /// of a failed upload is returned by the task of [`Parts::finish`].
    pub(crate) fn drain(&mut self, writer: &mut Writer) {
        while writer.buffered() >= PART_BYTES {
            let part = writer.take(PART_BYTES, self.buffers.take());
            self.sent += part.len() as u64;
            self.hand_over(Message::Part(self.buffers.lend(part)));
        }
    }

    /// The length of the object if `rest` is its last part.
    pub(crate) fn length_with(&self, rest: &[u8]) -> u64 {
        self.sent + rest.len() as u64
    }

    /// Sends the last part. The returned task ends once the object is visible.
    pub(crate) fn finish(self, rest: Vec<u8>) -> JoinHandle<Result<(), Error>> {
        let length = self.length_with(&rest);
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
