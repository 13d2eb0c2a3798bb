//! Points in time as people write them: RFC 3339, "now", "5m ago". The clock is an argument.

use std::str::FromStr;

use ebbtide_replica::Timestamp;
use jiff::{Span, SpanRelativeTo};

/// A point in time, perhaps relative to now.
#[derive(Debug, Clone)]
pub enum When {
    /// Now.
    Now,
    /// So long before now.
    Ago(Box<Span>),
    /// At this time.
    At(Timestamp),
}

/// Why a text is no time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{0}\" is no time: use RFC 3339 such as 2026-11-21T09:30:00Z, \"now\", or a span such as \"5m ago\""
)]
pub struct NoTime(String);

impl When {
    /// The time itself, if now is `now`.
    ///
    /// # Errors
    /// When it is before all calendars.
    pub fn resolve(&self, now: jiff::Timestamp) -> Result<Timestamp, NoTime> {
        let fail = || NoTime(format!("{self:?}"));
        let time = match self {
            When::At(time) => return Ok(*time),
            When::Now => now,
            When::Ago(span) => {
                let span = span.to_duration(SpanRelativeTo::days_are_24_hours());
                now.checked_sub(span.map_err(|_| fail())?).map_err(|_| fail())?
            }
        };
        Timestamp::try_from(time).map_err(|_| fail())
    }
}

impl FromStr for When {
    type Err = NoTime;

    fn from_str(text: &str) -> Result<When, NoTime> {
        let fail = || NoTime(text.to_owned());
        let trimmed = text.trim();
        if trimmed.eq_ignore_ascii_case("now") {
            return Ok(When::Now);
        }
        if let Some(span) = trimmed.strip_suffix("ago") {
            let span: Span = span.trim().parse().map_err(|_| fail())?;
            // Months and years have no fixed length, and a span of the future is no "ago".
            let is_fixed = span.get_years() == 0 && span.get_months() == 0;
            return if is_fixed && !span.is_negative() {
                Ok(When::Ago(Box::new(span)))
            } else {
                Err(fail())
            };
        }
        trimmed.parse().map(When::At).map_err(|_| fail())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(text: &str) -> String {
        let now = "2026-11-21T10:00:00.5Z".parse().unwrap();
        text.parse::<When>().unwrap().resolve(now).unwrap().to_string()
    }

    #[test]
    fn times_are_read_as_people_write_them() {
        assert_eq!(resolve("now"), "2026-11-21T10:00:00.500000Z");
        assert_eq!(resolve("5m ago"), "2026-11-21T09:55:00.500000Z");
        assert_eq!(resolve("1 hour 30 min ago"), "2026-11-21T08:30:00.500000Z");
        assert_eq!(resolve("2 days ago"), "2026-11-19T10:00:00.500000Z");
        assert_eq!(resolve("2026-11-21T09:30:00Z"), "2026-11-21T09:30:00.000000Z");
        assert_eq!(resolve("2026-11-21T10:30:00.25+01:00"), "2026-11-21T09:30:00.250000Z");
    }

    #[test]
    fn what_is_no_time_is_refused_with_a_way_out() {
        for text in
            ["", "ago", "yesterday", "5m", "3 months ago", "-5m ago", "2026-13-01T00:00:00Z"]
        {
            let error = text.parse::<When>().unwrap_err().to_string();
            assert!(error.contains("\"5m ago\""), "{text}: {error}");
        }
    }
}
