//! WHEN: a point of the history as people write it. RFC 3339, a local date or time, "5m ago", "now", `txid:N`, `before:N`.
//! The clock and the time zone are an argument; how a text was read is part of the answer, so that it can be printed.

use std::str::FromStr;

use ebbtide_replica::{Timestamp, Txid};
use jiff::civil::{DateTime, Time};
use jiff::{Span, SpanRelativeTo, Zoned};

use crate::number::Number;

/// A point of the history, as it was written.
#[derive(Debug, Clone)]
pub struct When {
    text: String,
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    Now,
    /// So long before now.
    Ago(Box<Span>),
    /// At this time, which the text has with its zone.
    At(Timestamp),
    /// At this time in the local zone.
    Local(DateTime),
    /// At this time of the day so many days before today, in the local zone.
    Day(i64, Time),
    Txid(Number),
    /// Right before this entry.
    Before(Number),
}

/// What a text stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// Now, which comes after every entry, whatever time the entry carries.
    Now,
    /// A time.
    Time(Timestamp),
    /// An entry.
    Txid(Txid),
}

/// What a text stands for, and how it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// What it stands for.
    pub point: Point,
    /// In words, if the text itself does not say it: `"yesterday" was read as …`.
    pub said: Option<String>,
}

/// Why a text is no point of the history.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoTime {
    /// Nothing that is known.
    #[error(
        "\"{0}\" is no time: use RFC 3339 such as 2026-11-21T09:30:00Z, a local time such as \"2026-11-21 09:30\" or \
         \"yesterday 14:00\", \"now\", a span such as \"5m ago\", or an entry such as txid:2a or before:2a"
    )]
    Unknown(String),
    /// A span, which is no time by itself.
    #[error("\"{0}\" is a span and no time: write \"{0} ago\" for the time so long before now")]
    Span(String),
    /// A time that no calendar of ours has.
    #[error(
        "\"{0}\" lies before the year 1 or after the year 9999: use a time that a replica can have"
    )]
    OutOfRange(String),
    /// The local zone is one that nobody knows here.
    #[error(
        "\"{0}\" is a local time, and TZ names a time zone that this system does not know: add the offset, as in \
         2026-11-21T09:30:00+01:00, or set TZ to UTC or to a name such as Europe/Berlin"
    )]
    NoZone(String),
    /// Entries are counted from 1.
    #[error("\"{0}\": nothing comes before the first entry")]
    BeforeAll(String),
}

impl When {
    /// What it stands for, if now is `now` in the local zone.
    ///
    /// # Errors
    /// When it is before or after all calendars.
    pub fn resolve(&self, now: &Zoned) -> Result<Reading, NoTime> {
        let out_of_range = || NoTime::OutOfRange(self.text.clone());
        let (zoned, is_ambiguous) = match &self.kind {
            Kind::Now => return Ok(Reading { point: Point::Now, said: None }),
            Kind::At(time) => return Ok(Reading { point: Point::Time(*time), said: None }),
            Kind::Txid(number) => return Ok(entry(*number, number.txid())),
            Kind::Before(number) => {
                let before = number.txid().previous();
                let before = before.ok_or_else(|| NoTime::BeforeAll(self.text.clone()))?;
                return Ok(entry(*number, before));
            }
            Kind::Ago(span) => {
                let span = span.to_duration(SpanRelativeTo::days_are_24_hours());
                let span = span.map_err(|_| out_of_range())?;
                (now.checked_sub(span).map_err(|_| out_of_range())?, false)
            }
            Kind::Local(_) | Kind::Day(..) if now.time_zone().is_unknown() => {
                return Err(NoTime::NoZone(self.text.clone()));
            }
            Kind::Local(local) => in_zone(*local, now).ok_or_else(out_of_range)?,
            Kind::Day(days, time) => {
                let day = now.date().checked_sub(Span::new().days(*days));
                let day = day.map_err(|_| out_of_range())?;
                in_zone(day.to_datetime(*time), now).ok_or_else(out_of_range)?
            }
        };
        let time = Timestamp::try_from(zoned.timestamp()).map_err(|_| out_of_range())?;
        Ok(Reading { point: Point::Time(time), said: Some(self.said(&zoned, is_ambiguous, time)) })
    }

    fn said(&self, zoned: &Zoned, is_ambiguous: bool, time: Timestamp) -> String {
        let zone = zoned.time_zone();
        let name = zone.iana_name().filter(|_| !zone.is_unknown());
        let name = name.map_or(String::new(), |name| format!(" ({name})"));
        let twice = match is_ambiguous {
            true => "; the clocks were changed then, so add the offset to be sure",
            false => "",
        };
        let local = zoned.strftime("%Y-%m-%dT%H:%M:%S%.f%:z");
        format!("\"{}\" was read as {local}{name}, which is {time}{twice}", self.text)
    }
}

/// A local time, and whether a change of the clocks makes it doubtful. One that was skipped is the one after it, and of
/// two it is the first.
fn in_zone(local: DateTime, now: &Zoned) -> Option<(Zoned, bool)> {
    let zoned = now.time_zone().to_ambiguous_zoned(local);
    let is_ambiguous = zoned.is_ambiguous();
    Some((zoned.compatible().ok()?, is_ambiguous))
}

impl Point {
    /// Whether the entry comes before it.
    #[must_use]
    pub fn is_after(self, txid: Txid, time: Timestamp) -> bool {
        match self {
            Point::Now => true,
            Point::Time(own) => time < own,
            Point::Txid(own) => txid < own,
        }
    }

    /// Whether the entry comes after it.
    #[must_use]
    pub fn is_before(self, txid: Txid, time: Timestamp) -> bool {
        match self {
            Point::Now => false,
            Point::Time(own) => time > own,
            Point::Txid(own) => txid > own,
        }
    }
}

fn entry(number: Number, txid: Txid) -> Reading {
    Reading { point: Point::Txid(txid), said: number.said() }
}

impl FromStr for When {
    type Err = NoTime;

    fn from_str(text: &str) -> Result<When, NoTime> {
        let trimmed = text.trim();
        let kind = kind(trimmed).ok_or_else(|| match ago(trimmed) {
            Some(_) => NoTime::Span(trimmed.to_owned()),
            None => NoTime::Unknown(text.to_owned()),
        })?;
        Ok(When { text: trimmed.to_owned(), kind })
    }
}

fn kind(text: &str) -> Option<Kind> {
    let lower = text.to_ascii_lowercase();
    if lower == "now" {
        return Some(Kind::Now);
    }
    if let Some(number) = lower.strip_prefix("txid:") {
        return number.parse().map(Kind::Txid).ok();
    }
    if let Some(number) = lower.strip_prefix("before:") {
        return number.parse().map(Kind::Before).ok();
    }
    if let Some(span) = lower.strip_suffix("ago") {
        return ago(span);
    }
    for (day, days) in [("today", 0), ("yesterday", 1)] {
        if let Some(rest) = lower.strip_prefix(day) {
            let rest = rest.trim_start();
            let time = if rest.is_empty() { Some(Time::midnight()) } else { time_of_day(rest) };
            return time.map(|time| Kind::Day(days, time));
        }
    }
    if let Some(time) = time_of_day(text) {
        return Some(Kind::Day(0, time));
    }
    if let Ok(time) = text.parse() {
        return Some(Kind::At(time));
    }
    // A date and time without a zone, and nothing else: jiff would pass over a zone that it does not need.
    let is_local = text.char_indices().all(|(at, c)| match c {
        '0'..='9' | ':' | '.' | ' ' => true,
        '-' => at < 10,
        'T' | 't' => at == 10,
        _ => false,
    });
    is_local.then(|| text.parse().ok()).flatten().map(Kind::Local)
}

fn ago(span: &str) -> Option<Kind> {
    let span: Span = span.trim().parse().ok()?;
    // Months and years have no fixed length, and a span of the future is no "ago".
    let is_fixed = span.get_years() == 0 && span.get_months() == 0;
    (is_fixed && !span.is_negative()).then(|| Kind::Ago(Box::new(span)))
}

/// `14:00`, `14:00:30`, `14:00:30.5`.
fn time_of_day(text: &str) -> Option<Time> {
    let is_time = text.contains(':') && text.chars().all(|c| matches!(c, '0'..='9' | ':' | '.'));
    is_time.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Midday of a Saturday in winter, an hour east of Greenwich.
    fn now() -> Zoned {
        "2026-11-21T11:00:00.5+01:00[Europe/Berlin]".parse().unwrap()
    }

    fn read(text: &str) -> Reading {
        text.parse::<When>().unwrap().resolve(&now()).unwrap()
    }

    fn time(text: &str) -> String {
        match read(text).point {
            Point::Time(time) => time.to_string(),
            point => panic!("{text}: {point:?}"),
        }
    }

    #[test]
    fn times_are_read_as_people_write_them() {
        assert_eq!(read("now"), Reading { point: Point::Now, said: None });
        assert_eq!(time("5m ago"), "2026-11-21T09:55:00.500000Z");
        assert_eq!(time("1 hour 30 min ago"), "2026-11-21T08:30:00.500000Z");
        assert_eq!(time("2 days ago"), "2026-11-19T10:00:00.500000Z");
        assert_eq!(time("2026-11-21T09:30:00Z"), "2026-11-21T09:30:00.000000Z");
        assert_eq!(time("2026-11-21T10:30:00.25+01:00"), "2026-11-21T09:30:00.250000Z");
        assert_eq!(time("2026-11-21 10:30+02:00"), "2026-11-21T08:30:00.000000Z");
    }

    #[test]
    fn o21_a_time_without_a_zone_is_local_and_says_how_it_was_read() {
        assert_eq!(time("2026-11-21"), "2026-11-20T23:00:00.000000Z");
        assert_eq!(time("2026-11-21 09:30"), "2026-11-21T08:30:00.000000Z");
        assert_eq!(time("2026-11-21T09:30:05.5"), "2026-11-21T08:30:05.500000Z");
        assert_eq!(time("2026-07-01 09:30"), "2026-07-01T07:30:00.000000Z", "in summer");
        assert_eq!(time("today 09:00"), "2026-11-21T08:00:00.000000Z");
        assert_eq!(time("Today"), "2026-11-20T23:00:00.000000Z");
        assert_eq!(time("yesterday"), "2026-11-19T23:00:00.000000Z");
        assert_eq!(time("yesterday 14:00"), "2026-11-20T13:00:00.000000Z");
        assert_eq!(time("09:15"), "2026-11-21T08:15:00.000000Z");
        let said = read("yesterday 14:00").said.unwrap();
        let expected = "\"yesterday 14:00\" was read as 2026-11-20T14:00:00+01:00 (Europe/Berlin), \
                        which is 2026-11-20T13:00:00.000000Z";
        assert_eq!(said, expected);
        assert!(read("5m ago").said.unwrap().contains("2026-11-21T09:55:00.500000Z"));
        assert_eq!(read("2026-11-21T09:30:00Z").said, None, "it says all itself");
    }

    /// On 2026-10-25 the hour from two to three came twice in Berlin; on 2026-03-29 it did not come.
    #[test]
    fn o21_an_hour_that_came_twice_or_never_says_so() {
        for text in ["2026-10-25 02:30", "2026-03-29 02:30"] {
            let said = read(text).said.unwrap();
            assert!(said.contains("the clocks were changed"), "{said}");
        }
        assert_eq!(time("2026-10-25 02:30"), "2026-10-25T00:30:00.000000Z");
        assert_eq!(time("2026-10-25T02:30+01:00"), "2026-10-25T01:30:00.000000Z");
    }

    /// Read in UTC instead, it would be another time, and another state.
    #[test]
    fn t35_a_local_time_in_a_zone_that_nobody_knows_is_refused() {
        let now = now().timestamp().to_zoned(jiff::tz::TimeZone::unknown());
        for text in ["2026-11-21", "2026-11-21 09:30", "yesterday 14:00", "09:15", "today"] {
            let error = text.parse::<When>().unwrap().resolve(&now).unwrap_err().to_string();
            assert!(error.contains("TZ names a time zone"), "{error}");
        }
        for text in ["5m ago", "2026-11-21T09:30:00Z", "now", "txid:2a"] {
            assert!(text.parse::<When>().unwrap().resolve(&now).is_ok(), "{text}");
        }
    }

    #[test]
    fn o23_entries_are_points_too() {
        let meant = |text| read(text).point;
        let txid = |number| Point::Txid(Txid::new(number).unwrap());
        assert_eq!(meant("txid:2a"), txid(42));
        assert_eq!(meant("before:0x2a"), txid(41));
        assert!(read("txid:10").said.unwrap().contains("hexadecimal"));
        let error = "before:1".parse::<When>().unwrap().resolve(&now()).unwrap_err().to_string();
        assert!(error.contains("before the first entry"), "{error}");
    }

    #[test]
    fn what_is_no_time_is_refused_with_a_way_out() {
        let texts = [
            "",
            "ago",
            "5",
            "3 months ago",
            "-5m ago",
            "2026-13-01T00:00:00Z",
            "2026-02-30",
            "yesterday 25:00",
            "yesterdays",
            "2026-11-21 09:30 Berlin",
            "txid:0",
            "txid:",
        ];
        for text in texts {
            let error = text.parse::<When>().unwrap_err().to_string();
            assert!(error.contains("\"5m ago\"") && error.contains("\"yesterday"), "{error}");
        }
    }

    #[test]
    fn a_span_is_told_to_be_one() {
        for text in ["1m", "90 seconds", " 2d ", "1 hour 30 min"] {
            let error = text.parse::<When>().unwrap_err().to_string();
            assert!(error.contains(&format!("write \"{} ago\"", text.trim())), "{error}");
            assert!(format!("{text} ago").parse::<When>().is_ok());
        }
    }

    #[test]
    fn o19_a_time_before_all_calendars_is_refused_in_the_users_words() {
        let error = "99999999 hours ago".parse::<When>().unwrap().resolve(&now()).unwrap_err();
        let expected = "\"99999999 hours ago\" lies before the year 1 or after the year 9999: use a \
                        time that a replica can have";
        assert_eq!(error.to_string(), expected);
    }
}
