//! One put, tried until the object is there or its name turns out to be another's.

use std::time::Duration;

use bytes::Bytes;
use ebbtide_fault::point;
use ebbtide_replica::Key;
use ebbtide_replica::container::Footer;
use ebbtide_store::retry::Policy;
use ebbtide_store::{ErrorKind, Store, StoreError};

use crate::claim::{Winning, read_winner};
use crate::error::Error;
use crate::outage::Outage;

/// Attempts follow each other at growing distances, for ever: the log waits.
const POLICY: Policy = Policy {
    first: Duration::from_millis(100),
    longest: Duration::from_secs(15),
    attempts: u32::MAX,
};

/// What only a person can mend is tried again no more often than this.
const PERMANENT_PAUSE: Duration = Duration::from_secs(5);

/// Puts `body` under `key`, which must be an object of the container format.
///
/// # Errors
/// [`Error::Fenced`] when the name is taken by an object of another process.
pub(crate) async fn put(
    store: &dyn Store,
    key: &Key,
    body: Bytes,
    outage: &Outage,
) -> Result<(), Error> {
    let mut failures = 0;
    loop {
        point("shipper.put.begin");
        let error = match store.put(key, body.clone()).await {
            Ok(()) => {
                point("shipper.put.done");
                outage.end(store);
                return Ok(());
            }
            Err(error) => match is_there(store, key, &body, body.len() as u64, error).await? {
                Lookup::Ours => {
                    outage.end(store);
                    return Ok(());
                }
                Lookup::Failed(error) => error,
            },
        };
        outage.note(store, &error);
        failures += 1;
        pause(failures, error.kind()).await;
    }
}

/// Waits before the attempt after `failures` failures.
pub(crate) async fn pause(failures: u32, kind: ErrorKind) {
    // Without a random number the wait is the longest allowed one.
    let wait = POLICY.wait(failures, kind, getrandom::u64().unwrap_or(u64::MAX));
    let passing = matches!(kind, ErrorKind::Throttled | ErrorKind::Unavailable);
    tokio::time::sleep(if passing { wait } else { wait.max(PERMANENT_PAUSE) }).await;
}

/// What became of a put that failed.
pub(crate) enum Lookup {
    /// Its answer was lost: the object is there.
    Ours,
    /// It did not happen.
    Failed(StoreError),
}

/// Tells a lost answer from a lost race: an object of the same length with the same footer is the same object, because
/// the footer holds the hash of everything that describes the rest. `end` are the object's last bytes at least.
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
    match read_winner(store, key).await {
        Winning::Error(error) => Err(error),
        Winning::Foreign(why) => {
            let why = format!(
                "its name is taken by an object that is none of the replica's ({why}): remove it"
            );
            Ok(Lookup::Failed(StoreError::new(ErrorKind::Invalid, format!("put {key}"), why)))
        }
    }
}

/// An error while looking says nothing about the put: look again.
fn passing(error: StoreError) -> StoreError {
    StoreError::new(ErrorKind::Unavailable, "look whose object it is", error.with_causes())
}
