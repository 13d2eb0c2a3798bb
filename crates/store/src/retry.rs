//! Retries: how often, with which backoff, and when to stop.
//!
//! Waiting times grow exponentially and are drawn at random from zero to their bound (full jitter), so that many
//! databases whose store was away do not send their requests at the same moments. When the store asked us to slow down, the bound starts higher
//! and at least half of it is waited: a few quick attempts within one throttled second only prolong it.

use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::error::{ErrorKind, StoreError};

/// How often to try and how long to wait in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// The bound of the wait after the first failure; it doubles with each further one.
    pub first: Duration,
    /// The bound never grows beyond this.
    pub longest: Duration,
    /// The number of attempts after which the last error is final, if the store serves no other request either.
    pub attempts: u32,
}

/// When a store last served a request of any caller. It distinguishes a store that fails now and then from one that is
/// away.
#[derive(Debug, Default)]
pub struct LastServed(Mutex<Option<Instant>>);

/// A request that can be made again at will is repeated a few times; how long to go on with a store that is away is the
/// caller's to decide.
pub(super) const READS: Policy =
    Policy { first: Duration::from_millis(100), longest: Duration::from_secs(2), attempts: 4 };

/// A store that served somebody within this time is not away, and a request that fails is tried a few times more often:
/// who reads a thousand objects from a store that refuses every third request must not begin again because of one that
/// was unlucky four times.
const SERVED_LATELY: Duration = Duration::from_secs(10);
const TIMES_AS_OFTEN: u32 = 4;

/// How many doublings ahead a throttled wait is.
const THROTTLED_DOUBLINGS: u32 = 2;

impl Policy {
    /// How long to wait after `failures` failures in a row (at least 1), the last of them of this kind. `random` is
    /// where in the interval to land.
    #[must_use]
    pub fn wait(&self, failures: u32, kind: ErrorKind, random: u64) -> Duration {
        let throttled = kind == ErrorKind::Throttled;
        let doublings = failures.saturating_sub(1).saturating_add(if throttled {
            THROTTLED_DOUBLINGS
        } else {
            0
        });
        let factor = 1u32.checked_shl(doublings).unwrap_or(u32::MAX);
        let bound = self.first.saturating_mul(factor).min(self.longest);
        let least = if throttled { bound / 2 } else { Duration::ZERO };
        least + scale(bound - least, random)
    }
}

/// `random` as a share of the whole range of numbers, of `duration`.
fn scale(duration: Duration, random: u64) -> Duration {
    let nanos = duration.as_nanos() * u128::from(random) / u128::from(u64::MAX);
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

impl LastServed {
    /// A request was made: notes whether it was served, be it with a refusal that stays the same.
    #[cfg(feature = "s3")]
    pub(super) fn note<T>(&self, result: &Result<T, StoreError>) {
        if result.as_ref().err().is_none_or(StoreError::is_permanent) {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        }
    }

    fn is_lately(&self) -> bool {
        let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.is_some_and(|last| last.elapsed() < SERVED_LATELY)
    }
}

/// Calls `operation` until it succeeds, fails for good, or has been tried often enough for how the store fares with
/// others.
///
/// # Errors
/// That of the last attempt.
pub async fn retry<T, F, Fut>(
    policy: &Policy,
    served: &LastServed,
    mut operation: F,
) -> Result<T, StoreError>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, StoreError>>,
{
    let mut failures = 0;
    loop {
        let error = match operation().await {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        failures += 1;
        if !is_worth_another(policy, served, failures, &error).await {
            return Err(error);
        }
    }
}

/// Whether to try again after `failures` failures in a row, the last of which was `error`; if so, after a while.
pub(super) async fn is_worth_another(
    policy: &Policy,
    served: &LastServed,
    failures: u32,
    error: &StoreError,
) -> bool {
    let more = if served.is_lately() { TIMES_AS_OFTEN } else { 1 };
    if error.is_permanent() || failures >= policy.attempts.saturating_mul(more) {
        return false;
    }
    // Without a random number the wait is the longest allowed one.
    let random = getrandom::u64().unwrap_or(u64::MAX);
    let wait = policy.wait(failures, error.kind(), random);
    tracing::debug!(%error, failures, ?wait, "trying again");
    tokio::time::sleep(wait).await;
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: Policy =
        Policy { first: Duration::from_millis(100), longest: Duration::from_secs(2), attempts: 5 };

    fn error(kind: ErrorKind) -> StoreError {
        StoreError::new(kind, "put x", "made up")
    }

    #[test]
    fn waits_double_up_to_their_bound_and_start_at_zero() {
        let bounds: Vec<u128> = (1..8)
            .map(|failures| POLICY.wait(failures, ErrorKind::Unavailable, u64::MAX).as_millis())
            .collect();
        assert_eq!(bounds, [100, 200, 400, 800, 1600, 2000, 2000]);
        assert_eq!(POLICY.wait(3, ErrorKind::Unavailable, 0), Duration::ZERO);
        assert_eq!(POLICY.wait(u32::MAX, ErrorKind::Unavailable, u64::MAX), POLICY.longest);
    }

    /// Litestream 97d2dfa: retries without a delay inside one throttled window.
    #[test]
    fn a_throttled_wait_is_never_short() {
        assert_eq!(POLICY.wait(1, ErrorKind::Throttled, 0), Duration::from_millis(200));
        assert_eq!(POLICY.wait(1, ErrorKind::Throttled, u64::MAX), Duration::from_millis(400));
    }

    #[tokio::test(start_paused = true)]
    async fn what_passes_is_tried_again_and_what_stays_is_not() {
        let mut calls = 0;
        let result = retry(&POLICY, &LastServed::default(), || {
            calls += 1;
            let kind = if calls < 3 { ErrorKind::Unavailable } else { ErrorKind::Denied };
            async move { Err::<(), _>(error(kind)) }
        })
        .await;
        assert_eq!(result.unwrap_err().kind(), ErrorKind::Denied);
        assert_eq!(calls, 3);
    }

    #[tokio::test(start_paused = true)]
    async fn attempts_are_counted() {
        let mut calls = 0;
        let result = retry(&POLICY, &LastServed::default(), || {
            calls += 1;
            async { Err::<(), _>(error(ErrorKind::Throttled)) }
        })
        .await;
        assert_eq!(result.unwrap_err().kind(), ErrorKind::Throttled);
        assert_eq!(calls, POLICY.attempts);
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_serves_others_is_asked_more_often() {
        let served = LastServed::default();
        let mut calls = 0;
        let result = retry(&POLICY, &served, || {
            calls += 1;
            // Somebody else's request; even one for an object that is not there.
            served.note::<()>(&Err(error(ErrorKind::NotFound)));
            async { Err::<(), _>(error(ErrorKind::Unavailable)) }
        })
        .await;
        assert!(result.is_err());
        assert_eq!(calls, POLICY.attempts * TIMES_AS_OFTEN);
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_served_long_ago_is_away() {
        let served = LastServed::default();
        served.note(&Ok(()));
        tokio::time::advance(SERVED_LATELY).await;
        let mut calls = 0;
        let result = retry(&POLICY, &served, || {
            calls += 1;
            let failure = Err::<(), _>(error(ErrorKind::Unavailable));
            served.note(&failure);
            async { failure }
        })
        .await;
        assert!(result.is_err());
        assert_eq!(calls, POLICY.attempts);
    }
}
