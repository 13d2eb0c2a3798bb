//! Dates and times as SQLite's applications write them: ISO 8601, with a blank or a `T`, with a zone or without.
//!
//! Only what PostgreSQL takes without changing it is one: it would make 24:00 the next day, second 60 the next minute, and
//! round what is finer than a microsecond.

/// A text that is a date, a time, or both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IsoText {
    pub(crate) kind: IsoKind,
    /// Whether a digit beyond the microsecond is not 0.
    pub(crate) is_too_fine: bool,
    pub(crate) form: IsoForm,
}

/// What such a text tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IsoKind {
    /// `2026-11-21`
    Date,
    /// `09:30`, `09:30:00.5`
    Time,
    /// `2026-11-21 09:30:00`
    Plain,
    /// `2026-11-21T09:30:00Z`, `2026-11-21 09:30:00+02:00`
    Zoned,
}

/// How it is laid out. Two texts of one form that differ tell different times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IsoForm {
    kind: IsoKind,
    separator: u8,
    clock_bytes: usize,
    zone: [u8; ZONE_BYTES_MAX],
}

/// ` +02:00`
const ZONE_BYTES_MAX: usize = 7;

/// PostgreSQL takes offsets of less than 16 hours.
const OFFSET_HOURS_MAX: u32 = 15;

/// Reads a text.
pub(crate) fn parse(text: &[u8]) -> Option<IsoText> {
    if text.get(2) == Some(&b':') {
        let clock = clock(text)?;
        let is_whole = clock.rest.is_empty();
        return is_whole.then(|| made(IsoKind::Time, 0, text.len(), clock.is_too_fine, &[]));
    }
    let (date, rest) = text.split_at_checked(10)?;
    if !is_date(date) {
        return None;
    }
    let Some((&separator, rest)) = rest.split_first() else {
        return Some(made(IsoKind::Date, 0, 0, false, &[]));
    };
    if !matches!(separator, b' ' | b'T') {
        return None;
    }
    let clock = clock(rest)?;
    let clock_bytes = rest.len() - clock.rest.len();
    if clock.rest.is_empty() {
        return Some(made(IsoKind::Plain, separator, clock_bytes, clock.is_too_fine, &[]));
    }
    is_zone(clock.rest)
        .then(|| made(IsoKind::Zoned, separator, clock_bytes, clock.is_too_fine, clock.rest))
}

fn made(
    kind: IsoKind,
    separator: u8,
    clock_bytes: usize,
    is_too_fine: bool,
    zone_text: &[u8],
) -> IsoText {
    let mut zone = [0; ZONE_BYTES_MAX];
    for (to, from) in zone.iter_mut().zip(zone_text) {
        *to = *from;
    }
    IsoText { kind, is_too_fine, form: IsoForm { kind, separator, clock_bytes, zone } }
}

/// `YYYY-MM-DD` of a day that there is, after the beginning of our era.
fn is_date(text: &[u8]) -> bool {
    let [y0, y1, y2, y3, b'-', m0, m1, b'-', d0, d1] = *text else { return false };
    let (Some(century), Some(years)) = (two(y0, y1), two(y2, y3)) else { return false };
    let (Some(month), Some(day)) = (two(m0, m1), two(d0, d1)) else { return false };
    let year = century * 100 + years;
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if is_leap => 29,
        2 => 28,
        _ => 0,
    };
    year > 0 && (1..=days).contains(&day)
}

struct Clock<'a> {
    is_too_fine: bool,
    rest: &'a [u8],
}

/// `HH:MM`, `HH:MM:SS` or `HH:MM:SS.fff…`, and what follows.
fn clock(text: &[u8]) -> Option<Clock<'_>> {
    let [h0, h1, b':', m0, m1, rest @ ..] = text else { return None };
    let (hour, minute) = (two(*h0, *h1)?, two(*m0, *m1)?);
    if hour > 23 || minute > 59 {
        return None;
    }
    let [b':', s0, s1, rest @ ..] = rest else { return Some(Clock { is_too_fine: false, rest }) };
    if two(*s0, *s1)? > 59 {
        return None;
    }
    let [b'.', fraction @ ..] = rest else { return Some(Clock { is_too_fine: false, rest }) };
    let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (fraction, rest) = fraction.split_at(digits);
    let is_too_fine = fraction.iter().skip(6).any(|digit| *digit != b'0');
    (digits > 0).then_some(Clock { is_too_fine, rest })
}

/// `Z`, `+02`, `+0200` or `+02:00`, after a blank or none.
fn is_zone(text: &[u8]) -> bool {
    let text = text.strip_prefix(b" ").unwrap_or(text);
    let offset = match *text {
        [b'Z'] => return true,
        [b'+' | b'-', h0, h1] => two(h0, h1).zip(Some(0)),
        [b'+' | b'-', h0, h1, m0, m1] | [b'+' | b'-', h0, h1, b':', m0, m1] => {
            two(h0, h1).zip(two(m0, m1))
        }
        _ => None,
    };
    offset.is_some_and(|(hours, minutes)| hours <= OFFSET_HOURS_MAX && minutes <= 59)
}

/// The number of two digits.
fn two(tens: u8, ones: u8) -> Option<u32> {
    let digit = |byte: u8| byte.is_ascii_digit().then(|| u32::from(byte - b'0'));
    Some(digit(tens)? * 10 + digit(ones)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(text: &str) -> Option<IsoKind> {
        parse(text.as_bytes()).map(|iso| iso.kind)
    }

    #[test]
    fn dates_and_times_are_known_by_their_kind() {
        assert_eq!(kind("2026-11-21"), Some(IsoKind::Date));
        assert_eq!(kind("2024-02-29"), Some(IsoKind::Date));
        assert_eq!(kind("09:30"), Some(IsoKind::Time));
        assert_eq!(kind("09:30:00.25"), Some(IsoKind::Time));
        assert_eq!(kind("2026-11-21 09:30"), Some(IsoKind::Plain));
        assert_eq!(kind("2026-11-21T09:30:59.123456"), Some(IsoKind::Plain));
        for zone in ["Z", "+02", "-0330", "+02:00", " +0200", "+15:59"] {
            assert_eq!(kind(&format!("2026-11-21 09:30:00{zone}")), Some(IsoKind::Zoned), "{zone}");
        }
    }

    /// Each of these PostgreSQL refuses, or takes and changes.
    #[test]
    fn t31_what_postgres_would_refuse_or_change_is_none() {
        for text in [
            "",
            "2026",
            "2026-11",
            "2026-13-01",
            "2026-02-29",
            "0000-01-01",
            "2026-11-31",
            "2026-1-1",
            "2026-11-21 24:00:00",
            "2026-11-21 23:60",
            "2026-11-21 23:59:60",
            "2026-11-21 9:30",
            "2026-11-21 09:30:00.",
            "2026-11-21 09:30:00+16:00",
            "2026-11-21 09:30:00+2",
            "09:30:00Z",
            "2026-11-21  09:30",
            "2026-11-21 09:30 PM",
            "21.11.2026",
            "toto",
            "2026-11-21 ",
            "12026-11-21",
        ] {
            assert_eq!(kind(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_finer_than_a_microsecond_is_told() {
        let fine = |text: &str| parse(text.as_bytes()).unwrap().is_too_fine;
        assert!(fine("2026-11-21 09:30:00.123456789+00:00"));
        assert!(!fine("2026-11-21 09:30:00.123456000"));
    }

    #[test]
    fn texts_of_one_form_have_one_layout() {
        let form = |text: &str| parse(text.as_bytes()).unwrap().form;
        assert_eq!(form("2026-11-21 09:30:00Z"), form("2025-01-01 00:00:01Z"));
        assert_ne!(form("2026-11-21 09:30:00Z"), form("2026-11-21T09:30:00Z"));
        assert_ne!(form("2026-11-21 09:30:00Z"), form("2026-11-21 09:30:00+00"));
        assert_ne!(form("2026-11-21 09:30:00"), form("2026-11-21 09:30"));
    }
}
