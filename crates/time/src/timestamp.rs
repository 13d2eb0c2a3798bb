//! Points in time, as they stand in entries: microseconds since the epoch, UTC. There is no clock here: the time is
//! always an argument.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::serde_as_text;
use crate::text::ParseError;

/// A point in time in the years 1 to 9999, to the microsecond. Written as RFC 3339 with six digits and `Z`, so that the
/// order of the texts is the order of the times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// 0001-01-01T00:00:00.000000Z.
    pub const MIN: Timestamp = Timestamp(-62_135_596_800_000_000);
    /// The epoch, 1970-01-01T00:00:00.000000Z.
    pub const EPOCH: Timestamp = Timestamp(0);
    /// 9999-12-30T22:00:00.000000Z, the last that jiff makes of microseconds.
    pub const MAX: Timestamp = Timestamp(253_402_207_200_000_000);

    /// The time `micros` microseconds after the epoch, if it is from [`Timestamp::MIN`] to [`Timestamp::MAX`].
    #[must_use]
    pub const fn from_micros(micros: i64) -> Option<Timestamp> {
        if micros >= Timestamp::MIN.0 && micros <= Timestamp::MAX.0 {
            Some(Timestamp(micros))
        } else {
            None
        }
    }

    /// The time `micros` microseconds after the epoch, or the nearest that there is.
    #[must_use]
    pub const fn clamped(micros: i64) -> Timestamp {
        match Timestamp::from_micros(micros) {
            Some(time) => time,
            None if micros < 0 => Timestamp::MIN,
            None => Timestamp::MAX,
        }
    }

    /// In microseconds after the epoch.
    #[must_use]
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// How much later `later` is; nothing if it is earlier, as after a clock was set back.
    #[must_use]
    pub fn until(self, later: Timestamp) -> Duration {
        let micros = later.0.saturating_sub(self.0).max(0);
        Duration::from_micros(micros.unsigned_abs())
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.6}", jiff::Timestamp::from(*self))
    }
}

impl FromStr for Timestamp {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Timestamp, ParseError> {
        let time = text.parse::<jiff::Timestamp>().ok();
        time.and_then(|time| Timestamp::try_from(time).ok())
            .ok_or_else(|| ParseError::new("a time: RFC 3339, such as 2026-11-21T09:30:00Z", text))
    }
}

/// Fractions of a microsecond are cut off towards the past.
impl TryFrom<jiff::Timestamp> for Timestamp {
    type Error = ParseError;

    fn try_from(time: jiff::Timestamp) -> Result<Timestamp, ParseError> {
        let micros = time.as_nanosecond().div_euclid(1000);
        i64::try_from(micros)
            .ok()
            .and_then(Timestamp::from_micros)
            .ok_or_else(|| ParseError::new("a time in the years 1 to 9999", &time.to_string()))
    }
}

impl From<Timestamp> for jiff::Timestamp {
    fn from(time: Timestamp) -> jiff::Timestamp {
        jiff::Timestamp::from_microsecond(time.0).expect("MIN and MAX lie within jiff's range")
    }
}

serde_as_text!(Timestamp);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_back_what_they_write() {
        let half = Timestamp::from_micros(1_795_253_400_500_000).unwrap();
        assert_eq!(half.to_string(), "2026-11-21T09:30:00.500000Z");
        for time in [Timestamp::MIN, Timestamp::EPOCH, half, Timestamp::MAX] {
            assert_eq!(time.to_string().parse(), Ok(time), "{time}");
        }
        assert_eq!(Timestamp::MIN.to_string(), "0001-01-01T00:00:00.000000Z");
        assert_eq!(Timestamp::MAX.to_string(), "9999-12-30T22:00:00.000000Z");
        assert_eq!("2026-11-21T10:30:00.5+01:00".parse(), Ok(half));
    }

    #[test]
    fn times_out_of_range_are_refused() {
        assert_eq!(Timestamp::from_micros(Timestamp::MIN.0 - 1), None);
        assert_eq!(Timestamp::from_micros(Timestamp::MAX.0 + 1), None);
        assert!(Timestamp::try_from(jiff::Timestamp::MIN).is_err());
        assert!(Timestamp::try_from(jiff::Timestamp::MAX).is_err());
    }

    #[test]
    fn a_time_that_is_not_later_is_no_time_away() {
        let time = |micros| Timestamp::from_micros(micros).unwrap();
        assert_eq!(time(1).until(time(3)), Duration::from_micros(2));
        assert_eq!(time(3).until(time(1)), Duration::ZERO);
        assert!(Timestamp::MIN.until(Timestamp::MAX) > Duration::from_secs(1 << 37));
        assert_eq!(Timestamp::clamped(i64::MIN), Timestamp::MIN);
        assert_eq!(Timestamp::clamped(i64::MAX), Timestamp::MAX);
        assert_eq!(Timestamp::clamped(-7), time(-7));
    }

    #[test]
    fn fractions_are_cut_towards_the_past() {
        let before = jiff::Timestamp::from_nanosecond(-1).unwrap();
        assert_eq!(Timestamp::try_from(before).unwrap().as_micros(), -1);
    }
}
