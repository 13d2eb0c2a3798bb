//! The one place that asks the system for the time of day.

use std::time::{SystemTime, UNIX_EPOCH};

use ebbtide_replica::Timestamp;

/// Now, in µs since the epoch, UTC. A clock before 1970 counts as 1970.
#[expect(clippy::disallowed_methods, reason = "the one place that asks the clock")]
pub(crate) fn now_micros() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// Now.
#[must_use]
pub fn now() -> Timestamp {
    Timestamp::from_micros(now_micros()).unwrap_or(Timestamp::MAX)
}

/// A moment of the clock that only runs forwards, as a time of day.
pub(crate) fn at(moment: std::time::Instant) -> Timestamp {
    let ago = i64::try_from(moment.elapsed().as_micros()).unwrap_or(i64::MAX);
    Timestamp::from_micros(now_micros().saturating_sub(ago)).unwrap_or(Timestamp::MIN)
}
