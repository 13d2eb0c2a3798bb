//! How long a kind of state is kept, as people write it: "7d", "1y", "forever".

use std::fmt;
use std::str::FromStr;

use ebbtide_replica::Timestamp;

/// A length of time of at least an hour, or without an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Period {
    /// So many hours, at least one.
    Hours(u32),
    /// As long as the replica exists.
    Forever,
}

/// Why a text is no period, with what was probably meant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{text}\" is no period: {why}")]
pub struct PeriodError {
    text: String,
    why: String,
}

const HOUR_MICROS: i64 = 3_600_000_000;

/// The units, the longest first. A month is none of them, because there are two ways to count it.
const UNITS: [(&str, u32); 4] = [("y", 365 * 24), ("w", 7 * 24), ("d", 24), ("h", 1)];

/// Longer than all of the time that there is.
const HOURS_MAX: u32 = 10_000 * 365 * 24;

impl Period {
    /// Whether something that has been there since `since` is younger than this.
    #[must_use]
    pub fn covers(self, since: Timestamp, now: Timestamp) -> bool {
        match self {
            Period::Forever => true,
            Period::Hours(hours) => {
                now.as_micros().saturating_sub(since.as_micros()) < i64::from(hours) * HOUR_MICROS
            }
        }
    }

    /// When what has been there since `since` is no younger than this any more; never, if there is nothing.
    #[must_use]
    pub fn end(self, since: Timestamp) -> Option<Timestamp> {
        match self {
            Period::Forever => None,
            Period::Hours(hours) => {
                let end = since.as_micros().saturating_add(i64::from(hours) * HOUR_MICROS);
                Timestamp::from_micros(end)
            }
        }
    }
}

impl FromStr for Period {
    type Err = PeriodError;

    fn from_str(text: &str) -> Result<Period, PeriodError> {
        let refuse = |why: String| Err(PeriodError { text: text.to_owned(), why });
        if text == "forever" {
            return Ok(Period::Forever);
        }
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let Ok(number) = number.parse::<u32>() else {
            return refuse(
                "write for example \"36h\", \"7d\", \"4w\", \"1y\" or \"forever\"".to_owned(),
            );
        };
        let Some((_, hours)) = UNITS.iter().find(|(name, _)| *name == unit) else {
            return refuse(unknown_unit(number, unit));
        };
        match number.checked_mul(*hours) {
            Some(0) => refuse("at least \"1h\" is kept".to_owned()),
            Some(hours) if hours <= HOURS_MAX => Ok(Period::Hours(hours)),
            _ => refuse("did you mean \"forever\"?".to_owned()),
        }
    }
}

fn unknown_unit(number: u32, unit: &str) -> String {
    match unit.trim() {
        "" => format!("it has no unit: did you mean \"{number}d\"?"),
        "m" | "M" | "mo" | "month" | "months" => {
            let days = number.saturating_mul(30);
            format!(
                "minutes and months do not exist here: did you mean \"{number}d\", or \"{days}d\" for months?"
            )
        }
        "min" | "s" | "ms" => "at least \"1h\" is kept".to_owned(),
        other => {
            let first = other.chars().next().map(|first| first.to_ascii_lowercase());
            let same = UNITS.iter().find(|(name, _)| name.chars().next() == first);
            match same {
                Some((name, _)) => format!("did you mean \"{number}{name}\"?"),
                None => "the units are h, d, w and y".to_owned(),
            }
        }
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Period::Forever => f.write_str("forever"),
            Period::Hours(hours) => {
                // A single week is seven days to most who write it.
                let fits = |&(name, unit): &(&str, u32)| {
                    hours % unit == 0 && (name != "w" || hours > unit)
                };
                let (name, unit) = UNITS.into_iter().find(fits).unwrap_or(("h", 1));
                write!(f, "{}{name}", hours / unit)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(text: &str) -> String {
        text.parse::<Period>().expect_err("it is refused").to_string()
    }

    #[test]
    fn periods_are_read_and_written() {
        for text in ["1h", "36h", "7d", "30d", "3w", "1y", "10y", "forever"] {
            assert_eq!(text.parse::<Period>().unwrap().to_string(), text);
        }
        assert_eq!("48h".parse::<Period>().unwrap().to_string(), "2d");
        assert!("1y".parse::<Period>().unwrap() < Period::Forever);
    }

    #[test]
    fn h14_a_period_that_cannot_be_meant_is_refused_with_what_was() {
        assert!(why("7m").contains("\"7d\"") && why("7m").contains("\"210d\""), "{}", why("7m"));
        assert!(why("7").contains("\"7d\""));
        assert!(why("7 days").contains("\"7d\""));
        assert!(why("7D").contains("\"7d\""));
        assert!(why("2 weeks").contains("\"2w\""));
        assert!(why("30min").contains("\"1h\"") && why("0d").contains("\"1h\""));
        assert!(why("99999999y").contains("forever"));
        for text in ["", "d", "-7d", "1.5d", "for ever", "4294967296h", "7ä"] {
            assert!(text.parse::<Period>().is_err(), "{text}");
        }
    }
}
