//! The one place that asks the system for the time of day.

use std::time::{SystemTime, UNIX_EPOCH};

use ebbtide_replica::Timestamp;

/// Now. A clock before 1970 counts as 1970.
#[expect(clippy::disallowed_methods, reason = "the one place that asks the clock")]
#[must_use]
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::clamped(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

/// A moment of the clock that only runs forwards, as a time of day.
pub(crate) fn at(moment: std::time::Instant) -> Timestamp {
    let ago = i64::try_from(moment.elapsed().as_micros()).unwrap_or(i64::MAX);
    Timestamp::clamped(now().as_micros().saturating_sub(ago))
}
