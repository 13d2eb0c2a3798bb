//! Whether a store keeps its word on create-only puts.
//!
//! Some servers ignore `If-None-Match`, some check it without taking hold of the name, so that two puts at once both
//! pass. The only way to know is to race: several puts of one new name at the same time, of which exactly one may win,
//! and one more afterwards, which may not.

use std::future::Future;
use std::io;

use futures::future::join_all;

use super::error::{ErrorKind, StoreError};
use super::retry::{LastServed, READS, retry};

/// What becomes of a put whose name is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Conditional {
    /// It fails, also in a race: two writers can never take the same name.
    Enforced,
    /// It may overwrite. Nothing but care keeps two writers apart.
    Ignored,
}

/// How many puts race.
const RACERS: usize = 8;
/// So many of the racers must have had an answer for the race to mean something.
const ANSWERS_MIN: usize = RACERS / 2;

/// What is attempted when a store is asked for its time…
pub(super) const ASKING_TIME: &str = "ask the store for its time";
/// …and why it fails when it tells none.
pub(super) const NO_TIME: &str = "the store does not say when an object was put";

/// Where the names lie that it tries out.
pub(super) const DIRECTORY: &str = "probe";

/// A new name for an object to race for, which no key of a replica can have.
pub(super) fn name() -> Result<String, StoreError> {
    let random = getrandom::u64().map_err(|error| {
        StoreError::new(ErrorKind::Unavailable, "probe the store", "no random number")
            .caused_by(io::Error::other(error))
    })?;
    Ok(format!("{DIRECTORY}/{random:016x}"))
}

/// Races puts of one name that is not taken, then tries once more. A racer whose answer is lost is not asked again,
/// because it may have won; the put after the race is, because the name is taken whoever took it.
pub(super) async fn race<F, Fut>(put: F) -> Result<Conditional, StoreError>
where
    F: Fn() -> Fut,
    Fut: Future<Output = Result<(), StoreError>>,
{
    match verdict(join_all((0..RACERS).map(|_| put())).await)? {
        Conditional::Ignored => Ok(Conditional::Ignored),
        Conditional::Enforced => match retry(&READS, &LastServed::default(), &put).await {
            Ok(()) => Ok(Conditional::Ignored),
            Err(error) if error.kind() == ErrorKind::Exists => Ok(Conditional::Enforced),
            Err(error) => Err(error),
        },
    }
}

/// What the answers of all racers together mean. One that had no answer may have won, which is why one win is enough
/// only when enough others lost.
fn verdict(answers: Vec<Result<(), StoreError>>) -> Result<Conditional, StoreError> {
    let won = answers.iter().filter(|answer| answer.is_ok()).count();
    let is_lost = |answer: &Result<(), StoreError>| {
        answer.as_ref().is_err_and(|error| error.kind() == ErrorKind::Exists)
    };
    let lost = answers.iter().filter(|answer| is_lost(answer)).count();
    if won > 1 {
        return Ok(Conditional::Ignored);
    }
    if won + lost >= ANSWERS_MIN && lost > 0 {
        return Ok(Conditional::Enforced);
    }
    match answers.into_iter().find(|answer| answer.is_err() && !is_lost(answer)) {
        Some(Err(error)) => Err(error),
        _ => Err(StoreError::new(ErrorKind::Unavailable, "probe the store", "no put was answered")),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn answers(won: usize, lost: usize, failed: usize) -> Vec<Result<(), StoreError>> {
        let error = |kind| Err(StoreError::new(kind, "probe", "made up"));
        let mut answers: Vec<Result<(), StoreError>> = (0..won).map(|_| Ok(())).collect();
        answers.extend((0..lost).map(|_| error(ErrorKind::Exists)));
        answers.extend((0..failed).map(|_| error(ErrorKind::Unavailable)));
        answers
    }

    #[test]
    fn exactly_one_may_win() {
        assert_eq!(verdict(answers(1, 7, 0)).unwrap(), Conditional::Enforced);
        assert_eq!(verdict(answers(2, 6, 0)).unwrap(), Conditional::Ignored);
        assert_eq!(verdict(answers(8, 0, 0)).unwrap(), Conditional::Ignored);
    }

    #[test]
    fn lost_answers_decide_nothing() {
        assert_eq!(verdict(answers(1, 4, 3)).unwrap(), Conditional::Enforced);
        assert_eq!(verdict(answers(0, 5, 3)).unwrap(), Conditional::Enforced);
        assert_eq!(verdict(answers(2, 0, 6)).unwrap(), Conditional::Ignored);
        for (won, lost, failed) in [(1, 0, 7), (0, 1, 7), (0, 0, 8)] {
            let error = verdict(answers(won, lost, failed)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{won} {lost} {failed}");
        }
    }

    /// The first eight puts race; each name is taken once there was one.
    #[tokio::test(start_paused = true)]
    async fn the_put_after_the_race_is_tried_again() {
        let calls = AtomicUsize::new(0);
        let outcome = race(|| {
            let call = calls.fetch_add(1, Ordering::Relaxed);
            async move {
                match call {
                    0 => Ok(()),
                    1..RACERS => Err(StoreError::new(ErrorKind::Exists, "probe", "taken")),
                    RACERS => Err(StoreError::new(ErrorKind::Throttled, "probe", "busy")),
                    _ => Err(StoreError::new(ErrorKind::Exists, "probe", "taken")),
                }
            }
        });
        assert_eq!(outcome.await.unwrap(), Conditional::Enforced);
        assert_eq!(calls.into_inner(), RACERS + 2);
    }

    /// A server that checks and then writes loses only races; one that does not check at all loses without one.
    #[tokio::test]
    async fn a_store_that_always_says_yes_is_found_out() {
        assert_eq!(race(|| async { Ok(()) }).await.unwrap(), Conditional::Ignored);
    }
}
