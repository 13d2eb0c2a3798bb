//! How long the protocol waits, by the store's clock.

use ebbtide_replica::Timestamp;

const HOUR_MICROS: i64 = 3_600_000_000;

/// What a horizon condemns is deleted once the horizon is so old, in µs. It must be more than twice [`LAG_MICROS`].
pub const GRACE_MICROS: i64 = 24 * HOUR_MICROS;

/// How long a listing may hide what is there, in µs.
pub const LAG_MICROS: i64 = GRACE_MICROS / 2 - HOUR_MICROS;

/// How long ago something was put, in µs; nothing is younger than nothing.
#[must_use]
pub fn age_micros(stored: Timestamp, now: Timestamp) -> i64 {
    now.as_micros().saturating_sub(stored.as_micros()).max(0)
}

/// Whether whoever puts something now is seen by all who delete what a horizon of this age condemns.
#[must_use]
pub fn is_in_time(stored: Timestamp, now: Timestamp) -> bool {
    age_micros(stored, now).saturating_add(LAG_MICROS) <= GRACE_MICROS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grace_is_more_than_two_lags() {
        const { assert!(GRACE_MICROS > 2 * LAG_MICROS) };
        let at = |hours: i64| Timestamp::from_micros(hours * HOUR_MICROS).unwrap();
        assert!(is_in_time(at(0), at(13)));
        assert!(!is_in_time(at(0), at(14)));
        assert_eq!(age_micros(at(2), at(1)), 0);
    }
}
