//! The loop that retries requests to the store for as long as an outage lasts.

use std::time::Duration;

use ebbtide_store::retry::Policy;
use ebbtide_store::{ErrorKind, StoreError};

use crate::destination::Destination;
use crate::error::Error;

/// Exponential backoff without a limit of attempts: during an outage commits stay in the log.
const POLICY: Policy = Policy {
    first: Duration::from_millis(100),
    longest: Duration::from_secs(15),
    attempts: u32::MAX,
};

/// The shortest pause after an error that retries cannot cure.
const PERMANENT_PAUSE: Duration = Duration::from_secs(5);

/// Why an attempt failed.
#[derive(Debug)]
pub(crate) enum AttemptError {
    /// The next attempt may succeed.
    Retryable(StoreError),
    /// Every further attempt would fail.
    Final(Error),
}

impl From<AttemptError> for Error {
    /// Where there is no further attempt.
    fn from(error: AttemptError) -> Error {
        match error {
            AttemptError::Retryable(error) => error.into(),
            AttemptError::Final(error) => error,
        }
    }
}

impl AttemptError {
    /// Retries `error` unless it is permanent.
    pub(crate) fn unless_permanent(error: StoreError) -> AttemptError {
        match error.is_permanent() {
            true => AttemptError::Final(error.into()),
            false => AttemptError::Retryable(error),
        }
    }
}

/// Calls `attempt` until it succeeds or fails for good. Reports each failure to the health of the store, and the success
/// that follows.
pub(crate) async fn retry<T, F>(
    to: &Destination,
    mut attempt: impl FnMut() -> F,
) -> Result<T, Error>
where
    F: Future<Output = Result<T, AttemptError>>,
{
    let mut failures = 0;
    loop {
        match attempt().await {
            Ok(done) => {
                if failures > 0 {
                    to.note_success();
                }
                return Ok(done);
            }
            Err(AttemptError::Final(error)) => return Err(error),
            Err(AttemptError::Retryable(error)) => {
                to.note_failure(&error);
                failures += 1;
                pause(failures, error.kind()).await;
            }
        }
    }
}

/// Waits before the attempt after `failures` failures.
async fn pause(failures: u32, kind: ErrorKind) {
    // Without a random number the pause is the longest possible one.
    let wait = POLICY.wait(failures, kind, getrandom::u64().unwrap_or(u64::MAX));
    let is_transient = matches!(kind, ErrorKind::Throttled | ErrorKind::Unavailable);
    tokio::time::sleep(if is_transient { wait } else { wait.max(PERMANENT_PAUSE) }).await;
}
