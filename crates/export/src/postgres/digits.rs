//! Decimal digits of numbers that are written out.

use std::fmt::Write as _;

use super::pg_type::Precision;

/// Beyond this PostgreSQL's `numeric` might not hold it.
const BYTES_MAX: usize = 1000;
const EXPONENT_MAX: i32 = 1000;

/// A decimal number as it is written: how many digits stand before and after its point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Digits {
    before: i32,
    after: i32,
}

impl Digits {
    /// Reads `-12.50`, `7`, `1.5e-7`. Blanks, `+`, `.5` and `5.` are none: whoever wrote those may have meant text.
    pub(crate) fn of(text: &[u8]) -> Option<Digits> {
        let text = std::str::from_utf8(text).ok().filter(|text| text.len() <= BYTES_MAX)?;
        let text = text.strip_prefix('-').unwrap_or(text);
        let (number, exponent) = match text.split_once(['e', 'E']) {
            Some((number, exponent)) => (number, exponent.parse::<i32>().ok()?),
            None => (text, 0),
        };
        let (whole, fraction) = match number.split_once('.') {
            Some((_, "")) => return None,
            Some((whole, fraction)) => (whole, fraction),
            None => (number, ""),
        };
        let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !are_digits(whole) || !are_digits(fraction) {
            return None;
        }
        if !(-EXPONENT_MAX..=EXPONENT_MAX).contains(&exponent) {
            return None;
        }
        // Zeros at either end need no room.
        let all = format!("{whole}{fraction}");
        let point = i32::try_from(whole.len()).ok()? + exponent;
        let leading = i32::try_from(all.len() - all.trim_start_matches('0').len()).ok()?;
        let end = i32::try_from(all.trim_end_matches('0').len()).ok()?;
        if end == 0 {
            return Some(Digits { before: 0, after: 0 });
        }
        Some(Digits { before: (point - leading).max(0), after: (end - point).max(0) })
    }

    /// Whether it can be had with this precision as it is.
    pub(crate) fn fit(self, precision: Option<Precision>) -> bool {
        let Some(Precision { digits, scale }) = precision else { return true };
        self.before <= i32::from(digits) - i32::from(scale) && self.after <= i32::from(scale)
    }
}

/// The shortest digits that are read as this real again, finite as it is.
pub(crate) fn shortest(real: f64) -> String {
    let mut text = String::with_capacity(24);
    // A string takes whatever it is given.
    let written = write!(text, "{real:?}");
    debug_assert!(written.is_ok());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_counted_around_the_point() {
        let digits =
            |text: &str| Digits::of(text.as_bytes()).map(|digits| (digits.before, digits.after));
        assert_eq!(digits("12.50"), Some((2, 1)));
        assert_eq!(digits("-0.99"), Some((0, 2)));
        assert_eq!(digits("1e3"), Some((4, 0)));
        assert_eq!(digits("1.25e-3"), Some((0, 5)));
        assert_eq!(digits("000"), Some((0, 0)));
        assert_eq!(digits("100.00"), Some((3, 0)));
        for none in ["", "+1", ".5", "5.", "1 ", "1,5", "0x10", "NaN", "inf", "1e9999", "--1", "1e"]
        {
            assert_eq!(digits(none), None, "{none}");
        }
    }

    #[test]
    fn a_precision_is_kept_to() {
        let fits = |text: &str, digits, scale| {
            Digits::of(text.as_bytes()).unwrap().fit(Some(Precision { digits, scale }))
        };
        assert!(fits("99999999.99", 10, 2) && fits("0.5", 2, 2) && fits("1.0", 1, 0));
        assert!(!fits("100000000", 10, 2) && !fits("0.125", 10, 2) && !fits("1", 2, 2));
    }
}
