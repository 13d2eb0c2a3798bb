//! One put, retried until the object exists or its name turns out to be taken by another process.

use std::time::Duration;

use bytes::Bytes;
use ebbtide_fault::point;
use ebbtide_replica::Key;
use ebbtide_replica::container::Footer;
use ebbtide_store::retry::Policy;
use ebbtide_store::{ErrorKind, Store, StoreError};

use crate::claim::{NameConflict, read_name_conflict};
use crate::error::Error;
use crate::store_health::StoreHealth;

/// Exponential backoff without a limit of attempts: during an outage commits stay in the log.
const POLICY: Policy = Policy {
    first: Duration::from_millis(100),
    longest: Duration::from_secs(15),
    attempts: u32::MAX,
};

/// The shortest pause after an error that retries cannot cure.
const PERMANENT_PAUSE: Duration = Duration::from_secs(5);

/// Puts `body` under `key`, which must be an object of the container format.
///
/// # Errors
/// [`Error::Fenced`] when the name is taken by an object of another process.
pub(crate) async fn put(
    store: &dyn Store,
    key: &Key,
    body: Bytes,
    health: &StoreHealth,
) -> Result<(), Error> {
    let mut failures = 0;
    loop {
        point("shipper.put.begin");
        let error = match store.put(key, body.clone()).await {
            Ok(()) => {
                point("shipper.put.done");
                health.note_success(store);
                return Ok(());
            }
            Err(error) => match is_there(store, key, &body, body.len() as u64, error).await? {
                Lookup::Ours => {
                    health.note_success(store);
                    return Ok(());
                }
                Lookup::Failed(error) => error,
            },
        };
        health.note_failure(store, &error);
        failures += 1;
        pause(failures, error.kind()).await;
    }
}

/// Waits before the attempt after `failures` failures.
pub(crate) async fn pause(failures: u32, kind: ErrorKind) {
    // Without a random number the pause is the longest possible one.
    let wait = POLICY.wait(failures, kind, getrandom::u64().unwrap_or(u64::MAX));
    let passing = matches!(kind, ErrorKind::Throttled | ErrorKind::Unavailable);
    tokio::time::sleep(if passing { wait } else { wait.max(PERMANENT_PAUSE) }).await;
}

/// The outcome of a put that returned an error.
pub(crate) enum Lookup {
    /// The put succeeded, and its answer was lost.
    Ours,
    /// The put failed.
    Failed(StoreError),
}

/// Distinguishes a lost answer from a lost race. An object of the same length with the same footer is the same object,
/// because the footer has a hash over header and index, and the index has the checksums of all blocks. `end` ends with
/// the object's footer.
pub(crate) async fn is_there(
    store: &dyn Store,
    key: &Key,
    end: &[u8],
    length: u64,
    error: StoreError,
) -> Result<Lookup, Error> {
    if error.kind() != ErrorKind::Exists {
        return Ok(Lookup::Failed(error));
    }
    let footer = end.len().saturating_sub(Footer::SIZE);
    let same = match store.size(key).await {
        Ok(Some(size)) if size == length => {
            let range = size.saturating_sub(Footer::SIZE as u64)..size;
            match store.get_range(key, range).await {
                Ok(theirs) => theirs == end[footer..],
                Err(error) => return Ok(Lookup::Failed(passing(error))),
            }
        }
        Ok(Some(_)) => false,
        Ok(None) => return Ok(Lookup::Failed(passing(error))),
        Err(error) => return Ok(Lookup::Failed(passing(error))),
    };
    if same {
        return Ok(Lookup::Ours);
    }
    match read_name_conflict(store, key).await {
        NameConflict::Error(error) => Err(error),
        NameConflict::Foreign(why) => {
            let why = format!(
                "its name is taken by an object that is none of the replica's ({why}): remove it"
            );
            Ok(Lookup::Failed(StoreError::new(ErrorKind::Invalid, format!("put {key}"), why)))
        }
    }
}

/// An error of the check as a transient error: it says nothing about the put.
fn passing(error: StoreError) -> StoreError {
    StoreError::new(ErrorKind::Unavailable, "look whose object it is", error.with_causes())
}
