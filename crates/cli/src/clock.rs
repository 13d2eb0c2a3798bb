//! Times of day as people read them.

use std::env;

use ebbtide_replica::Timestamp;
use jiff::tz::TimeZone;

/// A time of day in the zone that this host is in; without one in UTC. If `TZ` names a zone that the host does not know, the
/// zone is unknown, and nothing is read in it.
pub(crate) fn in_local_zone(time: Timestamp) -> jiff::Zoned {
    let zone = TimeZone::try_system().unwrap_or_else(|error| {
        tracing::debug!(%error, "no local time zone");
        if env::var_os("TZ").is_some() { TimeZone::unknown() } else { TimeZone::UTC }
    });
    jiff::Timestamp::from(time).to_zoned(zone)
}
