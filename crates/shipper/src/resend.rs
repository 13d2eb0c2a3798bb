//! Puts a spooled segment into the store.

use std::sync::Arc;

use ebbtide_replica::Key;
use ebbtide_store::Store;

use crate::destination::Destination;
use crate::error::Error;
use crate::outgoing::STREAM_BYTES;
use crate::parts::{PART_BYTES, Parts};
use crate::put::put;
use crate::retry::{AttemptError, retry};

/// Puts the segment `key`, which has `bytes` in the spool. Retries without limit.
pub(crate) async fn resend(
    spool: &Arc<dyn Store>,
    to: &Destination,
    key: Key,
    bytes: u64,
) -> Result<(), Error> {
    // The same threshold as for a segment that was not spooled.
    if bytes <= STREAM_BYTES as u64 {
        let body = spool.get(&key, bytes).await?;
        return put(to, &key, body).await;
    }
    retry(to, || async {
        match stream(spool, to, key, bytes).await {
            Err(Error::Lost(error)) => Err(AttemptError::Retryable(error)),
            Err(error) => Err(AttemptError::Final(error)),
            Ok(()) => Ok(()),
        }
    })
    .await
}

/// Uploads the segment once, part by part.
async fn stream(
    spool: &Arc<dyn Store>,
    to: &Destination,
    key: Key,
    bytes: u64,
) -> Result<(), Error> {
    let part_bytes = PART_BYTES as u64;
    let mut parts = Parts::begin(to, key, bytes, None);
    let mut at = 0;
    while bytes - at > part_bytes {
        parts.feed(spool.get_range(&key, at..at + part_bytes).await?).await;
        at += part_bytes;
    }
    parts.end(spool.get_range(&key, at..bytes).await?).await.await?
}
