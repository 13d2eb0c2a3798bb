//! A streamed object on its way into a bucket.
//!
//! What fits into one part is put in one request at the end. Anything larger goes in parts, of which a few are on
//! their way while the next is filled; memory is bounded by them.
//!
//! At the end the answer may be lost, and the name may be taken meanwhile. Each upload therefore carries a random mark
//! in the object's metadata. The completion is repeated until it is answered; when a repetition finds the name taken or
//! the upload gone, the mark on the object tells whether it was us.
//!
//! A server that ignores the condition on the completion would overwrite. The upload looks for the name before, so that
//! it takes two writers within one request's time to lose an object there; `probe` tells whether the server is one.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use aws_sdk_s3::types::CompletedPart;
use bytes::{Bytes, BytesMut};
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use super::bucket::Bucket;
use super::limits::{PARTS, PARTS_IN_FLIGHT, PARTS_MAX, part_bytes};
use super::multipart::{Multipart, gone};
use crate::api::Upload;
use crate::error::{ErrorKind, StoreError};
use crate::retry::retry;
use ebbtide_replica::Key;

pub(super) struct S3Upload {
    store: Bucket,
    what: String,
    name: String,
    expected: u64,
    pending: Pending,
    /// From the first full part on.
    sending: Option<Sending>,
}

/// Bytes that make no full part yet.
#[derive(Default)]
struct Pending {
    chunks: VecDeque<Bytes>,
    bytes: usize,
}

/// Parts that are on their way or have arrived.
struct Sending {
    multipart: Multipart,
    begun: i32,
    tasks: JoinSet<Result<CompletedPart, StoreError>>,
    arrived: Vec<CompletedPart>,
}

impl S3Upload {
    pub(super) fn new(store: Bucket, key: &Key, expected: u64) -> S3Upload {
        S3Upload {
            what: format!("put {key}"),
            name: store.full(key),
            store,
            expected,
            pending: Pending::default(),
            sending: None,
        }
    }

    /// How many bytes the next part has.
    fn next_part(&self) -> usize {
        let begun = self.sending.as_ref().map_or(0, |sending| sending.begun.unsigned_abs());
        let bytes = part_bytes(u64::from(begun) + 1, self.expected);
        usize::try_from(bytes).unwrap_or(usize::MAX)
    }

    /// Sends a part when there is room for another one on the way.
    async fn send(&mut self, body: Bytes) -> Result<(), StoreError> {
        let sending = match &mut self.sending {
            Some(sending) => sending,
            none => {
                let multipart = Multipart::begin(&self.store, &self.what, &self.name).await?;
                none.insert(Sending::new(multipart))
            }
        };
        sending.wait(&self.what, PARTS_IN_FLIGHT - 1).await?;
        if u64::from(sending.begun.unsigned_abs()) == PARTS_MAX {
            let why = format!("it is too long for {PARTS_MAX} parts");
            return Err(StoreError::new(ErrorKind::Invalid, &self.what, why));
        }
        sending.begun += 1;
        let (multipart, number) = (sending.multipart.clone(), sending.begun);
        sending.tasks.spawn(async move { multipart.part(number, body).await });
        Ok(())
    }
}

#[async_trait]
impl Upload for S3Upload {
    async fn write(&mut self, part: Bytes) -> Result<(), StoreError> {
        self.pending.push(part);
        // One byte more than a part has, so that the last part is never empty.
        while self.pending.bytes > self.next_part() {
            let body = self.pending.take(self.next_part());
            self.send(body).await?;
        }
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<(), StoreError> {
        let rest = self.pending.take(self.pending.bytes);
        if self.sending.is_none() {
            return self.store.create(&self.what, self.name.clone(), rest).await;
        }
        self.send(rest).await?;
        if let Some(sending) = &mut self.sending {
            sending.wait(&self.what, 0).await?;
            sending.complete(&self.what).await?;
        }
        self.sending = None;
        Ok(())
    }

    async fn abort(mut self: Box<Self>) {
        if let Some(mut sending) = self.sending.take() {
            sending.tasks.shutdown().await;
            discard(sending.multipart).await;
        }
    }
}

impl Drop for S3Upload {
    fn drop(&mut self) {
        let Some(sending) = self.sending.take() else { return };
        match Handle::try_current() {
            Ok(runtime) => {
                runtime.spawn(discard(sending.multipart));
            }
            Err(_) => tracing::warn!(upload = self.what, "left parts of an upload behind"),
        }
    }
}

async fn discard(multipart: Multipart) {
    if let Err(error) = multipart.abort().await {
        tracing::warn!(error = ?error, "left parts of an upload behind");
    }
}

impl Sending {
    fn new(multipart: Multipart) -> Sending {
        Sending { multipart, begun: 0, tasks: JoinSet::new(), arrived: Vec::new() }
    }

    /// Waits until at most this number of parts is in flight.
    async fn wait(&mut self, what: &str, most: usize) -> Result<(), StoreError> {
        while self.tasks.len() > most {
            match self.tasks.join_next().await {
                Some(Ok(part)) => self.arrived.push(part?),
                Some(Err(error)) => {
                    let why = "the work was broken off";
                    return Err(StoreError::new(ErrorKind::Unavailable, what, why).caused_by(error));
                }
                None => break,
            }
        }
        Ok(())
    }

    async fn complete(&mut self, what: &str) -> Result<(), StoreError> {
        self.arrived.sort_unstable_by_key(|part| part.part_number);
        let numbers = self.arrived.iter().map(|part| part.part_number);
        if !numbers.eq((1..=self.begun).map(Some)) {
            return Err(StoreError::new(ErrorKind::Invalid, what, "an earlier part was not sent"));
        }
        let taken = || StoreError::new(ErrorKind::Exists, what, "the name is taken");
        if self.multipart.made().await?.is_some() {
            return Err(taken());
        }
        // Whether an attempt was made whose outcome nobody knows.
        let doubt = AtomicBool::new(false);
        let attempt = async || {
            let error = match self.multipart.complete(self.arrived.clone()).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            let ended = error.kind() == ErrorKind::NotFound;
            if ended || (error.kind() == ErrorKind::Exists && doubt.load(Ordering::Relaxed)) {
                return match self.multipart.made().await? {
                    Some(true) => Ok(()),
                    Some(false) => Err(taken()),
                    None => Err(gone(what)),
                };
            }
            doubt.store(true, Ordering::Relaxed);
            Err(error)
        };
        retry(&PARTS, self.multipart.served(), attempt).await
    }
}

impl Pending {
    fn push(&mut self, chunk: Bytes) {
        self.bytes += chunk.len();
        self.chunks.push_back(chunk);
    }

    /// The first `bytes` bytes, of which there are at least as many; without a copy when they are one chunk.
    fn take(&mut self, bytes: usize) -> Bytes {
        self.bytes -= bytes;
        match self.chunks.front_mut() {
            Some(first) if first.len() > bytes => return first.split_to(bytes),
            Some(first) if first.len() == bytes => {
                return self.chunks.pop_front().unwrap_or_default();
            }
            _ => {}
        }
        let mut part = BytesMut::with_capacity(bytes);
        while part.len() < bytes {
            let Some(mut chunk) = self.chunks.pop_front() else { break };
            let missing = bytes - part.len();
            if chunk.len() > missing {
                part.extend_from_slice(&chunk.split_to(missing));
                self.chunks.push_front(chunk);
            } else {
                part.extend_from_slice(&chunk);
            }
        }
        part.freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pending_bytes_come_out_as_they_went_in() {
        let mut pending = Pending::default();
        for chunk in ["abc", "", "defg", "hij"] {
            pending.push(Bytes::from_static(chunk.as_bytes()));
        }
        assert_eq!(pending.bytes, 10);
        for (bytes, part) in [(2, "ab"), (1, "c"), (3, "def"), (0, ""), (4, "ghij"), (0, "")] {
            assert_eq!(pending.take(bytes), part);
        }
        assert_eq!(pending.bytes, 0);
    }
}
