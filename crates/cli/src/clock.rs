//! Times of day as people read them.

use ebbtide_replica::Timestamp;

/// A time of day in the zone that this host is in.
pub(crate) fn in_local_zone(time: Timestamp) -> jiff::Zoned {
    jiff::Timestamp::from(time).to_zoned(jiff::tz::TimeZone::system())
}
