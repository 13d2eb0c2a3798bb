//! One put, retried until the object exists or its name turns out to be taken by another process.

use bytes::Bytes;
use ebbtide_fault::point;
use ebbtide_replica::Key;
use ebbtide_replica::container::Footer;
use ebbtide_store::{ErrorKind, Store, StoreError};

use crate::destination::Destination;
use crate::error::Error;
use crate::key_put::put_key_of;
use crate::name_conflict::{NameConflict, read_name_conflict};
use crate::retry::{AttemptError, retry};

/// The end of an object and its length, by which the object is recognized in the store: the footer has a hash over
/// header and index, and the index has the checksums of all blocks.
#[derive(Debug, Clone)]
pub(crate) struct Tail {
    footer: Bytes,
    length: u64,
}

impl Tail {
    /// The tail of an object with this length, whose last bytes are `end`.
    pub(crate) fn new(end: &Bytes, length: u64) -> Tail {
        Tail { footer: end.slice(end.len().saturating_sub(Footer::SIZE)..), length }
    }

    pub(crate) fn length(&self) -> u64 {
        self.length
    }
}

/// Puts `body` under `key`, which must be an object of the container format.
///
/// # Errors
/// [`Error::Fenced`] when the name is taken by an object of another process.
pub(crate) async fn put(to: &Destination, key: &Key, body: Bytes) -> Result<(), Error> {
    let tail = Tail::new(&body, body.len() as u64);
    put_key_of(to, key, &body, body.len() as u64).await?;
    retry(to, || async {
        point("shipper.put.begin");
        match to.store.put(key, body.clone()).await {
            Ok(()) => point("shipper.put.done"),
            Err(error) if error.kind() == ErrorKind::Exists => {
                check_owner(&*to.store, key, &tail, error).await?;
            }
            Err(error) => return Err(AttemptError::Retryable(error)),
        }
        to.note_success();
        Ok(())
    })
    .await
}

/// Distinguishes a lost answer from a lost race, after a put failed with `error` because its name is taken: succeeds if
/// the object under the name is the one that was put.
pub(crate) async fn check_owner(
    store: &dyn Store,
    key: &Key,
    tail: &Tail,
    error: StoreError,
) -> Result<(), AttemptError> {
    let size = store.size(key).await.map_err(transient)?;
    let Some(size) = size else { return Err(transient(error)) };
    if size == tail.length {
        let range = size.saturating_sub(Footer::SIZE as u64)..size;
        if store.get_range(key, range).await.map_err(transient)? == tail.footer {
            return Ok(());
        }
    }
    Err(match read_name_conflict(store, key).await {
        NameConflict::Error(error) => AttemptError::Final(error),
        NameConflict::Foreign(why) => {
            let why = format!(
                "its name is taken by an object that is none of the replica's ({why}): remove it"
            );
            AttemptError::Retryable(StoreError::new(ErrorKind::Invalid, format!("put {key}"), why))
        }
    })
}

/// An error of the check as a transient error: it says nothing about the put.
fn transient(error: StoreError) -> AttemptError {
    AttemptError::Retryable(StoreError::new(
        ErrorKind::Unavailable,
        "check whose object it is",
        error.with_causes(),
    ))
}
