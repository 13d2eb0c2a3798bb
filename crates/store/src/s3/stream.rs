//! A part of an object, handed on as it comes in.

use std::ops::Range;
use std::time::Duration;

use aws_sdk_s3::primitives::ByteStream as SdkStream;
use bytes::Bytes;
use futures::{StreamExt as _, stream};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout};

use super::body::Wanted;
use super::bucket::Bucket;
use super::causes::root_cause;
use super::limits;
use crate::api::ByteStream;
use crate::error::{ErrorKind, StoreError};
use crate::retry::{READS, is_worth_another, retry};
use ebbtide_replica::Key;

/// The number of bytes after which a broken connection counts as a new failure, and not as a repeated one.
const PROGRESS: u64 = 256 * 1024;

/// What is still to come. A connection that breaks is replaced by one that carries on where it ended.
struct Reading {
    store: Bucket,
    key: Key,
    left: Range<u64>,
    answer: Option<RangeResponse>,
    /// Connections in a row that broke.
    failures: u32,
    /// Bytes that came since the last one broke.
    since: u64,
}

/// An answer that is being read, which counts as a request under way.
struct RangeResponse {
    body: SdkStream,
    /// For how long it may be waited for, all in all. The time that the reader takes does not count.
    patience: Duration,
    _turn: Option<OwnedSemaphorePermit>,
}

impl Bucket {
    /// Exactly these bytes, as they come in.
    pub(super) async fn stream(
        &self,
        key: &Key,
        range: Range<u64>,
    ) -> Result<ByteStream, StoreError> {
        let mut reading = Reading {
            store: self.clone(),
            key: *key,
            left: range,
            answer: None,
            failures: 0,
            since: 0,
        };
        if !reading.left.is_empty() {
            reading.answer = Some(reading.ask().await?);
        }
        let next = |mut reading: Reading| async move {
            let piece = reading.next().await?;
            Ok(piece.map(|piece| (piece, reading)))
        };
        Ok(stream::try_unfold(reading, next).boxed())
    }
}

impl Reading {
    /// Asks for all that is left.
    async fn ask(&self) -> Result<RangeResponse, StoreError> {
        let client = &self.store.client;
        let wanted = Wanted::Part(self.left.clone());
        let attempt = async || {
            let turn = client.begin_turn().await;
            let answer = self.store.ask(&self.key, &wanted).await?;
            let length = answer.content_length().and_then(|length| u64::try_from(length).ok());
            let bytes = wanted.check(&self.key, length, answer.content_range())?;
            Ok(RangeResponse { body: answer.body, patience: limits::timeout(bytes), _turn: turn })
        };
        retry(&READS, &client.served, attempt).await
    }

    async fn next(&mut self) -> Result<Option<Bytes>, StoreError> {
        while !self.left.is_empty() {
            let answer = match self.answer.take() {
                Some(answer) => answer,
                None => self.ask().await?,
            };
            let error = match self.read(answer).await {
                Ok(piece) => return Ok(Some(piece)),
                Err(error) => error,
            };
            self.failures = if self.since >= PROGRESS { 1 } else { self.failures + 1 };
            self.since = 0;
            let served = &self.store.client.served;
            if !is_worth_another(&READS, served, self.failures, &error).await {
                return Err(error);
            }
        }
        Ok(None)
    }

    /// The next piece. Without one the answer is of no more use.
    async fn read(&mut self, mut answer: RangeResponse) -> Result<Bytes, StoreError> {
        let broken =
            |why: &str| StoreError::new(ErrorKind::Unavailable, format!("get {}", self.key), why);
        let began = Instant::now();
        let next = timeout(answer.patience, answer.body.next()).await;
        answer.patience = answer.patience.saturating_sub(began.elapsed());
        let piece = match next {
            Ok(Some(Ok(piece))) => piece,
            Ok(Some(Err(error))) => {
                return Err(broken("the connection broke halfway").caused_by(root_cause(&error)));
            }
            Ok(None) => return Err(broken("less came than was promised")),
            Err(_) => return Err(broken("it came too slowly")),
        };
        let bytes = piece.len() as u64;
        if bytes > self.left.end - self.left.start {
            return Err(broken("more came than was promised"));
        }
        self.left.start += bytes;
        self.since += bytes;
        self.store.client.served.note(&Ok(()));
        self.answer = Some(answer);
        Ok(piece)
    }
}
