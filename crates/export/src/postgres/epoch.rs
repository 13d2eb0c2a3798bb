//! Numbers that are points in time.

use jiff::Timestamp;

use super::cast::Reading;

/// The Julian day on which 1970 began.
const JULIAN_1970: f64 = 2_440_587.5;
const DAY_MILLIS: f64 = 86_400_000.0;

/// A point in time, and whether something finer than PostgreSQL keeps was rounded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct PointInTime {
    micros: i64,
    pub(crate) is_rounded: bool,
}

/// An integer that is read so.
pub(crate) fn of_integer(integer: i64, reading: Reading) -> Option<PointInTime> {
    let micros = match reading {
        Reading::Epoch => integer.checked_mul(1_000_000)?,
        Reading::EpochMillis => integer.checked_mul(1000)?,
        Reading::EpochMicros => integer,
        #[allow(clippy::cast_precision_loss, reason = "days are few")]
        Reading::JulianDay => return of_real(integer as f64, reading),
        Reading::AsIs | Reading::Utc => return None,
    };
    Some(PointInTime { micros, is_rounded: false })
}

/// A real that is read so.
pub(crate) fn of_real(real: f64, reading: Reading) -> Option<PointInTime> {
    let (micros, is_rounded) = match reading {
        Reading::Epoch => rounded(real, 1e6)?,
        Reading::EpochMillis => rounded(real, 1e3)?,
        Reading::EpochMicros => rounded(real, 1.0)?,
        // SQLite's own dates have milliseconds, and a double of this size has not many more.
        Reading::JulianDay => {
            let (millis, _) = rounded((real - JULIAN_1970) * DAY_MILLIS, 1.0)?;
            (millis.checked_mul(1000)?, false)
        }
        Reading::AsIs | Reading::Utc => return None,
    };
    Some(PointInTime { micros, is_rounded })
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "the range is checked"
)]
fn rounded(real: f64, factor: f64) -> Option<(i64, bool)> {
    let micros = (real * factor).round();
    let is_in_range = micros.abs() < 9e18;
    is_in_range.then(|| (micros as i64, micros / factor != real))
}

impl PointInTime {
    /// Date and time of UTC, without a zone, within the years that are written with four digits.
    pub(crate) fn written(self) -> Option<String> {
        let time = Timestamp::from_microsecond(self.micros).ok()?.to_string();
        let is_plain =
            time.as_bytes().first().is_some_and(u8::is_ascii_digit) && !time.starts_with("0000");
        let time = time.strip_suffix('Z').filter(|_| is_plain)?;
        Some(time.replace('T', " "))
    }

    /// Whether it is the beginning of a day.
    pub(crate) fn is_midnight(self) -> bool {
        self.micros.rem_euclid(86_400_000_000) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_points_in_time_by_their_unit() {
        let integer = |number, reading| of_integer(number, reading).and_then(PointInTime::written);
        let day = Some("2026-11-21 09:30:00".to_owned());
        assert_eq!(integer(1_795_253_400, Reading::Epoch), day);
        assert_eq!(integer(1_795_253_400_000, Reading::EpochMillis), day);
        assert_eq!(integer(1_795_253_400_000_000, Reading::EpochMicros), day);
        let real = of_real(1_795_253_400.25, Reading::Epoch).unwrap();
        assert_eq!(
            (real.written().as_deref(), real.is_rounded),
            (Some("2026-11-21 09:30:00.25"), false)
        );
        assert!(of_real(1.000_000_1, Reading::Epoch).unwrap().is_rounded);
        let julian = of_real(2_440_587.5, Reading::JulianDay).unwrap();
        assert_eq!(julian.written().as_deref(), Some("1970-01-01 00:00:00"));
        assert!(julian.is_midnight());
    }

    #[test]
    fn t31_what_no_date_is_is_none() {
        assert_eq!(of_integer(i64::MAX, Reading::Epoch), None);
        assert_eq!(of_real(f64::INFINITY, Reading::Epoch), None);
        assert_eq!(of_real(1e300, Reading::EpochMillis), None);
        let year = of_integer(-70_000_000_000, Reading::Epoch).unwrap();
        assert_eq!(year.written(), None, "before our era");
        assert_eq!(of_integer(1, Reading::AsIs), None);
    }
}
