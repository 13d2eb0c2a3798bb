//! When deltas are due: once an hour, and once a day, has ended in UTC. Replicas do it a little later each, so that a process
//! with many databases does not make all of them at one moment. Time is an argument.

use ebbtide_fault::setting;
use ebbtide_replica::{ReplicaId, Timestamp};
use ebbtide_shipper::Level;

const HOUR_MICROS: i64 = 3_600_000_000;
const HOURS_OF_A_DAY: i64 = 24;

/// Within this share of an hour after its end all replicas have noticed.
const SPREAD_SHARE: i64 = 60;

/// The ends of hours and days, as a replica sees them.
#[derive(Debug)]
pub(crate) struct Boundaries {
    hour_micros: i64,
    day_hours: i64,
    /// How much later than others this replica is.
    late_micros: i64,
    /// The hour that was begun last, counted from 1970…
    hour: i64,
    /// …and the day.
    day: i64,
}

impl Boundaries {
    /// The present hour began at or before `hour_since`, and the present day at or before `day_since`: those are the times
    /// of the states that the levels begin with.
    pub(crate) fn new(
        replica: ReplicaId,
        hour_since: Timestamp,
        day_since: Timestamp,
    ) -> Boundaries {
        // Hours and days of a test are shorter.
        let set = setting("hour-millis").and_then(|millis| i64::try_from(millis).ok());
        let hour_micros = set.map_or(HOUR_MICROS, |millis| millis.max(1) * 1000);
        let day_hours = setting("day-hours").and_then(|hours| i64::try_from(hours).ok());
        let day_hours = day_hours.map_or(HOURS_OF_A_DAY, |hours| hours.max(1));
        let spread = u64::try_from(hour_micros / SPREAD_SHARE).unwrap_or(1).max(1);
        let hash = replica.as_bytes().first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let late_micros = i64::try_from(hash % spread).unwrap_or(0);
        let mut boundaries = Boundaries { hour_micros, day_hours, late_micros, hour: 0, day: 0 };
        boundaries.hour = boundaries.hour_at(hour_since);
        boundaries.day = boundaries.hour_at(day_since).div_euclid(day_hours);
        boundaries
    }

    /// What has ended since the last time, at `now`.
    pub(crate) fn due(&self, now: Timestamp) -> Option<Level> {
        let hour = self.hour_at(now);
        if hour.div_euclid(self.day_hours) > self.day {
            return Some(Level::Day);
        }
        (hour > self.hour).then_some(Level::Hour)
    }

    /// It is dealt with. A clock that was set back counts from there.
    pub(crate) fn pass(&mut self, now: Timestamp) {
        self.hour = self.hour_at(now);
        self.day = self.hour.div_euclid(self.day_hours);
    }

    /// Whether the clock was set back behind the present hour.
    pub(crate) fn is_ahead(&self, now: Timestamp) -> bool {
        self.hour_at(now) < self.hour
    }

    fn hour_at(&self, time: Timestamp) -> i64 {
        time.as_micros().saturating_sub(self.late_micros).div_euclid(self.hour_micros)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-28T00:00:00Z.
    const MIDNIGHT: i64 = 1_795_824_000 * 1_000_000;
    const MINUTE: i64 = 60_000_000;

    fn at(micros: i64) -> Timestamp {
        Timestamp::from_micros(micros).unwrap()
    }

    fn new(since: i64) -> Boundaries {
        Boundaries::new(ReplicaId::from_bytes([0; 16]), at(since), at(since))
    }

    #[test]
    fn an_hour_and_a_day_are_due_once_each() {
        let mut boundaries = new(MIDNIGHT + 5 * MINUTE);
        assert_eq!(boundaries.due(at(MIDNIGHT + 59 * MINUTE)), None);
        assert_eq!(boundaries.due(at(MIDNIGHT + 60 * MINUTE)), Some(Level::Hour));
        boundaries.pass(at(MIDNIGHT + 61 * MINUTE));
        assert_eq!(boundaries.due(at(MIDNIGHT + 119 * MINUTE)), None);
        // Whatever was missed meanwhile is one.
        assert_eq!(boundaries.due(at(MIDNIGHT + 600 * MINUTE)), Some(Level::Hour));
        assert_eq!(boundaries.due(at(MIDNIGHT + 1440 * MINUTE)), Some(Level::Day));
        boundaries.pass(at(MIDNIGHT + 1440 * MINUTE));
        assert_eq!(boundaries.due(at(MIDNIGHT + 1441 * MINUTE)), None);
    }

    #[test]
    fn replicas_are_late_by_less_than_a_minute_and_not_all_alike() {
        let mut found = std::collections::BTreeSet::new();
        for number in 0..=u8::MAX {
            let replica = ReplicaId::from_bytes(spread(number));
            let boundaries = Boundaries::new(replica, at(MIDNIGHT - MINUTE), at(MIDNIGHT - MINUTE));
            let late = (0..60).find(|second| {
                boundaries.due(at(MIDNIGHT + (second + 1) * 1_000_000)) == Some(Level::Day)
            });
            found.insert(late.expect("within a minute"));
        }
        assert!(found.len() > 40, "{found:?}");
    }

    fn spread(number: u8) -> [u8; 16] {
        let mut bytes = [0; 16];
        let product = u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        bytes[..8].copy_from_slice(&product.to_le_bytes());
        bytes
    }

    #[test]
    fn a_clock_that_was_ahead_and_is_set_back_goes_on() {
        let mut boundaries = new(MIDNIGHT + 600 * MINUTE);
        assert_eq!(boundaries.due(at(MIDNIGHT)), None);
        assert!(boundaries.is_ahead(at(MIDNIGHT)));
        boundaries.pass(at(MIDNIGHT));
        assert_eq!(boundaries.due(at(MIDNIGHT + 60 * MINUTE)), Some(Level::Hour));
    }
}
