//! The one place of this crate that asks the system for the time of day: by it the future is told from the past.

use std::time::{SystemTime, UNIX_EPOCH};

use ebbtide_replica::Timestamp;

/// Now. A clock before 1970 counts as 1970.
#[expect(clippy::disallowed_methods, reason = "whoever calls this crate means the time of day")]
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::clamped(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}
